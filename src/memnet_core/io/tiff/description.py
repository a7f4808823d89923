"""Descriptions of TIFF files: OME-XML and ImageJ text of outputs."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tifffile
from tifffile.tifffile import shaped_description_metadata

from memnet_core.io.core.errors import wrap_parse_errors
from memnet_core.io.core.image import Animation, Calibration, FormatMetadata, unit_name
from memnet_core.io.tiff.ome_xml import (
    OmeImage,
    calibration_of_ome,
    new_ome_xml,
    updated_ome_xml,
)
from memnet_core.io.tiff.pages import page_resolution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memnet_core.io.core.image_file import ImageFile
    from memnet_core.io.tiff.scenes import TiffScene

__all__ = [
    "IMAGEJ_TAGS",
    "OME_TYPES",
    "OutputDescription",
    "TiffText",
    "build_descriptions",
    "calibration_of_imagej",
    "imagej_tags",
    "is_ome_order",
    "text_of",
    "updated_imagej",
]


IMAGEJ_TAGS = frozenset(
    {"Info", "Labels", "Ranges", "LUTs", "Plot", "ROI", "Overlays", "Properties"}
)
"""Keys that tifffile gives to what stands in tags of ImageJ's own."""

_ESCAPED_MICRO = r"\u00B5"
_IN_PIXELS = ("ROI", "Overlays")
_ORIGIN = re.compile(r"^([xy]origin)=(.*)$", re.MULTILINE)


def calibration_of_imagej(
    described: Mapping[str, Any], resolution: tuple[float, float] | None
) -> Calibration:
    """Return what the description of a hyperstack and its resolution say.

    Parameters
    ----------
    described : mapping
        Description, parsed by tifffile.
    resolution : (float, float), optional
        Pixels along x and y for each unit of the description.
    """
    unit = str(described.get("unit", "")).replace(_ESCAPED_MICRO, "µ")
    spacing: dict[str, float] = {}
    units: dict[str, str] = {}
    if unit and unit != "pixel":
        if resolution:
            spacing |= {a: 1 / r for a, r in zip("XY", resolution, strict=True)}
        if depth := float(described.get("spacing") or 0):
            spacing["Z"] = depth
        units = dict.fromkeys(spacing, unit_name(unit))
    if interval := float(described.get("finterval") or 0):
        spacing["T"] = interval
        units["T"] = unit_name(str(described.get("tunit", "s")))
    return Calibration(spacing=spacing, units=units)


def updated_imagej(description: str, scale: int) -> str:
    """Return the description for `scale` times the rows and columns."""
    description = description.replace("µ", _ESCAPED_MICRO)
    return _ORIGIN.sub(lambda m: f"{m[1]}={float(m[2]) * scale:g}", description)


def imagej_tags(tags: Mapping[str, Any], scale: int) -> tuple[list[Any], list[str]]:
    """Return tags to write, and what no longer fits.

    Parameters
    ----------
    tags : mapping
        By the keys of `IMAGEJ_TAGS`.
    scale : int
        How many of the new pixels stand for one of before along Y and X.
    """
    kept = {k: v for k, v in tags.items() if scale == 1 or k not in _IN_PIXELS}
    lost = [f"ImageJ {key}" for key in tags if key not in kept]
    return list(tifffile.imagej_metadata_tag(kept, "<")), lost


