"""OME-TIFFs of several files, of which each describes all: which planes lie where.

Names of other files are taken for files of the same folder, and nothing else is opened.
"""

from __future__ import annotations

import copy
import math
import ntpath
import os
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

from memnet_core.io.core.errors import wrap_parse_errors
from memnet_core.io.core.limits import parsed_xml
from memnet_core.io.tiff.pages import open_tiff_checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from memnet_core.io.core.opened import OpenedFile

__all__ = ["OmeSet", "is_set_member", "ome_set", "set_members"]

_WHAT = "its OME-XML"
_OWN = ""
_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LARGEST_COMPANION = 2**28
"""Bytes; the XML of a plate of 384 wells has some 20 MB."""


@dataclass(frozen=True)
class OmeSet:
    """The images of which a file holds planes, and the files where the others are.

    Attributes
    ----------
    xml : str
        The description of all files, of this one or of its companion.
    readable : str
        XML of these images only, which names no file but those that are there; each
        image bears its number in `xml` as its name.
    names : mapping of int to str
        Names of the images, by their number in `xml`.
    siblings : tuple of Path
        The other files with planes of these images.
    missing : tuple of str
        Names of such files that are not there, or cannot be read.
    outside : tuple of str
        Names that lead out of the folder, which are not followed.
    planes : int
        Most planes that one of the images claims.
    """

    xml: str
    readable: str
    names: Mapping[int, str]
    siblings: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    planes: int = 0


def ome_set(
    path: Path, xml: str, is_usable: Callable[[Path], bool]
) -> tuple[OmeSet | None, str]:
    """Return what the OME-XML of a file says of itself and of other files.

    Parameters
    ----------
    path : Path
        The file.
    xml : str
        Its description.
    is_usable : callable
        Whether a file of the same folder can be read.

    Returns
    -------
    OmeSet, optional
        Nothing if the XML does not describe this file.
    str
        What of the description is lost, in that case.
    """
    with wrap_parse_errors(_WHAT):
        try:
            root = parsed_xml(xml, _WHAT)
            uuid, binary = root.get("UUID"), root.find("{*}BinaryOnly")
            if binary is not None:
                name = binary.get("MetadataFile", "")
                xml = _companion_text(path, name)
                if not xml:
                    return None, f"OME metadata (its file {name!r} is not there)"
                root = parsed_xml(xml, _WHAT)
        except ElementTree.ParseError:
            return None, "OME metadata (not understood)"
        return _described(path, xml, root, uuid, is_usable, binary is None)


def set_members(path: Path, opened: OpenedFile | None = None) -> tuple[Path, ...]:
    """Return the other files with planes of the images of a file; most have none.

    What cannot be read has none, either: whoever opens it learns why.

    Parameters
    ----------
    path : Path
        The file.
    opened : OpenedFile, optional
        The same, if it is open already.
    """
    try:
        text = _opened_text(opened) if opened else _text_of(path)
        if "FileName" not in text and "BinaryOnly" not in text:
            return ()
        found, _ = ome_set(path, text, _is_tiff)
    except Exception:  # noqa: BLE001 - tifffile raises anything on damaged files
        return ()
    return found.siblings if found else ()


def is_set_member(path: Path, first: Path) -> bool:
    """Whether a file that another one names as a part of it says nothing else itself.

    Parameters
    ----------
    path : Path
        The file.
    first : Path
        What names it.
    """
    try:
        text = unescape(_text_of(path))
    except Exception:  # noqa: BLE001 - as above
        return True
    return "FileName" not in text or first.name.lower() in text.lower()


def _text_of(path: Path) -> str:
    """Return the OME-XML of a file, or nothing."""
    if not _is_tiff(path):
        return ""
    with open_tiff_checked(path) as tiff:
        return tiff.ome_metadata or ""


def _opened_text(opened: OpenedFile) -> str:
    """Return the OME-XML of an open file, or nothing."""
    if not opened.head.startswith(_STARTS):
        return ""
    with open_tiff_checked(opened.rewound()) as tiff:
        return tiff.ome_metadata or ""


