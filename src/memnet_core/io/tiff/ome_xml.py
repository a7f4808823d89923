"""The XML of OME-TIFF: reading its calibration, keeping it, making it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import tifffile

from memnet_core.io.core.image import Calibration, unit_name, unit_symbol
from memnet_core.io.core.limits import parsed_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

__all__ = [
    "OmeImage",
    "calibration_of_ome",
    "channel_colors_of_ome",
    "metadata_only",
    "new_ome_xml",
    "note_of_ome",
    "updated_ome_xml",
]

_WHAT = "its OME-XML"
_STORAGE = ("TiffData", "BinData", "MetadataOnly")
_NAMESPACE = re.compile(r"\{(.*)\}")
_PLACED = {"T": "TimeIncrement"} | {axis: f"PhysicalSize{axis}" for axis in "ZYX"}
_NO_UNIT = "reference frame"
_DEFAULT_UNITS = {"T": "s"} | dict.fromkeys("ZYX", "µm")


def calibration_of_ome(xml: str, image: int = 0) -> Calibration | None:
    """Return what an OME-XML says of an image; None if it is damaged."""
    try:
        pixels = _pixels(_images(_parsed(xml)), image)
    except ElementTree.ParseError:
        pixels = None
    if pixels is None:
        return None
    spacing, units = {}, {}
    for axis, name in _PLACED.items():
        if size := float(pixels.get(name) or 0):
            spacing[axis] = size
            unit = pixels.get(f"{name}Unit", _DEFAULT_UNITS[axis])
            if unit not in (_NO_UNIT, "pixel"):
                units[axis] = unit_name(unit)
    names = [c.get("Name") for c in _children(pixels, "Channel")]
    known = tuple(name for name in names if name)
    return Calibration(
        spacing=spacing,
        units=units,
        channel_names=known if len(known) == len(names) else (),
    )


def channel_colors_of_ome(xml: str, image: int = 0) -> list[bytes]:
    """Return red, green and blue of each channel; empty unless all have a color."""
    try:
        pixels = _pixels(_images(_parsed(xml)), image)
        channels = [] if pixels is None else _children(pixels, "Channel")
        # A signed number of 32 bits: red, green, blue, alpha.
        numbers = [int(channel.get("Color", "")) for channel in channels]
        return [number.to_bytes(4, "big", signed=True)[:3] for number in numbers]
    except (ElementTree.ParseError, OverflowError, ValueError):
        return []


def note_of_ome(xml: str, namespace: str) -> str:
    """Return the comment of a namespace in an OME-XML; empty if there is none."""
    try:
        found = _parsed(xml).findall(".//{*}CommentAnnotation")
    except ElementTree.ParseError:
        return ""
    texts = [n.findtext("{*}Value") for n in found if n.get("Namespace") == namespace]
    return next((text for text in texts if text), "")


def updated_ome_xml(
    xml: str, sizes: Mapping[int, tuple[int, int, int]], scale: int
) -> tuple[str, bool]:
    """Return the XML for a file with other pixels of the same axes.

    Parameters
    ----------
    xml : str
        Describes images; everything that does not depend on where pixels are stored
        is kept.
    sizes : mapping of int to (int, int, int)
        Number, height and width of the planes of each image that the new file holds,
        by the number of the image in the XML.
    scale : int
        How many of the new pixels stand for one of before along Y and X.

    Returns
    -------
    str
        XML for one file with all pages of these images, one image after the other and
        each in its ``DimensionOrder``.
    bool
        Whether regions of interest were left out, which no longer fit.
    """
    root = parsed_xml(xml, _WHAT)
    prefix = _prefix_of(root)
    root.attrib.pop("UUID", None)
    pages = 0
    gone = set()
    for number, image in enumerate(_images(root)):
        if number not in sizes:
            gone.add(image.get("ID"))
            root.remove(image)
            continue
        pixels = _pixels([image], 0)
        if pixels is None:
            raise ValueError("its OME-XML describes no pixels")
        count, height, width = sizes[number]
        stored = {"IFD": str(pages), "PlaneCount": str(count)}
        pages += count
        _update(pixels, (height, width), scale)
        place = len(_children(pixels, "Channel"))
        where = stored if len(sizes) > 1 else {}
        data = ElementTree.Element(f"{prefix}TiffData", where)
        pixels.insert(place, data)
    _without(root, lambda child: _is(child, "ImageRef") and child.get("ID") in gone)
    cut = scale > 1 and _without(root, lambda c: _is(c, "ROI") or _is(c, "ROIRef"))
    return ElementTree.tostring(root, "unicode", xml_declaration=True), cut


def metadata_only(xml: str, scale: int, images: Sequence[int] | None = None) -> str:
    """Return XML that describes images whose pixels are stored elsewhere.

    Parameters
    ----------
    xml : str
        Describes images, in whatever files.
    scale : int
        How many of the new pixels stand for one of before along Y and X.
    images : sequence of int, optional
        Which of them; all by default.
    """
    root = parsed_xml(xml, _WHAT)
    prefix = _prefix_of(root)
    root.attrib.pop("UUID", None)
    gone = set()
    for number, image in enumerate(_images(root)):
        if images is not None and number not in images:
            gone.add(image.get("ID"))
            root.remove(image)
            continue
        for pixels in _children(image, "Pixels"):
            height, width = (int(pixels.attrib[f"Size{a}"]) * scale for a in "YX")
            _update(pixels, (height, width), scale)
            place = len(_children(pixels, "Channel"))
            pixels.insert(place, ElementTree.Element(f"{prefix}MetadataOnly"))
    _without(root, lambda child: _is(child, "ImageRef") and child.get("ID") in gone)
    if scale > 1:
        _without(root, lambda child: _is(child, "ROI") or _is(child, "ROIRef"))
    return ElementTree.tostring(root, "unicode", xml_declaration=True)


def _prefix_of(root: ElementTree.Element) -> str:
    """Return the namespace of a document in braces, which is written without prefix."""
    found = _NAMESPACE.match(root.tag)
    ElementTree.register_namespace("", found[1] if found else "")
    return found[0] if found else ""


def _update(pixels: ElementTree.Element, size: tuple[int, int], scale: int) -> None:
    """Change the sizes of an image, and forget where its pixels were."""
    for name, side in zip(("SizeY", "SizeX"), size, strict=True):
        pixels.set(name, str(side))
    for name in ("PhysicalSizeX", "PhysicalSizeY"):
        if scale > 1 and name in pixels.attrib:
            pixels.set(name, repr(float(pixels.attrib[name]) / scale))
    for name in _STORAGE:
        for child in _children(pixels, name):
            pixels.remove(child)


@dataclass(frozen=True)
class OmeImage:
    """An image to be described.

    Attributes
    ----------
    axes : str
        Letters out of TZCYXS that end in ``YX`` or ``YXS``.
    sizes : sequence of int
        Sizes along them.
    dtype : dtype
        Type of a sample.
    known : Calibration
        Steps, units and names of channels.
    description : str
        Free text.
    name : str
        Name of the image.
    notes : mapping of str to str
        Comments for programs, by their namespace.
    """

    axes: str
    sizes: Sequence[int]
    dtype: np.dtype[np.generic]
    known: Calibration
    description: str = ""
    name: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


def new_ome_xml(*images: OmeImage) -> str:
    """Return XML that describes images, whose pages follow each other in a file."""
    xml = tifffile.OmeXml()
    for image in images:
        _add(xml, image)
    return str(xml.tostring(declaration=True))


def _add(xml: tifffile.OmeXml, image: OmeImage) -> None:
    known = image.known
    lengths = dict(zip(image.axes, image.sizes, strict=True))
    pages = 1
    for axis in image.axes.rstrip("S")[:-2]:
        pages *= lengths[axis]
    stored = (pages, 1, 1, lengths["Y"], lengths["X"], lengths.get("S", 1))
    described: dict[str, object] = {}
    if image.description:
        described["Description"] = image.description
    if image.name:
        described["Name"] = image.name
    if image.notes:
        described["CommentAnnotation"] = [
            {"Namespace": space, "Value": text} for space, text in image.notes.items()
        ]
    for axis, name in _PLACED.items():
        size, unit = known.spacing.get(axis), known.units.get(axis)
        if size and (unit or (size != 1 and axis != "T")):
            described[name] = size
            described[f"{name}Unit"] = unit_symbol(unit or _NO_UNIT)
    if known.channel_names and len(known.channel_names) == lengths.get("C", 1):
        described["Channel"] = {"Name": list(known.channel_names)}
    xml.addimage(image.dtype, tuple(image.sizes), stored, axes=image.axes, **described)


@lru_cache(maxsize=1)
def _parsed(xml: str) -> ElementTree.Element:
    """Return XML to be read only; large files are asked for image after image."""
    return parsed_xml(xml, _WHAT)


def _images(root: ElementTree.Element) -> list[ElementTree.Element]:
    return root.findall("{*}Image")


def _pixels(
    images: Sequence[ElementTree.Element], number: int
) -> ElementTree.Element | None:
    return images[number].find("{*}Pixels") if number < len(images) else None


def _children(parent: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return parent.findall(f"{{*}}{name}")


def _is(element: ElementTree.Element, name: str) -> bool:
    return element.tag.rpartition("}")[2] == name


def _without(
    root: ElementTree.Element, leaves: Callable[[ElementTree.Element], bool]
) -> bool:
    """Remove what leaves, wherever it stands; say whether there was any."""
    found = False
    for parent in list(root.iter()):
        for child in list(parent):
            if leaves(child):
                parent.remove(child)
                found = True
    return found
