"""The XML of OME-TIFF: reading its calibration, keeping it, making it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import tifffile

from memnet_core.io.calibration import Calibration, unit_name, unit_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = ["calibration_of_ome", "new_ome_xml", "updated_ome_xml"]

_STORAGE = ("TiffData", "BinData", "MetadataOnly")
_NAMESPACE = re.compile(r"\{(.*)\}")
_PLACED = {"T": "TimeIncrement"} | {axis: f"PhysicalSize{axis}" for axis in "ZYX"}
_NO_UNIT = "reference frame"
_DEFAULT_UNITS = {"T": "s"} | dict.fromkeys("ZYX", "µm")


def calibration_of_ome(xml: str) -> Calibration | None:
    """Return what the first image of an OME-XML says; None if it is damaged."""
    try:
        pixels = _pixels(ElementTree.fromstring(xml))
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


def updated_ome_xml(xml: str, height: int, width: int, scale: int) -> tuple[str, bool]:
    """Return the XML for a file with other pixels of the same axes.

    Parameters
    ----------
    xml : str
        Describes an image; everything that does not depend on where pixels are stored
        is kept.
    height, width : int
        Size of the new planes.
    scale : int
        How many of the new pixels stand for one of before along Y and X.

    Returns
    -------
    str
        XML for one file with all pages in the order of ``DimensionOrder``.
    bool
        Whether regions of interest were left out, which no longer fit.
    """
    root = ElementTree.fromstring(xml)
    pixels = _pixels(root)
    if pixels is None:
        raise ValueError("its OME-XML describes no pixels")
    found = _NAMESPACE.match(root.tag)
    ElementTree.register_namespace("", found[1] if found else "")
    root.attrib.pop("UUID", None)
    for name, size in (("SizeY", height), ("SizeX", width)):
        pixels.set(name, str(size))
    for name in ("PhysicalSizeX", "PhysicalSizeY"):
        if scale > 1 and name in pixels.attrib:
            pixels.set(name, repr(float(pixels.attrib[name]) / scale))
    for name in _STORAGE:
        for child in _children(pixels, name):
            pixels.remove(child)
    prefix = found[0] if found else ""
    place = len(_children(pixels, "Channel"))
    pixels.insert(place, ElementTree.Element(f"{prefix}TiffData"))
    return (
        ElementTree.tostring(root, "unicode", xml_declaration=True),
        scale > 1 and _without_regions(root),
    )


def new_ome_xml(
    axes: str,
    sizes: Sequence[int],
    dtype: np.dtype[np.generic],
    known: Calibration,
    description: str = "",
) -> str:
    """Return XML that describes an image.

    Parameters
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
    """
    lengths = dict(zip(axes, sizes, strict=True))
    pages = 1
    for axis in axes.rstrip("S")[:-2]:
        pages *= lengths[axis]
    stored = (pages, 1, 1, lengths["Y"], lengths["X"], lengths.get("S", 1))
    described: dict[str, object] = {"Description": description} if description else {}
    for axis, name in _PLACED.items():
        size, unit = known.spacing.get(axis), known.units.get(axis)
        if size and (unit or (size != 1 and axis != "T")):
            described[name] = size
            described[f"{name}Unit"] = unit_symbol(unit or _NO_UNIT)
    if known.channel_names and len(known.channel_names) == lengths.get("C", 1):
        described["Channel"] = {"Name": list(known.channel_names)}
    xml = tifffile.OmeXml()
    xml.addimage(dtype, tuple(sizes), stored, axes=axes, **described)
    return str(xml.tostring(declaration=True))


def _pixels(root: ElementTree.Element) -> ElementTree.Element | None:
    return root.find("{*}Image/{*}Pixels")


def _children(parent: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return parent.findall(f"{{*}}{name}")


def _without_regions(root: ElementTree.Element) -> bool:
    """Remove regions of interest and what refers to them; say whether there were."""
    found = False
    for parent in list(root.iter()):
        for name in ("ROI", "ROIRef"):
            for child in _children(parent, name):
                parent.remove(child)
                found = True
    return found
