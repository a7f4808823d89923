"""Sources that go away, or are changed, while they are read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

from memnet_core.errors import ImageError
from memnet_core.io import open_image

if TYPE_CHECKING:
    from pathlib import Path

ROWS = slice(0, 8)


def image(path: Path, version: Any, shards: tuple[int, ...] | None) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    options: dict[str, Any] = {"shards": shards} if shards else {}
    group.create_array("0", shape=(3, 16, 16), chunks=(1, 8, 8), dtype="u1", **options)
    group["0"][:2] = 7  # type: ignore[index]
    described = {
        "multiscales": [
            {"axes": [{"name": name} for name in "zyx"], "datasets": [{"path": "0"}]}
        ]
    }
    group.attrs.update(described if version == 2 else {"ome": described})
    return path


@pytest.mark.parametrize(
    ("version", "shards", "gone"),
    [
        (2, None, "0/1.0.0"),
        (3, None, "0/c/1/0/0"),
        (3, (1, 16, 16), "0/c/1/0/0"),
        (2, None, "0/.zarray"),
        (3, None, "0/zarr.json"),
    ],
)
def test_chunk_that_was_there_and_is_gone_is_an_error(
    version: int, shards: tuple[int, ...] | None, gone: str, tmp_path: Path
) -> None:
    path = image(tmp_path / "a.zarr", version, shards)
    with open_image(path) as source:
        assert source.read(0, ROWS, ROWS).min() == 7
        (path / gone).unlink()
        with pytest.raises(ImageError, match=rf"{path / gone} was there and is not"):
            source.read(1, ROWS, ROWS)


@pytest.mark.parametrize("version", [2, 3])
def test_chunk_that_never_was_there_is_zeros(version: int, tmp_path: Path) -> None:
    with open_image(image(tmp_path / "a.zarr", version, None)) as source:
        assert source.read(2, ROWS, ROWS).max() == 0


def test_image_that_is_moved_is_an_error(tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", 3, None)
    with open_image(path) as source:
        source.read(0, ROWS, ROWS)
        path.rename(tmp_path / "b.zarr")
        with pytest.raises(ImageError, match=r"a\.zarr cannot be read: "):
            source.read(1, ROWS, ROWS)


def test_tiff_that_is_changed_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((3, 64, 64), 7, np.uint8), photometric="minisblack")
    with open_image(path) as source:
        assert source.read(0, ROWS, ROWS).min() == 7
        with path.open("r+b") as file:
            file.seek(-4000, os.SEEK_END)
            file.write(bytes(4000))
        with pytest.raises(ImageError, match="changed while it was read"):
            source.read(2, ROWS, ROWS)


@pytest.mark.parametrize("leading", [(2, 3), (2, 2, 3)])
def test_unknown_axes_of_which_there_are_several_are_told_apart(
    leading: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (*leading, 24, 32), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack")
    with open_image(path) as source:
        assert len(set(source.axes)) == len(source.axes)
        np.testing.assert_array_equal(source.image().pixels, pixels)
