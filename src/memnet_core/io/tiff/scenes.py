"""Which pages of a TIFF make up an image, and which are no image of their own."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import tifffile

from memnet_core._util.sanitize import join_limited
from memnet_core.io.core.errors import wrap_parse_errors
from memnet_core.io.core.limits import check_planes
from memnet_core.io.tiff.ome_fileset import ome_set
from memnet_core.io.tiff.pages import open_tiff_checked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from memnet_core.io.core.opened import OpenedFile
    from memnet_core.io.tiff.ome_fileset import OmeSet

__all__ = ["TiffScene", "find_scenes"]

_NO_SCENE = re.compile(r"(label|macro|thumbnail|map)( image)?", re.IGNORECASE)
"""What slide scanners call the pictures that they take of the slide itself."""

_MASK = 4
_TELLING = frozenset({256, 257, 259, 262, 277})
"""Width, length, compression, photometric interpretation, samples of a pixel."""

_BY_PAGES = ("generic", "uniform")


@dataclass(frozen=True)
class TiffScene:
    """An image of a TIFF.

    Attributes
    ----------
    series : TiffPageSeries
        Its pages; None stands for one in a file that is not there.
    name : str
        What it is called; empty if it has no name.
    xml : str
        The OME-XML that describes it; empty if there is none.
    image : int
        Which image of the XML it is.
    lost : tuple of str
        What of it is lost already.
    may_lack : bool
        Whether pages may be missing, which `lost` tells then.
    """

    series: Any
    name: str = ""
    xml: str = ""
    image: int = 0
    lost: tuple[str, ...] = ()
    may_lack: bool = False


def find_scenes(
    opened: OpenedFile, resources: ExitStack
) -> tuple[tifffile.TiffFile, list[TiffScene], list[str]]:
    """Open a TIFF and find its images.

    Parameters
    ----------
    opened : OpenedFile
        The file; it has to stay open.
    resources : ExitStack
        Gets the readers of it.

    Returns
    -------
    TiffFile
        The open file.
    list of TiffScene
        At least one, in the order of the file.
    list of str
        Pages that are no image of their own: thumbnails, labels, masks.

    Raises
    ------
    ValueError
        If it holds no image.
    """
    path, handle = opened.path, opened.rewound()
    file = resources.enter_context(open_tiff_checked(handle))
    found, lost = None, ""
    if file.is_ome:
        found, lost = ome_set(path, str(file.ome_metadata), _is_whole)
    if found:
        check_planes(found.planes, len(file.pages) * (1 + len(found.siblings)))
        file = resources.enter_context(open_tiff_checked(handle, omexml=found.readable))
    with wrap_parse_errors("its tags"):
        if not len(file.pages):
            raise ValueError("the TIFF holds no image")
        series = _series(file)
        if not series or (series[0].kind in _BY_PAGES and len(series) > 1):
            if found:
                lost = "OME metadata (does not fit its pages)"
            file = resources.enter_context(open_tiff_checked(handle))
            return file, *_runs_of_pages(file, lost)
        if found and series[0].kind == "ome":
            scenes = [_of_ome(found, one) for one in series]
            read = {scene.image for scene in scenes}
            gone = [n for number, n in found.names.items() if number not in read]
        else:
            scenes, gone = [_plain(one, found, lost) for one in series], []
    scenes, left_out = _with_thumbnails_out(scenes)
    unfit = [
        f"image {name!r} (its description does not fit its pages)" for name in gone
    ]
    return file, scenes, [*left_out, *unfit]


def _series(file: tifffile.TiffFile) -> list[Any]:
    """Return the series of a file; none if pages of one series are not alike."""
    try:
        series = [*file.series]
    except RuntimeError:
        return []
    # Of a long stack tifffile looks at three pages, and takes the others for the same.
    if any(one.kind == "uniform" and not _are_alike(file, one) for one in series):
        return []
    return series


def _are_alike(file: tifffile.TiffFile, series: Any) -> bool:
    """Whether the directories of all pages tell the same size and kind of pixels."""
    layout, handle = file.tiff, file.filehandle
    known = set()
    for page in series.pages:
        handle.seek(page.offset)
        (count,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
        entries = handle.read(count * layout.tagsize)
        tags = [
            entries[start : start + layout.tagsize]
            for start in range(0, len(entries), layout.tagsize)
        ]
        code = f"{layout.byteorder}H"
        known.add(
            b"".join(t for t in tags if struct.unpack_from(code, t)[0] in _TELLING)
        )
    return len(known) <= 1


def _plain(series: Any, found: OmeSet | None, lost: str) -> TiffScene:
    name = series.name if series.kind not in (*_BY_PAGES, "imagej", "shaped") else ""
    return TiffScene(
        series,
        name,
        found.xml if found else "",
        min(found.names, default=0) if found else 0,
        lost=(lost,) if lost else (),
    )


def _of_ome(found: OmeSet, series: Any) -> TiffScene:
    number = int(series.name)
    reasons = {
        "not there or damaged": found.missing,
        "outside of its folder, not read": found.outside,
    }
    lost = tuple(
        f"planes in {join_limited([*map(repr, names)])} ({reason})"
        for reason, names in reasons.items()
        if names
    )
    return TiffScene(
        series,
        found.names[number],
        found.xml,
        number,
        lost=lost,
        may_lack=bool(lost),
    )


def _is_whole(path: Path) -> bool:
    """Whether all pages of another file of a set can be read."""
    if not path.is_file():
        return False
    try:
        with open_tiff_checked(path) as file:
            size = file.filehandle.size
            return all(
                offset + count <= size
                for page in file.pages
                for offset, count in zip(
                    page.dataoffsets, page.databytecounts, strict=True
                )
            )
    except Exception:  # noqa: BLE001 - tifffile raises anything on damaged files
        return False


def _with_thumbnails_out(
    scenes: list[TiffScene],
) -> tuple[list[TiffScene], list[str]]:
    """Take out what is a picture of another scene, or of the slide."""
    kept, out = [], []
    for scene in scenes:
        page = scene.series.keyframe
        if _NO_SCENE.fullmatch(scene.name):
            out.append(f"image {scene.name!r} (shows no specimen)")
        elif _is_marked(page):
            out.append(f"page {page.index} (marked as {_mark(page)})")
        else:
            kept.append(scene)
    return (kept, out) if kept else (scenes, [])


def _runs_of_pages(
    file: tifffile.TiffFile, lost: str
) -> tuple[list[TiffScene], list[str]]:
    """Return pages of different kinds as scenes: each run of like ones is a stack."""
    pages = [page for page in _pages(file) if page.shape]
    left_out = [
        f"page {page.index} (marked as {_mark(page)})"
        for page in pages
        if _is_marked(page)
    ]
    if len(left_out) == len(pages):
        left_out = []
    else:
        pages = [page for page in pages if not _is_marked(page)]
    scenes = []
    for _, run in groupby(pages, key=lambda page: page.hash):
        alike = [*run]
        shape, axes = alike[0].shape, alike[0].axes
        if len(alike) > 1:
            shape, axes = (len(alike), *shape), f"I{axes}"
        series = tifffile.TiffPageSeries(
            alike, shape, alike[0].dtype, axes, kind="generic"
        )
        scenes.append(TiffScene(series, lost=(lost,) if lost else ()))
    if not scenes:
        raise ValueError("the TIFF holds no image")
    return scenes, left_out


def _pages(file: tifffile.TiffFile) -> Iterator[Any]:
    """Yield pages, and those below a thumbnail, where cameras put the picture."""
    for page in file.pages:
        yield page
        if _is_marked(page) and page.pages:
            yield from page.pages


def _is_marked(page: Any) -> bool:
    return bool(page.is_reduced or page.subfiletype & _MASK)


def _mark(page: Any) -> str:
    return "reduced" if page.is_reduced else "mask"
