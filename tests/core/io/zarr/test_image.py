"""OME-Zarr in and out: layout, transforms, attributes, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from memnet_core.errors import ImageError
from memnet_core.io import (
    Calibration,
    Image,
    ImageFile,
    in_memory,
    is_image_folder,
    open_image,
    probe,
)
from memnet_core.io.zarr.image import (
    ZarrLayout,
    create_ome_zarr,
    layout_for,
    open_level,
    shrink_block,
)
from memnet_core.io.zarr.ngff import image_attributes, multiscale_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AXES = [
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]
IMAGE = {
    "name": "mine",
    "axes": AXES,
    "datasets": [
        {
            "path": "full",
            "coordinateTransformations": [
                {"type": "scale", "scale": [1, 2, 0.5, 0.5]},
                {"type": "translation", "translation": [0, 0, 10, 20]},
            ],
        }
    ],
    "coordinateTransformations": [{"type": "scale", "scale": [1, 3, 1, 1]}],
}


def write_image(path: Path, zarr_format: Any = 3, shape: Any = (2, 3, 20, 30)) -> Any:
    described: dict[str, Any] = {
        "multiscales": [IMAGE],
        "omero": {"channels": [{"label": "a"}, {"label": "b"}]},
    }
    attributes: Any = {"mine": 1, "ome": described} if zarr_format == 3 else described
    group = zarr.open_group(
        path, mode="w", zarr_format=zarr_format, attributes=attributes
    )
    array = group.create_array("full", shape=shape, chunks=(1, 3, 7, 11), dtype=">u2")
    pixels = np.random.default_rng(0).integers(0, 999, shape).astype(np.uint16)
    array[...] = pixels
    return pixels


def plane_of(file: ImageFile, plane: int) -> Any:
    _, height, width, _ = file.shape
    return file.read(plane, slice(0, height), slice(0, width))[..., 0]


def memory_stack(path: Path, *shape: int, axes: str) -> ImageFile:
    return in_memory(path, Image(np.zeros(shape, "uint16"), axes))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_image_is_read_in_any_chunking(zarr_format: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    pixels = write_image(path, zarr_format)
    with open_image(path) as stack:
        assert (stack.axes, stack.dtype) == ("CZYX", np.dtype("uint16"))
        np.testing.assert_array_equal(plane_of(stack, 4), pixels[1, 1])
        whole = slice(None)
        block = stack.read_block((slice(1, 2), slice(0, 2)), slice(3, 9), whole)
        np.testing.assert_array_equal(block[..., 0], pixels[1:, :2, 3:9])
        known = stack.metadata.calibration
    assert known.spacing == {"C": 1, "Z": 6, "Y": 0.5, "X": 0.5}
    assert known.units == dict.fromkeys("ZYX", "micrometer")
    assert known.channel_names == ("a", "b")
    assert probe(path).shape == (2, 3, 20, 30)


@pytest.mark.parametrize("scale", [1, 2])
def test_attributes_are_kept_and_transforms_follow_the_pixels(
    scale: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 3)
    result = tmp_path / "b.zarr"
    with open_image(path) as stack:
        layout = ZarrLayout(
            "CZYX", ((2, 3, 20, 30), (2, 3, 10, 15)), (1, 1, 8, 8), (1, 2, 16, 16)
        )
        create_ome_zarr(result, stack, layout, scale, None)
    attributes = dict(zarr.open_group(result, mode="r").attrs)
    assert attributes["mine"] == 1
    described: Any = attributes["ome"]
    (image,) = described["multiscales"]
    assert (image["name"], image["axes"]) == ("mine", AXES)
    assert image["coordinateTransformations"] == IMAGE["coordinateTransformations"]
    assert described["omero"]["channels"][1]["label"] == "b"
    for level, dataset in enumerate(image["datasets"]):
        size = 0.5 * 2**level / scale
        first, second = dataset["coordinateTransformations"]
        assert first["scale"] == [1, 2, size, size]
        corner = np.subtract(second["translation"], np.divide(first["scale"], 2))
        assert corner[2:] == pytest.approx([10 - 0.25, 20 - 0.25])


def test_formats_are_those_of_the_source(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        path = tmp_path / f"{zarr_format}.zarr"
        write_image(path, zarr_format)
        result = tmp_path / f"result{zarr_format}.zarr"
        with open_image(path) as stack:
            create_ome_zarr(result, stack, layout_for(stack, 1), 1, None)
        array = open_level(result, 0)
        assert array.metadata.zarr_format == zarr_format
        assert (array.shards is None) == (zarr_format == 2)
        assert array.dtype == np.uint16


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        ("TZCYX", (3, 8, 2, 1024, 1024), "TCZYX"),
        ("YX", (50, 60), "YX"),
        ("ZYXS", (4, 50, 60, 3), "CZYX"),
        ("QYX", (4, 50, 60), "QYX"),
    ],
)
def test_axes_are_in_the_order_of_ngff(
    axes: str, shape: tuple[int, ...], expected: str, tmp_path: Path
) -> None:
    layout = layout_for(memory_stack(tmp_path / "a.tif", *shape, axes=axes), 1)
    assert layout.axes == expected
    sizes = dict(zip(axes.replace("S", "C"), shape, strict=True))
    assert layout.shapes[0] == tuple(sizes[axis] for axis in expected)


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("size", [20, 300, 1024, 1500])
def test_blocks_partition_the_image_in_whole_chunks(
    size: int, scale: int, tmp_path: Path
) -> None:
    stack = memory_stack(tmp_path / "a.tif", 2, 40, size, size // 2, axes="TZYX")
    layout = layout_for(stack, scale)
    for level, shape in enumerate(layout.shapes):
        seen = np.zeros(shape, np.uint8)
        for index in range(layout.blocks(level)):
            seen[layout.block(level, index)] += 1
        assert seen.min() == seen.max() == 1
    for side, part in zip(layout.shard, layout.chunk, strict=True):
        assert side % part == 0
    assert np.prod(layout.shard) * 2 <= 2**25
    assert max(layout.shapes[-1][-2:]) <= 512


def test_colors_in_channels_are_refused(tmp_path: Path) -> None:
    stack = memory_stack(tmp_path / "a.tif", 2, 9, 9, 3, axes="CYXS")
    with pytest.raises(ImageError, match="OME-Zarr cannot hold; choose format='tiff'"):
        layout_for(stack, 1)


def test_coarser_pixels_are_means_also_at_odd_edges() -> None:
    fine = np.array([[0, 2, 9], [4, 7, 11], [1, 3, 6]], np.uint8)
    block = shrink_block(fine, (slice(0, 2), slice(0, 2)))
    np.testing.assert_array_equal(block, np.array([[3, 10], [2, 6]], np.uint8))


def test_new_attributes_name_axes_units_and_channels() -> None:
    known = Calibration(
        spacing={"X": 0.1}, units={"X": "micrometer"}, channel_names=("DAPI",)
    )
    transforms = [((1.0, 1.0, 0.1), (0.0, 0.0, 0.0))]
    for zarr_format, version in ((2, "0.4"), (3, "0.5")):
        attributes = image_attributes(
            {},
            "CYX",
            known,
            transforms,
            zarr_format=zarr_format,
            display=(0, 255, 3, 9),
        )
        described = attributes["ome"] if zarr_format == 3 else attributes
        assert version in (
            described.get("version"),
            described["multiscales"][0].get("version"),
        )
        (channel,) = described["omero"]["channels"]
        assert channel["label"] == "DAPI"
        assert channel["window"] == {"min": 0, "max": 255, "start": 3, "end": 9}
        image = multiscale_of(attributes)
        assert image.axes == "CYX"
        assert image.calibration.units == {"X": "micrometer"}


def remove_marks(path: Path) -> None:
    for mark in path.glob("*.json"):
        mark.unlink()


def rename_axis(path: Path) -> None:
    mark = path / "zarr.json"
    described = json.loads(mark.read_text())
    described["attributes"]["ome"]["multiscales"][0]["axes"][1]["name"] = "angle"
    mark.write_text(json.dumps(described))


def make_plate(path: Path) -> None:
    zarr.open_group(path, mode="w", attributes={"ome": {"plate": {}}})


def make_plain(path: Path) -> None:
    zarr.open_group(path, mode="w", attributes={})


def lose_pixels(path: Path) -> None:
    (path / "full" / "zarr.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove_marks, "it is no OME-Zarr image, but a folder without zarr.json"),
        (rename_axis, "its axis 'angle' has no name of one letter"),
        (make_plate, "its description of plate and wells cannot be understood"),
        (make_plain, "it holds no OME-Zarr image of NGFF 0.4 or 0.5"),
        (lose_pixels, r"a\.zarr cannot be read: "),
    ],
)
def test_what_is_no_image_is_refused(
    damage: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    write_image(path)
    damage(path)
    assert is_image_folder(path)
    with pytest.raises(ImageError, match=reason):
        probe(path)


def test_damaged_chunk_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path)
    (path / "full/c/0/0/0/0").write_bytes(b"damaged")
    with open_image(path) as stack:
        plane_of(stack, 3)
        with pytest.raises(ImageError, match=r"a\.zarr cannot be read"):
            plane_of(stack, 0)