def _described(
    path: Path,
    xml: str,
    root: ElementTree.Element,
    uuid: str | None,
    is_usable: Callable[[Path], bool],
    is_own: bool,
) -> tuple[OmeSet | None, str]:
    """Find the images that share files with each other and with this one."""
    images = root.findall("{*}Image")
    places = [
        [_file_of(data, path.name, uuid) for _, data in _tiff_data(image)]
        for image in images
    ]
    named = {name for place in places for name in place}
    if is_own and len(named) == 1 and _OWN not in named:
        # A file that was renamed after it was described.
        places = [[_OWN] * len(place) for place in places]
        named = {_OWN}
    if _OWN not in named and not is_own:
        return None, "OME metadata (its companion does not name this file)"
    files = {name: path.parent / name for name in named if _is_plain(name)}
    there = {_OWN} | {name for name, file in files.items() if is_usable(file)}
    chosen = _connected(places, there) if _OWN in named else range(len(images))
    readable = copy.deepcopy(root)
    used: set[str] = set()
    for number, image in enumerate(readable.findall("{*}Image")):
        if number not in chosen:
            readable.remove(image)
            continue
        image.set("Name", str(number))
        used.update(places[number])
        for (pixels, data), name in zip(
            [*_tiff_data(image)], places[number], strict=True
        ):
            if name in there:
                _refer(data, name)
            else:
                pixels.remove(data)
    return OmeSet(
        xml=xml,
        readable=ElementTree.tostring(readable, "unicode", xml_declaration=True),
        names={number: images[number].get("Name") or "" for number in chosen},
        siblings=tuple(files[name] for name in sorted((used & there) - {_OWN})),
        missing=tuple(sorted((used - there) & files.keys())),
        outside=tuple(sorted(used - there - files.keys())),
        planes=max((_claimed(images[number]) for number in chosen), default=0),
    ), ""


def _claimed(image: ElementTree.Element) -> int:
    """Return how many planes an image claims, by its sizes or by a list of them."""
    sizes = [
        math.prod(_number(pixels, f"Size{axis}", 1) for axis in "ZCT")
        for pixels in image.findall("{*}Pixels")
    ]
    counts = [
        _number(data, name, 0)
        for _, data in _tiff_data(image)
        for name in ("PlaneCount", "NumPlanes")
    ]
    return max([*sizes, *counts], default=0)


def _number(element: ElementTree.Element, name: str, default: int) -> int:
    """Return an attribute; the default where it is missing or no number."""
    try:
        return int(element.get(name, default))
    except ValueError:
        return default


def _connected(places: list[list[str]], there: set[str]) -> list[int]:
    """Return the images with planes in this file, and what shares a file with them."""
    files = [there.intersection(place) for place in places]
    holders: dict[str, list[int]] = {}
    for number, names in enumerate(files):
        for name in names:
            holders.setdefault(name, []).append(number)
    chosen, todo = set[int](), [_OWN]
    while todo:
        for number in holders.pop(todo.pop(), ()):
            if number not in chosen:
                chosen.add(number)
                todo.extend(files[number])
    return sorted(chosen)


def _tiff_data(
    image: ElementTree.Element,
) -> Iterator[tuple[ElementTree.Element, ElementTree.Element]]:
    for pixels in image.findall("{*}Pixels"):
        for data in pixels.findall("{*}TiffData"):
            yield pixels, data


def _file_of(data: ElementTree.Element, own: str, uuid: str | None) -> str:
    """Return the file that planes are in; nothing for the file itself."""
    reference = data.find("{*}UUID")
    if reference is None or (uuid and reference.text == uuid):
        return _OWN
    name = reference.get("FileName") or (reference.text if uuid else None) or _OWN
    return _OWN if name.lower() == own.lower() else name


def _refer(data: ElementTree.Element, name: str) -> None:
    """Have planes lie in a file of this name, whatever identifies it."""
    for reference in data.findall("{*}UUID"):
        if name == _OWN:
            data.remove(reference)
        else:
            reference.text = name


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file in the same folder, on any system."""
    return (
        name not in ("", ".", "..")
        and name == posixpath.basename(name) == ntpath.basename(name)
        and "\0" not in name
    )


def _is_tiff(path: Path) -> bool:
    if not os.path.isfile(path):
        return False
    with path.open("rb") as file:
        return file.read(4).startswith(_STARTS)


def _companion_text(path: Path, name: str) -> str:
    """Return the OME-XML of another file of the folder, a TIFF or a plain text."""
    companion = path.parent / name
    if not (_is_plain(name) and os.path.isfile(companion)):
        return ""
    if _is_tiff(companion):
        return _text_of(companion)
    with companion.open("rb") as file:
        text = file.read(_LARGEST_COMPANION + 1)
    if len(text) > _LARGEST_COMPANION:
        return ""
    return text.decode("utf-8-sig", "replace").strip()
