"""Tags of a TIFF that say how it was made: carried, or named where they are not."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.io.core.errors import wrap_parse_errors
from memnet_core.io.core.image import Calibration, unit_name
from memnet_core.io.tiff.color import lookup_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import tifffile
    from numpy.typing import NDArray

__all__ = [
    "TiffTags",
    "calibration_of_vendor",
    "check_developed",
    "tags_of",
    "what_is_lost",
]

_SOFTWARE = 305
_TEXTS = {
    269: "document name",
    271: "make",
    272: "model",
    285: "page name",
    306: "date",
    315: "artist",
    316: "host computer",
    33432: "copyright",
}
_PRIVATE = {
    33723: "IPTC data",
    34118: "Zeiss SEM metadata",
    34680: "FEI metadata",
    34682: "FEI metadata",
    51123: "Micro-Manager metadata",
}
_SIZED = {34118, 34680, 34682}
"""Texts that name the size of a pixel."""

_FEI_SIZE = re.compile(rb"(?m)^((?:PixelWidth|PixelHeight)=)([-+.\deE]+)")
_NAMES = {
    34377: "Photoshop data",
    34665: "EXIF of a TIFF",
    34735: "GeoTIFF reference",
    34853: "GPS of a TIFF",
    33628: "MetaMorph metadata besides pixel sizes",
    34412: "LSM metadata besides pixel sizes",
}
_PART_OF = {33550: 34735, 33922: 34735, 34264: 34735, 34736: 34735, 34737: 34735}
_PART_OF |= dict.fromkeys((33629, 33630, 33631), 33628)

_STRUCTURE = frozenset(
    {*range(254, 267), 270, 273, 274, *range(277, 285), *range(288, 294), 296, 297}
    | {_SOFTWARE, 317, *range(320, 328), 330, 332, 334, 338, 339, 340, 341, 347}
    | {*range(512, 522), 529, 530, 531, 532, 700, 32997, 32998, 34675, 50838, 50839}
    | {50706}
)
"""How pixels are stored, and what is carried elsewhere."""

_ASCII, _UNDEFINED, _BYTES = 2, 7, (1, 2, 6, 7)
_CFA, _LINEAR_RAW, _DNG = 32803, 34892, 50706


@dataclass(frozen=True, kw_only=True)
class TiffTags:
    """Tags of the first page that its result gets, too.

    Attributes
    ----------
    software : str
        What made the file.
    values : mapping of int to (int, bytes)
        Type and value of further tags.
    colormap : ndarray, shape (3, 256), optional
        Colors in which gray values are shown.
    """

    software: str
    values: Mapping[int, tuple[int, bytes]]
    colormap: NDArray[np.uint16] | None = None

    @property
    def names(self) -> list[str]:
        """What it holds, for the report of what another format cannot hold."""
        names = [{**_TEXTS, **_PRIVATE}[tag] for tag in self.values]
        if self.software:
            names.insert(0, "software")
        if self.colormap is not None:
            names.append("lookup table")
        return names

    def magnified(self, scale: int) -> tuple[list[Any], list[str]]:
        """Return extra tags for tifffile, and the names of those that no longer fit."""
        tags, lost = [], []
        for tag, (kind, value) in self.values.items():
            if scale > 1 and tag in _SIZED:
                if not _FEI_SIZE.search(value):
                    lost.append(f"{_PRIVATE[tag]} (of the size before)")
                    continue
                value = _FEI_SIZE.sub(
                    lambda m: b"%s%.9g" % (m[1], float(m[2]) / scale), value
                )
            count = 0 if kind == _ASCII else len(value)
            tags.append((tag, kind, count, value, True))
        return tags, lost


@wrap_parse_errors("its tags")
def tags_of(
    file: tifffile.TiffFile, series: Any, dropped: list[str]
) -> TiffTags | None:
    """Return what is carried of the tags of the first page of an image.

    Parameters
    ----------
    file, series
        An open file and an image of it.
    dropped : list of str
        Gets the names of tags that are not carried.
    """
    page, values = series.keyframe, {}
    for tag in page.tags:
        if tag.code in _TEXTS or tag.code in _PRIVATE:
            raw = _raw(tag)
            if raw:
                values[tag.code] = raw
    has_luts = file.is_imagej and "LUTs" in (file.imagej_metadata or {})
    table = None if has_luts else lookup_table(page)
    if table is not None and _colors_differ(series, table):
        dropped.append("lookup tables of channels")
        table = None
    software = page.tags.valueof(_SOFTWARE)
    if isinstance(software, bytes):
        software = software.decode("latin-1")
    found = TiffTags(
        software=software if isinstance(software, str) else "",
        values=values,
        colormap=table,
    )
    return found if found.names else None


@wrap_parse_errors("its tags")
def what_is_lost(page: Any) -> list[str]:
    """Name the tags of a page that are not carried."""
    lost = []
    for tag in page.tags:
        code = _PART_OF.get(tag.code, tag.code)
        if code in _NAMES:
            lost.append(_NAMES[code])
        elif code in _TEXTS or code in _PRIVATE:
            if not _raw(tag):
                lost.append({**_TEXTS, **_PRIVATE}[code])
        elif code not in _STRUCTURE:
            lost.append(f"tag {code}" if tag.name == str(code) else f"tag {tag.name}")
    return list(dict.fromkeys(lost))


@wrap_parse_errors("its tags")
def check_developed(page: Any) -> None:
    """Check that a page holds a picture, not what a sensor saw through its filters.

    Raises
    ------
    ValueError
        If it is a raw picture of a camera.
    """
    if _DNG in page.tags or int(page.photometric) in (_CFA, _LINEAR_RAW):
        raise ValueError(
            "it is a raw picture of a camera (DNG); develop it and save it as TIFF"
        )


def calibration_of_vendor(
    file: tifffile.TiffFile, dropped: list[str]
) -> Calibration | None:
    """Return the size of a pixel that a microscope's own tags tell; None if none.

    Parameters
    ----------
    file : TiffFile
        An open file.
    dropped : list of str
        Gets the name of tags that are damaged.
    """
    try:
        with wrap_parse_errors("the metadata of its microscope"):
            spacing, unit = _vendor_spacing(file)
    except ValueError:
        dropped.append("metadata of its microscope (not understood)")
        return None
    known = {axis: size for axis, size in spacing.items() if 0 < size < math.inf}
    units = dict.fromkeys(known, unit)
    return Calibration(spacing=known, units=units) if known else None


def _vendor_spacing(file: tifffile.TiffFile) -> tuple[dict[str, float], str]:
    """Return sizes of steps by axis, and their unit, as FEI, Zeiss or MetaMorph say."""
    spacing: dict[str, float] = {}
    unit = "micrometer"
    if file.is_fei:
        scan = (file.fei_metadata or {}).get("Scan", {})
        sizes = {"X": scan.get("PixelWidth"), "Y": scan.get("PixelHeight")}
        spacing = {axis: float(size) * 1e6 for axis, size in sizes.items() if size}
    elif file.is_stk:
        told = file.stk_metadata or {}
        if told.get("SpatialCalibration", True):
            sizes = {"X": told.get("XCalibration"), "Y": told.get("YCalibration")}
            spacing = {axis: float(size) for axis, size in sizes.items() if size}
            steps = {float(step) for step in told.get("ZDistance", ())}
            if len(steps) == 1:
                spacing["Z"] = steps.pop()
            unit = unit_name(str(told.get("CalibrationUnits", "um")).strip("\0 "))
    elif file.is_lsm:
        told = file.lsm_metadata or {}
        sizes = {axis: told.get(f"VoxelSize{axis}") for axis in "XYZ"}
        spacing = {axis: float(size) * 1e6 for axis, size in sizes.items() if size}
    elif file.is_sem:
        told = file.sem_metadata or {}
        size = told.get("ap_image_pixel_size") or told.get("ap_pixel_size")
        if size and len(size) > 2:
            spacing = dict.fromkeys("XY", float(size[1]))
            unit = unit_name(str(size[2]))
    return spacing, unit


def _colors_differ(series: Any, table: NDArray[np.uint16]) -> bool:
    """Whether the second or the last page is shown in other colors than the first."""
    last = len(series.pages) - 1
    others = [series.pages[index] for index in {min(1, last), last}]
    return any(
        not np.array_equal(page.aspage().colormap, table) for page in others if page
    )


def _raw(tag: Any) -> tuple[int, bytes] | None:
    """Return type and bytes of a tag that holds text or bytes, as they stand there."""
    if int(tag.dtype) not in _BYTES:
        return None
    handle = tag.parent.filehandle
    handle.seek(tag.valueoffset)
    value = handle.read(tag.count)
    if len(value) < tag.count:
        return None
    kind = int(tag.dtype) if int(tag.dtype) in (1, _ASCII) else _UNDEFINED
    value = value.rstrip(b"\0") if kind == _ASCII else value
    return (kind, value) if value else None
