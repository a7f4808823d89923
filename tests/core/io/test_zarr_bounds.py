"""Zarr folders whose files do not end, or are larger than what is read of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from memnet_core.errors import ImageError
from memnet_core.io import open_image, probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METADATA = {
    2: (".zgroup", ".zattrs", "0/.zarray", ".zmetadata"),
    3: ("zarr.json", "0/zarr.json"),
}


def write_image(path: Path, zarr_format: Any) -> None:
    axes = [{"name": name, "type": "space"} for name in "yx"]
    described = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    attributes: Any = described if zarr_format == 2 else {"ome": described}
    group = zarr.open_group(
        path, mode="w", zarr_format=zarr_format, attributes=attributes
    )
    array = group.create_array("0", shape=(20, 30), chunks=(16, 16), dtype="u1")
    array[...] = np.ones((20, 30))


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [link_to_zeros, os.mkfifo])
@pytest.mark.parametrize(
    ("zarr_format", "name"), [(v, name) for v in METADATA for name in METADATA[v]]
)
def test_metadata_without_an_end_are_refused(
    make: Callable[[Path], None], zarr_format: int, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, zarr_format)
    (path / name).unlink(missing_ok=True)
    make(path / name)
    with pytest.raises(ImageError, match=f"a.zarr cannot be read: {name} in it is a p"):
        probe(path)


@pytest.mark.parametrize(
    "name", [name for names in METADATA.values() for name in names]
)
def test_metadata_above_their_bound_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 3 if name.endswith("json") else 2)
    (path / name).touch()
    os.truncate(path / name, 2**34)
    with pytest.raises(ImageError, match=f"{name} in it has 16,384 MiB, more than the"):
        probe(path)


@pytest.mark.parametrize("make", [link_to_zeros, os.mkfifo])
@pytest.mark.parametrize("zarr_format", METADATA)
def test_chunk_without_an_end_is_refused(
    make: Callable[[Path], None], zarr_format: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, zarr_format)
    name = "0/c/1/0" if zarr_format == 3 else "0/1.0"
    (path / name).unlink()
    make(path / name)
    whole = slice(0, 30)
    with open_image(path) as file:
        assert np.all(file.read(0, slice(0, 16), whole) == 1)
        with pytest.raises(ImageError, match=f"{name} in it is a pipe, a device"):
            file.read(0, slice(16, 20), whole)


def test_links_to_ordinary_files_are_followed(tmp_path: Path) -> None:
    path, stored = tmp_path / "a.zarr", tmp_path / "store"
    write_image(path, 3)
    (path / "0").rename(stored)
    (path / "0").symlink_to(stored)
    with open_image(path) as file:
        assert np.all(file.image().pixels == 1)
