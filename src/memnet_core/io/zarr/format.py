"""OME-Zarr as a format: a folder that is an image, or a collection of images."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from memnet_core._util.sanitize import listed
from memnet_core.io.core.format import Format
from memnet_core.io.core.image_file import probe_of_stack
from memnet_core.io.core.scenes import Scenes, chosen_image
from memnet_core.io.zarr.collection import collection_of
from memnet_core.io.zarr.image import TOLD, open_ome_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.io.core.image import Probe

__all__ = ["OME_ZARR"]

_MARKS = ("zarr.json", ".zgroup", ".zattrs")


def _is_zarr(path: Path) -> bool:
    """Whether a folder is named or laid out as Zarr."""
    return os.path.isdir(path) and (
        path.suffix.lower() == ".zarr"
        or any(os.path.isfile(path / mark) for mark in _MARKS)
    )


def _scenes(path: Path) -> Scenes:
    """Find the images of a folder: itself, or those below it."""
    found = collection_of(path)
    if found is None:
        return Scenes(
            path, [""], lambda _, axes: open_ome_zarr(path, axes), title="OME-Zarr"
        )
    missing = listed(found.missing)
    return Scenes(
        path,
        found.names,
        lambda number, axes: open_ome_zarr(path / found.names[number], axes),
        title=found.title,
        left_out=[f"{missing} (not there)"] if missing else [],
        are_folders=True,
    )


def _probe(path: Path) -> Probe:
    """Read the headers of the images; shape and type are those of the first."""
    with _scenes(path) as scenes:
        probes = []
        for number in range(len(scenes)):
            with scenes.open(number) as file:
                probes.append(probe_of_stack(file))
        megapixels = sum(probe.megapixels for probe in probes)
        return replace(probes[0], megapixels=megapixels, scenes=len(scenes))


def _told(path: Path) -> str:
    """Return what the attributes tell of how an image was made."""
    import zarr

    from memnet_core.io.zarr.limits import BoundedStore

    store = BoundedStore(path, read_only=True)
    return str(zarr.open_group(store, mode="r").attrs.get(TOLD, ""))


OME_ZARR = Format(
    name="ome-zarr",
    title="OME-Zarr",
    suffixes=(".ome.zarr", ".zarr"),
    sniff=lambda path, head: not head and _is_zarr(path),
    probe=_probe,
    open=lambda path, axes: chosen_image(_scenes(path), axes),
    scenes=_scenes,
    told=_told,
    is_folder=True,
    holds_axes=True,
    by_shards=True,
)
