"""The tree of a collection in OME-Zarr, in which results are put image by image."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memnet_core._util.atomic_write import make_folder, replaced_when_complete
from memnet_core.io import open_scenes
from memnet_core.io.core.errors import (
    wrap_parse_errors,
    wrap_read_errors,
    wrap_write_errors,
)
from memnet_core.io.tiff.description import OmeXml
from memnet_core.io.tiff.ome_xml import metadata_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memnet_core.batch.jobs import Job

__all__ = ["write_collection_metadata"]

_GROUP_FILES = ("zarr.json", ".zgroup", ".zattrs")
_CONSOLIDATED = "consolidated_metadata"
_OME = "OME"
_XML = "METADATA.ome.xml"
_LARGEST = 2**28


def write_collection_metadata(job: Job, scale: int) -> None:
    """Write what a collection says of itself above an image that will be placed in it.

    Every image does so, whoever makes it; what is there already stays.

    Parameters
    ----------
    job : Job
        An image inside of a collection.
    scale : int
        How many of the new pixels stand for one of before along Y and X.

    Raises
    ------
    ImageError
        If the source cannot be read or the folder cannot be written.
    """
    depth = len(Path(job.inside).parts)
    root = job.output.parents[depth - 1]
    if job.scene is None:
        with wrap_read_errors(job.source):
            files = [*_kept(job.source.parents[depth - 1], job.inside, scale)]
    else:
        files = [*_made(job.source, scale)]
    for inner, content in files:
        path = root / inner
        if job.overwrite or not path.exists():
            make_folder(path.parent, job.root)
            with wrap_write_errors(path), replaced_when_complete(path) as temporary:
                temporary.write_bytes(content)


def _kept(root: Path, inside: str, scale: int) -> Iterator[tuple[Path, bytes]]:
    """Yield the files that describe a collection, on the way to an image."""
    folder = Path()
    for part in Path(inside).parts:
        for name in _GROUP_FILES:
            if (root / folder / name).is_file():
                yield folder / name, _group_file(root / folder / name)
        folder /= part
    for parent, _, names in os.walk(root / _OME):
        for name in sorted(names):
            path = Path(parent, name)
            if not path.is_file() or path.is_symlink():
                continue
            content = _read(path)
            if name == _XML and scale > 1:
                content = _described(content.decode("utf-8-sig", "replace"), scale)
            yield path.relative_to(root), content


def _group_file(path: Path) -> bytes:
    """Return the metadata of a group, without what it repeats of those below."""
    content = _read(path)
    if path.name != "zarr.json":
        return content
    with wrap_parse_errors(f"its {path.name}"):
        described = json.loads(content)
        if described.pop(_CONSOLIDATED, None) is None:
            return content
        return _json(described)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"{path.name} has more than {_LARGEST >> 20} MiB")
    return content


def _described(xml: str, scale: int, images: list[int] | None = None) -> bytes:
    with wrap_parse_errors("its OME-XML"):
        return metadata_only(xml, scale, images).encode()


def _made(source: Path, scale: int) -> Iterator[tuple[Path, bytes]]:
    """Yield the files that describe the scenes of a file as a collection."""
    with open_scenes(source) as scenes:
        names = [str(number) for number in range(len(scenes))]
        texts = []
        for number in range(len(scenes)):
            with scenes.open(number) as image:
                texts.append(image.metadata.native)
    yield Path("zarr.json"), _group({"bioformats2raw.layout": 3})
    yield Path(_OME, "zarr.json"), _group({"series": names})
    ome = [text for text in texts if isinstance(text, OmeXml)]
    if len(ome) == len(texts) and len({text.xml for text in ome}) == 1:
        xml = _described(ome[0].xml, scale, [text.image for text in ome])
        yield Path(_OME, _XML), xml


def _group(described: dict[str, Any]) -> bytes:
    attributes = {"ome": {"version": "0.5", **described}}
    return _json({"zarr_format": 3, "node_type": "group", "attributes": attributes})


def _json(described: dict[str, Any]) -> bytes:
    return (json.dumps(described, indent=2) + "\n").encode()