@dataclass(frozen=True)
class OutputDescription:
    """The description of a result, tags beside it, and what no longer fits."""

    text: str
    tags: list[Any] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class TiffText(FormatMetadata):
    """A description that holds for the axes of its file."""

    def of_result(
        self, axes: str, sizes: Sequence[int], scale: int
    ) -> OutputDescription:
        """Return the description for `scale` times the rows and columns.

        Parameters
        ----------
        axes : str
            Those of the file, and of the result.
        sizes : sequence of int
            Sizes of the result along them.
        scale : int
            How many of the new pixels stand for one of before along Y and X.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class OmeXml(TiffText):
    """The description of an OME-TIFF."""

    xml: str
    image: int = 0
    name = "OME metadata"

    def of_result(
        self, axes: str, sizes: Sequence[int], scale: int
    ) -> OutputDescription:
        """Return the XML with other sizes, and without regions that no longer fit."""
        count = math.prod(sizes[: axes.index("Y")])
        height, width = (sizes[axes.index(axis)] for axis in "YX")
        with wrap_parse_errors("its OME-XML"):
            planes = {self.image: (count, height, width)}
            xml, lost = updated_ome_xml(self.xml, planes, scale)
        return OutputDescription(xml, lost=["OME regions of interest"] if lost else [])


@dataclass(frozen=True)
class ImageJText(TiffText):
    """The description of an ImageJ hyperstack, and its tags."""

    text: str
    tags: Mapping[str, Any]
    name = "ImageJ metadata"
    gives_unit = True

    def of_result(
        self, axes: str, sizes: Sequence[int], scale: int
    ) -> OutputDescription:
        """Return the description with a moved origin, and tags that still fit."""
        with wrap_parse_errors("its ImageJ metadata"):
            tags, gone = imagej_tags(self.tags, scale)
            return OutputDescription(updated_imagej(self.text, scale), tags, gone)


@dataclass(frozen=True)
class ShapedText(TiffText):
    """The JSON description that tifffile gives to arrays."""

    described: Mapping[str, Any]
    description: str = ""
    describes_axes = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """What it is, where it says more than shape and axes."""
        return "tifffile metadata" if self.described.keys() - {"shape", "axes"} else ""

    def of_result(
        self, axes: str, sizes: Sequence[int], scale: int
    ) -> OutputDescription:
        """Return the JSON with another shape."""
        has_more = bool(self.described.keys() - {"shape", "axes"})
        if self.description and not has_more and axes in ("YX", "YXS"):
            return OutputDescription(self.description)
        changed: dict[str, Any] = {"shape": [*sizes], "axes": axes}
        if self.description:
            changed["description"] = self.description
        return OutputDescription(json.dumps({**self.described, **changed}))


def text_of(
    file: tifffile.TiffFile, scene: TiffScene, *, is_native: bool, dropped: list[str]
) -> tuple[Calibration | None, TiffText | None]:
    """Return what a description says of the axes, and itself if it holds for them.

    Parameters
    ----------
    file : TiffFile
        An open file.
    scene : TiffScene
        An image of it.
    is_native : bool
        Whether the axes are the file's own.
    dropped : list of str
        Gets the name of what is not kept.
    """
    if scene.xml:
        with wrap_parse_errors("its OME-XML"):
            stated = calibration_of_ome(scene.xml, scene.image)
        if stated is None:
            dropped.append("OME metadata (not understood)")
        elif is_native:
            return stated, OmeXml(scene.xml, scene.image)
        else:
            dropped.append("OME metadata besides pixel sizes and names")
        return stated, None
    if file.is_imagej:
        if not is_native:
            dropped.append("ImageJ metadata besides pixel sizes")
        described = file.imagej_metadata or {}
        page: Any = file.pages.first
        tags = {k: v for k, v in described.items() if k in IMAGEJ_TAGS}
        with wrap_parse_errors("its ImageJ metadata"):
            known = calibration_of_imagej(described, page_resolution(page)[0])
        text = ImageJText(page.description, tags) if is_native else None
        return known, text
    page = scene.series.keyframe
    text = page.shaped_description
    if text and is_native:
        with wrap_parse_errors("its description"):
            free = page.description if page.description1 else ""
            return None, ShapedText(dict(shaped_description_metadata(text)), free)
    return None, None


_OME_LEADING = frozenset("TZC")
OME_TYPES = {"bool", "float32", "float64"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32)
}
"""Types of samples that OME-TIFF has."""


def build_descriptions(
    likes: Sequence[ImageFile], scale: int
) -> list[OutputDescription]:
    """Return the description on the first page of each image of a result.

    Parameters
    ----------
    likes : sequence of ImageFile
        What the images are made of: scenes of one file, in its order.
    scale : int
        How many of the new pixels stand for one of before along Y and X.
    """
    if len(likes) == 1:
        return [_alone(likes[0], scale)]
    texts = [like.metadata.native for like in likes]
    ome = [text for text in texts if isinstance(text, OmeXml)]
    if len(ome) == len(likes) and len({text.xml for text in ome}) == 1:
        sizes = {
            text.image: _planes(like, scale)
            for like, text in zip(likes, ome, strict=True)
        }
        with wrap_parse_errors("its OME-XML"):
            xml, cut = updated_ome_xml(ome[0].xml, sizes, scale)
        lost = ["OME regions of interest"] if cut else []
        return _on_first(OutputDescription(xml, lost=lost), len(likes))
    if ome and all(_is_ome(like) for like in likes):
        lost = ["OME metadata besides pixel sizes and names"]
        xml = new_ome_xml(*(_image(like, scale) for like in likes))
        return _on_first(OutputDescription(xml, lost=lost), len(likes))
    return [_beside_others(like, scale) for like in likes]


def is_ome_order(axes: str) -> bool:
    """Whether axes are those of an OME-TIFF: T, Z, C in any order, then YX or YXS."""
    leading = axes.removesuffix("S").removesuffix("YX")
    return (
        axes.removeprefix(leading) in ("YX", "YXS")
        and set(leading) <= _OME_LEADING
        and len(set(leading)) == len(leading)
    )


def _alone(like: ImageFile, scale: int) -> OutputDescription:
    """Describe the only image: as its source did, else by its axes."""
    native = like.metadata.native
    if isinstance(native, TiffText) or not (like.leading and _is_ome(like)):
        return _beside_others(like, scale)
    return OutputDescription(new_ome_xml(_image(like, scale)), lost=_lost_times(like))


def _beside_others(like: ImageFile, scale: int) -> OutputDescription:
    """Describe an image in a way that says nothing of other pages."""
    metadata = like.metadata
    if isinstance(metadata.native, TiffText):
        sizes = like.magnified_sizes(scale)
        return metadata.native.of_result(like.axes, sizes, scale)
    lost = _lost_times(like)
    if len(like.leading) > 1:
        lost.append(f"axes {like.leading} (written as one row of pages)")
    return OutputDescription(metadata.description, lost=lost)


def _lost_times(like: ImageFile) -> list[str]:
    is_animation = isinstance(like.metadata.native, Animation)
    return [Animation.name] if is_animation else []


def _on_first(text: OutputDescription, count: int) -> list[OutputDescription]:
    return [text, *(OutputDescription("") for _ in range(count - 1))]


def _planes(like: ImageFile, scale: int) -> tuple[int, int, int]:
    count, height, width, _ = like.shape
    return count, height * scale, width * scale


def _is_ome(like: ImageFile) -> bool:
    return like.dtype.name in OME_TYPES and is_ome_order(like.axes)


def _image(like: ImageFile, scale: int) -> OmeImage:
    known = like.metadata.calibration.magnified(scale)
    sizes = like.magnified_sizes(scale)
    return OmeImage(like.axes, sizes, like.dtype, known, like.metadata.description)
