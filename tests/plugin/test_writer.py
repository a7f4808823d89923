"""Saving layers as OME-TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
import pytest
import tifffile
from napari.layers import Image

from memnet_core.errors import ImageError
from napari_memnet._writer import write_ome_tiff, write_ome_tiffs

if TYPE_CHECKING:
    from pathlib import Path


def saved(layer: Image, path: Path) -> tuple[Any, dict[str, Any], str]:
    """Save a layer; return pixels, OME's description of them, and their axes."""
    data, attributes, _ = layer.as_layer_data_tuple()
    assert write_ome_tiff(str(path), data, attributes) == [str(path)]
    with tifffile.TiffFile(path) as file:
        described = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]
        return file.asarray(), described, file.series[0].axes


def noise(*shape: int, dtype: str = "uint16") -> Any:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def test_pixels_sizes_and_units_are_kept(tmp_path: Path) -> None:
    layer = Image(
        noise(3, 20, 24),
        scale=(0.5, 0.1, 0.2),
        units=("um", "um", "nm"),
        axis_labels=("z", "y", "x"),
    )
    pixels, described, axes = saved(layer, tmp_path / "out.ome.tif")
    np.testing.assert_array_equal(pixels, layer.data)
    assert axes == "ZYX"
    assert [described[f"PhysicalSize{a}"] for a in "ZYX"] == [0.5, 0.1, 0.2]
    assert [described[f"PhysicalSize{a}Unit"] for a in "ZYX"] == ["µm", "µm", "nm"]


def test_time_steps_and_channels_are_kept(tmp_path: Path) -> None:
    layer = Image(
        noise(2, 3, 20, 24),
        scale=(1.5, 1, 0.1, 0.1),
        units=("s", "pixel", "um", "um"),
        axis_labels=("time", "channel", "y", "x"),
    )
    pixels, described, axes = saved(layer, tmp_path / "out.ome.tif")
    np.testing.assert_array_equal(pixels, layer.data)
    assert axes == "TCYX"
    assert (described["SizeT"], described["SizeC"]) == (2, 3)
    assert (described["TimeIncrement"], described["TimeIncrementUnit"]) == (1.5, "s")


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((20, 24), "YX"),
        ((2, 20, 24), "ZYX"),
        ((2, 3, 20, 24), "TZYX"),
        ((2, 3, 4, 20, 24), "TCZYX"),
    ],
    ids=str,
)
def test_axes_without_labels_are_the_usual_ones(
    tmp_path: Path, shape: tuple[int, ...], axes: str
) -> None:
    pixels, described, found = saved(Image(noise(*shape)), tmp_path / "out.ome.tif")
    assert found == axes
    assert pixels.shape == shape
    assert "PhysicalSizeX" not in described


def test_pixels_without_a_unit_keep_their_size(tmp_path: Path) -> None:
    layer = Image(noise(3, 20, 24), scale=(0.5, -0.1, 0.1))
    _, described, _ = saved(layer, tmp_path / "out.ome.tif")
    assert [described[f"PhysicalSize{a}"] for a in "ZYX"] == [0.5, 0.1, 0.1]
    assert described["PhysicalSizeXUnit"] == "pixel"


def test_an_axis_that_is_counted_in_seconds_is_time(tmp_path: Path) -> None:
    layer = Image(noise(3, 20, 24), scale=(2, 0.1, 0.1), units=("s", "um", "um"))
    _, described, axes = saved(layer, tmp_path / "out.ome.tif")
    assert axes == "TYX"
    assert described["TimeIncrement"] == 2
    assert "PhysicalSizeZ" not in described


def test_types_that_ome_does_not_have_are_one_sentence(tmp_path: Path) -> None:
    layer = Image(noise(20, 24, dtype="int64"))
    with pytest.raises(ImageError, match="int64"):
        saved(layer, tmp_path / "out.ome.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_types_are_kept(tmp_path: Path, dtype: str) -> None:
    layer = Image(noise(20, 24, dtype=dtype), contrast_limits=(0, 250))
    pixels, _, _ = saved(layer, tmp_path / "out.ome.tif")
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, layer.data)


def test_color_is_kept(tmp_path: Path) -> None:
    layer = Image(noise(20, 24, 3, dtype="uint8"), rgb=True)
    pixels, _, axes = saved(layer, tmp_path / "out.ome.tif")
    assert axes == "YXS"
    np.testing.assert_array_equal(pixels, layer.data)


def test_lazy_and_multiscale_data_are_written_in_full_resolution(
    tmp_path: Path,
) -> None:
    full = noise(3, 40, 48)
    lazy = dask.array.from_array(full, chunks=(1, 40, 48))
    layer = Image([lazy, lazy[:, ::2, ::2]], contrast_limits=(0, 250))
    pixels, _, _ = saved(layer, tmp_path / "out.ome.tif")
    np.testing.assert_array_equal(pixels, full)


def test_more_axes_than_ome_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="five axes at most, not 6"):
        saved(Image(noise(1, 1, 1, 1, 20, 24)), tmp_path / "out.ome.tif")


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be written: "):
        saved(Image(noise(20, 24)), tmp_path / "nowhere" / "out.ome.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("out", "out.ome.tif"),
        ("out.tif", "out.ome.tif"),
        ("out.TIFF", "out.ome.tif"),
        ("out.ome.tiff", "out.ome.tiff"),
        ("cells 1.5", "cells 1.5.ome.tif"),
    ],
)
def test_the_suffix_is_added(tmp_path: Path, asked: str, written: str) -> None:
    data, attributes, _ = Image(noise(20, 24)).as_layer_data_tuple()
    path = str(tmp_path / written)
    assert write_ome_tiff(str(tmp_path / asked), data, attributes) == [path]
    np.testing.assert_array_equal(tifffile.imread(path), data)


def test_several_layers_become_files_by_their_names(tmp_path: Path) -> None:
    layers = [
        Image(noise(20, 24), name=name).as_layer_data_tuple()
        for name in ("red", "σ 5/25")
    ]
    paths = write_ome_tiffs(str(tmp_path / "out.ome.tif"), layers)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["out red.ome.tif", "out σ 5_25.ome.tif"]
    assert paths == [str(tmp_path / name) for name in names]


def test_no_file_is_replaced_that_nobody_was_asked_about(tmp_path: Path) -> None:
    (tmp_path / "out b.ome.tif").write_bytes(b"precious")
    layers = [
        Image(noise(20, 24), name=name).as_layer_data_tuple() for name in ("a", "b")
    ]
    with pytest.raises(ImageError, match="would be replaced"):
        write_ome_tiffs(str(tmp_path / "out"), layers)
    assert [path.name for path in tmp_path.iterdir()] == ["out b.ome.tif"]
