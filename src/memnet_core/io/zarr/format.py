"""OME-Zarr as a format: single images and collections."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from memnet_core._util.sanitize import join_limited
from memnet_core.io.core.errors import wrap_parse_errors
from memnet_core.io.core.format import Format
from memnet_core.io.core.image_file import probe_of_stack
from memnet_core.io.core.scenes import Scenes, chosen_image
from memnet_core.io.zarr.image import TOLD, open_ome_zarr
from memnet_core.io.zarr.ngff import described_by, inner_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from memnet_core.io.core.image import Probe
    from memnet_core.io.core.opened import OpenedFile

__all__ = ["OME_ZARR", "Collection", "collection_of"]


_OME = "OME"
_GROUP = "OME-Zarr group"
_LAYOUT = "bioformats2raw.layout"
_NO_IMAGES = frozenset({_OME, "labels"})
_DEEPEST = 3
"""Levels of folders that describe nothing: those of rows and wells have two."""

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Collection:
    """The images of a folder.

    Attributes
    ----------
    title : str
        What people call it.
    names : tuple of str
        Folders of the images below it, such as ``A/1/0``.
    missing : tuple of str
        Folders that it names and that are not there.
    """

    title: str
    names: tuple[str, ...]
    missing: tuple[str, ...] = ()


def collection_of(folder: Path) -> Collection | None:
    """Return the images of a folder; None if it is an image, or no Zarr group.

    Raises
    ------
    ValueError
        If its attributes cannot be understood, or no image that they name is there.
    """
    attributes = _attributes(folder)
    if attributes is None or "multiscales" in attributes:
        return None
    with wrap_parse_errors("its description of plate and wells"):
        title, found = _listed(folder, attributes)
    names = dict.fromkeys(found)
    if not names and title == _GROUP:
        return None
    there = tuple(name for name in names if _is_there(folder / name))
    if not there:
        raise ValueError(f"it is an {title} of which no image is there")
    return Collection(title, there, tuple(n for n in names if n not in there))


def _listed(folder: Path, attributes: Mapping[str, Any]) -> tuple[str, list[str]]:
    if "plate" in attributes:
        named = attributes["plate"]["wells"]
        wells = dict.fromkeys(inner_path(well["path"]) for well in named)
        return "OME-Zarr plate", [n for well in wells for n in _of_well(folder, well)]
    if "well" in attributes:
        return "OME-Zarr well", [*_of_well(folder, "")]
    if _LAYOUT in attributes:
        series = (_attributes(folder / _OME) or {}).get("series")
        names = _numbered(folder) if series is None else [inner_path(s) for s in series]
        return "OME-Zarr collection of bioformats2raw", names
    return _GROUP, [*_below(folder, _DEEPEST)]


def _of_well(folder: Path, well: str) -> Iterator[str]:
    """Yield the fields of a well, or its own name if it is not there."""
    attributes = _attributes(folder / well)
    if attributes is None:
        yield well
        return
    fields = [inner_path(field["path"]) for field in attributes["well"]["images"]]
    for field in fields:
        yield f"{well}/{field}" if well else field


def _numbered(folder: Path) -> list[str]:
    return sorted((name for name in _groups(folder) if name.isdecimal()), key=int)


def _below(folder: Path, depth: int) -> Iterator[str]:
    """Yield the images below a group that does not name them."""
    for name in _groups(folder):
        attributes = _attributes(folder / name) or {}
        if "multiscales" in attributes:
            if "image-label" not in attributes:
                yield name
        elif depth:
            for inner in (
                _below(folder / name, depth - 1)
                if not attributes.keys() & {"plate", "well", _LAYOUT}
                else _listed(folder / name, attributes)[1]
            ):
                yield f"{name}/{inner}"


def _groups(folder: Path) -> list[str]:
    """Return the folders of a group that may be images, ordered by their numbers."""
    names = [
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir(follow_symlinks=False)
        and not entry.name.startswith(".")
        and entry.name not in _NO_IMAGES
    ]
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    parts = _DIGITS.split(name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _is_there(folder: Path) -> bool:
    return _attributes(folder) is not None


def _attributes(folder: Path) -> Mapping[str, Any] | None:
    """Return what the attributes of a group describe; None if it is no group."""
    import zarr
    from zarr.errors import BaseZarrError

    from memnet_core.io.zarr.limits import BoundedStore

    if not folder.is_dir():
        return None
    store = BoundedStore(folder, read_only=True)
    try:
        return described_by(dict(zarr.open_group(store, mode="r").attrs))
    except (BaseZarrError, OSError):
        return None


_MARKS = ("zarr.json", ".zgroup", ".zattrs")


def _is_zarr(path: Path) -> bool:
    """Whether a folder is named or laid out as Zarr."""
    return os.path.isdir(path) and (
        path.suffix.lower() == ".zarr"
        or any(os.path.isfile(path / mark) for mark in _MARKS)
    )


def _scenes(opened: OpenedFile) -> Scenes:
    """Find the images of a folder: itself, or those below it."""
    path = opened.path
    found = collection_of(path)
    if found is None:
        return Scenes(
            path, [""], lambda _, axes: open_ome_zarr(path, axes), title="OME-Zarr"
        )
    missing = join_limited(found.missing)
    return Scenes(
        path,
        found.names,
        lambda number, axes: open_ome_zarr(path / found.names[number], axes),
        title=found.title,
        left_out=[f"{missing} (not there)"] if missing else [],
        are_folders=True,
    )


def _probe(opened: OpenedFile) -> Probe:
    """Read the headers of the images; shape and type are those of the first."""
    with _scenes(opened) as scenes:
        probes = []
        for number in range(len(scenes)):
            with scenes.open(number) as file:
                probes.append(probe_of_stack(file))
        megapixels = sum(probe.megapixels for probe in probes)
        return replace(probes[0], megapixels=megapixels, scenes=len(scenes))


def _told(opened: OpenedFile) -> str:
    """Return what the attributes tell of how an image was made."""
    import zarr

    from memnet_core.io.zarr.limits import BoundedStore

    store = BoundedStore(opened.path, read_only=True)
    return str(zarr.open_group(store, mode="r").attrs.get(TOLD, ""))


OME_ZARR = Format(
    name="ome-zarr",
    title="OME-Zarr",
    suffixes=(".ome.zarr", ".zarr"),
    sniff=lambda path, head: not head and _is_zarr(path),
    probe=_probe,
    open=lambda file, axes: chosen_image(_scenes(file), axes),
    scenes=_scenes,
    told=_told,
    is_folder=True,
    holds_axes=True,
    by_shards=True,
)
