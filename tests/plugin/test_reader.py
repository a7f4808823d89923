"""Files of ours, put back on their source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image, Layer
from napari.utils.colormaps import Colormap

from memnet_core.batch import BatchRun, find_inputs, plan_jobs
from memnet_core.errors import ImageError
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import provenance_of
from napari_memnet import _reader
from napari_memnet._reader import get_reader
from napari_memnet._writer import write_ome_tiff, write_ome_zarr, write_ome_zarrs
from napari_memnet.jobs.restore import RestoreRequest, restore_region
from napari_memnet.layers.results import result_layer
from napari_memnet.layers.source import LayerRegion

pytestmark = pytest.mark.usefixtures("models")

WRITERS = {".ome.tif": write_ome_tiff, ".ome.zarr": write_ome_zarr}


def noise(*shape: int, dtype: str = "uint16") -> Any:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def written(layer: Image, folder: Path, suffix: str) -> Path:
    data, attributes, _ = layer.as_layer_data_tuple()
    (path,) = WRITERS[suffix](str(folder / f"out{suffix}"), data, attributes)
    return Path(path)


def opened(path: Path) -> list[Any]:
    read = get_reader(str(path))
    assert read is not None
    return [
        layer
        for data, attributes, kind in read(str(path))
        for layer in (
            [Layer.create(data, attributes, kind)]
            if "channel_axis" not in attributes
            else channels(data, attributes)
        )
    ]


def channels(data: Any, attributes: dict[str, Any]) -> list[Any]:
    """Split channels as napari does."""
    from napari.components import ViewerModel

    return list(ViewerModel().add_image(data, **attributes))


def pixels(layer: Any) -> Any:
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def restored(layer: Image, region: LayerRegion | None = None, **settings: Any) -> Image:
    asked: dict[str, Any] = {"task": "denoise", "level": 25, "nearest": True}
    work = restore_region(
        RestoreRequest.of(layer, region), RestoreOptions(**asked | settings)
    )
    while True:
        try:
            next(work)
        except StopIteration as end:
            return Layer.create(*result_layer(layer, end.value))


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_result_comes_back_exactly_on_its_source(tmp_path: Path, suffix: str) -> None:
    source = Image(
        noise(3, 20, 24),
        name="cells/1",
        scale=(0.5, 0.1, 0.2),
        translate=(7, -3, 11),
        rotate=(0, 0, 20),
        shear=(0, 0, 0.1),
        units=("um", "um", "nm"),
        axis_labels=("z", "y", "x"),
        colormap="magenta",
        contrast_limits=(10, 200),
        gamma=0.7,
        blending="additive",
    )
    part = LayerRegion((slice(1, 2), slice(4, 16), slice(6, 20)))
    made = restored(source, part)
    (layer,) = opened(written(made, tmp_path, suffix))
    np.testing.assert_array_equal(pixels(layer), made.data)
    assert layer.name == made.name
    for key in ("scale", "translate", "rotate", "shear", "contrast_limits"):
        np.testing.assert_allclose(getattr(layer, key), getattr(made, key))
    for key in ("units", "axis_labels", "gamma", "blending"):
        assert getattr(layer, key) == getattr(made, key), key
    np.testing.assert_allclose(layer.affine.affine_matrix, made.affine.affine_matrix)
    assert layer.colormap.name == "magenta"
    assert layer.metadata["memnet"]["source"]["layer"] == "cells/1"
    assert layer.metadata["memnet"]["model"] == "noise"


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_file_says_how_its_layer_was_restored(tmp_path: Path, suffix: str) -> None:
    path = written(restored(Image(noise(20, 24)), strength=1.0), tmp_path, suffix)
    made = provenance_of(path)
    assert made is not None
    assert (made.task, made.model, made.levels) == ("denoise", "noise", (25.0,))


@pytest.mark.parametrize("suffix", WRITERS)
def test_layers_that_were_not_restored_come_back_too(
    tmp_path: Path, suffix: str
) -> None:
    odd = Colormap([[0, 0, 0], [0.2, 1, 0.4]], name="lime")
    layer = Image(noise(2, 20, 24), name="raw", scale=(1, 3, 3), colormap=odd)
    path = written(layer, tmp_path, suffix)
    (back,) = opened(path)
    assert provenance_of(path) is None
    assert back.name == "raw"
    np.testing.assert_array_equal(back.scale, (1, 3, 3))
    np.testing.assert_allclose(back.colormap.colors, odd.colors)


@pytest.mark.parametrize("suffix", WRITERS)
def test_colors_stay_colors(tmp_path: Path, suffix: str) -> None:
    layer = Image(noise(20, 24, 3, dtype="uint8"), rgb=True, scale=(2, 2), name="rgb")
    (back,) = opened(written(layer, tmp_path, suffix))
    assert back.rgb
    np.testing.assert_array_equal(pixels(back), layer.data)
    np.testing.assert_array_equal(back.scale, (2, 2))


@pytest.mark.parametrize("suffix", WRITERS)
def test_channels_of_one_layer_stay_together(tmp_path: Path, suffix: str) -> None:
    layer = Image(noise(2, 3, 20, 24), axis_labels=("c", "z", "y", "x"), name="both")
    (back,) = opened(written(layer, tmp_path, suffix))
    assert back.axis_labels == ("c", "z", "y", "x")
    np.testing.assert_array_equal(pixels(back), layer.data)


def batch(source: Path, output: Path, file_format: str, **settings: Any) -> Path:
    known: dict[str, Any] = {"task": "denoise", "level": 25, "nearest": True}
    asked = RestoreOptions(**known | settings)
    found = find_inputs([str(source)], output, recursive=False)
    jobs = plan_jobs(
        found.sources, output, file_format, overwrite=False, settings=asked
    )
    run = BatchRun(jobs, asked)
    for _ in run.events():
        pass
    (outcome,) = run.outcomes
    assert outcome.status == "done", outcome.message
    return Path(outcome.job.output)


@pytest.fixture
def microscope(tmp_path: Path) -> Path:
    """Write an OME-TIFF as a microscope does: two named channels, pixel sizes."""
    path = tmp_path / "raw" / "cells.ome.tif"
    path.parent.mkdir()
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 0.1,
        "PhysicalSizeZ": 0.5,
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    tifffile.imwrite(path, noise(2, 3, 20, 24), metadata=metadata, ome=True)
    return path


@pytest.mark.parametrize("file_format", ["tiff", "ome-zarr"])
def test_what_the_command_wrote_has_its_pixel_sizes_and_channels(
    microscope: Path, tmp_path: Path, file_format: str
) -> None:
    path = batch(microscope, tmp_path / "out", file_format)
    if path.name.endswith(".ome.zarr"):
        expected = np.asarray(zarr.open_array(path / "0"))
    else:
        path = path.rename(path.with_name("cells.ome.tif"))
        expected = tifffile.imread(path)
    layers = opened(path)
    assert [layer.name for layer in layers] == ["cells DAPI", "cells GFP"]
    for layer, plane in zip(layers, expected, strict=True):
        np.testing.assert_array_equal(pixels(layer), plane)
        np.testing.assert_array_equal(layer.scale, (0.5, 0.1, 0.1))
        assert {str(unit) for unit in layer.units} == {"micrometer"}
        assert layer.axis_labels == ("z", "y", "x")
        assert "denoise" in layer.metadata["memnet"]["provenance"]


@pytest.mark.parametrize("file_format", ["tiff", "ome-zarr"])
def test_what_the_command_enlarged_covers_the_same_area(
    microscope: Path, tmp_path: Path, file_format: str
) -> None:
    path = batch(microscope, tmp_path / "out", file_format, task="sr", level=2)
    if path.suffix == ".tif":
        path = path.rename(path.with_name("cells.ome.tif"))
    layer = opened(path)[0]
    # Pixels of the source reach from -0.05 to 1.95 and 2.35 µm.
    edges = [
        layer.translate[1:] - layer.scale[1:] / 2,
        layer.translate[1:] + layer.scale[1:] * (np.array([40, 48]) - 0.5),
    ]
    np.testing.assert_allclose(edges, [[-0.05, -0.05], [1.95, 2.35]])


@pytest.mark.parametrize("file_format", ["tiff", "ome-zarr"])
def test_a_saved_layer_that_was_enlarged_since_stays_at_its_place(
    tmp_path: Path, file_format: str
) -> None:
    layer = Image(noise(20, 24), scale=(2, 2), translate=(10, 20), name="part")
    suffix = ".ome.tif" if file_format == "tiff" else ".ome.zarr"
    raw = tmp_path / "raw"
    raw.mkdir()
    source = written(layer, raw, suffix)
    path = batch(source, tmp_path / "out", file_format, task="sr", level=2)
    if path.suffix == ".tif":
        path = path.rename(path.with_name("out.ome.tif"))
    (back,) = opened(path)
    np.testing.assert_allclose(back.scale, (1, 1))
    np.testing.assert_allclose(back.translate, (9.5, 19.5))
    assert back.name == "out"


def test_large_files_are_read_plane_by_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = Image(noise(2, 3, 20, 24))
    path = written(layer, tmp_path, ".ome.tif")
    monkeypatch.setattr(_reader, "MEMORY_LIMIT", 100)
    (back,) = opened(path)
    assert isinstance(back.data, dask.array.Array)
    assert back.data.chunksize == (1, 1, 20, 24)
    np.testing.assert_array_equal(back.data.compute(), layer.data)


def test_a_large_plane_goes_to_ome_zarr_with_levels(tmp_path: Path) -> None:
    lazy = dask.array.from_array(noise(1500, 1300), chunks=(400, 500))
    layer = Image([lazy, lazy[::2, ::2]], contrast_limits=(0, 250), name="slide")
    (back,) = opened(written(layer, tmp_path, ".ome.zarr"))
    assert [level.shape for level in back.data] == [
        (1500, 1300),
        (750, 650),
        (375, 325),
    ]
    np.testing.assert_array_equal(pixels(back), lazy.compute())


def test_no_folder_is_replaced(tmp_path: Path) -> None:
    layer = Image(noise(20, 24), name="a")
    path = written(layer, tmp_path, ".ome.zarr")
    with pytest.raises(ImageError, match="exists already"):
        written(layer, tmp_path, ".ome.zarr")
    several = [
        layer.as_layer_data_tuple(),
        Image(noise(20, 24), name="b").as_layer_data_tuple(),
    ]
    paths = write_ome_zarrs(str(path), several)
    assert [Path(p).name for p in paths] == ["out a.ome.zarr", "out b.ome.zarr"]
    assert len(list(tmp_path.glob("*.zarr"))) == 3


def test_ome_tiffs_of_others_have_their_pixel_sizes_and_colors(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.tif"
    stack = noise(2, 5, 20, 24)
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 0.1,
        "PhysicalSizeZ": 0.5,
        "Channel": {"Name": ["DAPI", "GFP"], "Color": [65535, 16711935]},
    }
    tifffile.imwrite(path, stack, metadata=metadata)
    first, second = opened(path)
    assert (first.name, second.name) == ("cells DAPI", "cells GFP")
    np.testing.assert_allclose(first.scale, (0.5, 0.1, 0.1))
    assert [str(unit) for unit in first.units] == ["micrometer"] * 3
    np.testing.assert_array_equal(second.data, stack[1])
    np.testing.assert_allclose(first.colormap.colors[-1][:3], (0, 0, 1))
    np.testing.assert_allclose(second.colormap.colors[-1][:3], (0, 1, 0))


def test_zarrs_of_others_are_opened(tmp_path: Path) -> None:
    plate = zarr.open_group(tmp_path / "plate.ome.zarr", mode="w")
    plate.attrs["ome"] = {
        "version": "0.5",
        "plate": {
            "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}],
            "rows": [{"name": "A"}],
            "columns": [{"name": "1"}],
        },
    }
    well = plate.create_group("A/1")
    well.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
    field = written(Image(noise(20, 24), scale=(2, 2)), tmp_path, ".ome.zarr")
    field.rename(tmp_path / "plate.ome.zarr" / "A" / "1" / "0")
    (layer,) = opened(tmp_path / "plate.ome.zarr")
    assert layer.data.shape == (20, 24)
    np.testing.assert_allclose(layer.scale, (2, 2))


def test_what_the_core_refuses_is_left_to_napari(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_info", told.append)
    tifffile.imwrite(tmp_path / "complex.ome.tif", np.ones((8, 8), np.complex64))
    read = get_reader(str(tmp_path / "complex.ome.tif"))
    assert read is not None
    ((pixels, *_),) = read(str(tmp_path / "complex.ome.tif"))
    assert pixels.dtype == np.complex64
    assert told[0].startswith("Opened by napari, without its pixel sizes: ")


def test_what_is_missing_or_damaged_is_no_layer(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path / "missing.ome.tif")) is None
    (tmp_path / "broken.ome.tif").write_bytes(b"II*\0broken")
    with pytest.raises(Exception, match="broken"):
        opened(tmp_path / "broken.ome.tif")


def test_files_that_are_stacked_are_left_to_napari(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{name}.ome.tif") for name in "ab"]
    for path in paths:
        tifffile.imwrite(path, noise(20, 24))
    read = get_reader(paths)
    assert read is not None
    ((data, *_),) = read(paths)
    assert data.shape == (2, 20, 24)


@pytest.mark.parametrize("note", ["[1", "[]", "{}", '{"shape": 5}', '{"shape": ["a"]}'])
def test_a_damaged_note_does_no_harm(tmp_path: Path, note: str) -> None:
    path = written(Image(noise(20, 24)), tmp_path, ".ome.zarr")
    group = zarr.open_group(path)
    group.attrs["napari-memnet/layer"] = note
    (back,) = opened(path)
    assert back.data.shape == (20, 24)
    assert back.name == "out"


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("inner", ["../secret/0", "a/../../secret/0", "/secret/0"])
def test_a_link_out_of_the_folder_is_refused(
    tmp_path: Path, level: int, inner: str
) -> None:
    zarr.open_group(tmp_path / "secret", mode="w").create_array("0", data=noise(20, 24))
    lazy = dask.array.from_array(noise(1500, 1300), chunks=500)
    layer = Image([lazy, lazy[::2, ::2]], contrast_limits=(0, 250))
    path = written(layer, tmp_path, ".ome.zarr")
    group = zarr.open_group(path)
    described: Any = group.attrs["ome"]
    described["multiscales"][0]["datasets"][level]["path"] = inner
    group.attrs["ome"] = described
    with pytest.raises(ImageError, match=r"out\.ome\.zarr cannot be read"):
        opened(path)


def test_chunks_are_read_when_they_are_looked_at(tmp_path: Path) -> None:
    layer = Image(noise(2, 600, 500))
    path = written(layer, tmp_path, ".ome.zarr")
    (back,) = opened(path)
    full = back.data[0] if back.multiscale else back.data
    assert full.chunksize == (1, 256, 256)
    np.testing.assert_array_equal(
        full[1, 250:270, 3:480], layer.data[1, 250:270, 3:480]
    )
    np.testing.assert_array_equal(full[0, 599], layer.data[0, 599])
