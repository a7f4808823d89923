"""What a TIFF says of itself in its description: kept, and told anew of a result."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tifffile.tifffile import shaped_description_metadata

from memnet_core.io.core.errors import parsing
from memnet_core.io.core.image import Native
from memnet_core.io.tiff.imagej import (
    IMAGEJ_TAGS,
    calibration_of_imagej,
    imagej_tags,
    updated_imagej,
)
from memnet_core.io.tiff.ome_xml import calibration_of_ome, updated_ome_xml
from memnet_core.io.tiff.pages import page_resolution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import tifffile

    from memnet_core.io.core.calibration import Calibration
    from memnet_core.io.tiff.scenes import TiffScene

__all__ = ["TextOfResult", "TiffText", "text_of"]


@dataclass(frozen=True)
class TextOfResult:
    """The description of a result, tags beside it, and what no longer fits."""

    text: str
    tags: list[Any] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class TiffText(Native):
    """A description that holds for the axes of its file."""

    def of_result(self, axes: str, sizes: Sequence[int], scale: int) -> TextOfResult:
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

    def of_result(self, axes: str, sizes: Sequence[int], scale: int) -> TextOfResult:
        """Return the XML with other sizes, and without regions that no longer fit."""
        count = math.prod(sizes[: axes.index("Y")])
        height, width = (sizes[axes.index(axis)] for axis in "YX")
        with parsing("its OME-XML"):
            planes = {self.image: (count, height, width)}
            xml, lost = updated_ome_xml(self.xml, planes, scale)
        return TextOfResult(xml, lost=["OME regions of interest"] if lost else [])


@dataclass(frozen=True)
class ImageJText(TiffText):
    """The description of an ImageJ hyperstack, and its tags."""

    text: str
    tags: Mapping[str, Any]
    name = "ImageJ metadata"
    gives_unit = True

    def of_result(self, axes: str, sizes: Sequence[int], scale: int) -> TextOfResult:
        """Return the description with a moved origin, and tags that still fit."""
        with parsing("its ImageJ metadata"):
            tags, gone = imagej_tags(self.tags, scale)
            return TextOfResult(updated_imagej(self.text, scale), tags, gone)


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

    def of_result(self, axes: str, sizes: Sequence[int], scale: int) -> TextOfResult:
        """Return the JSON with another shape."""
        has_more = bool(self.described.keys() - {"shape", "axes"})
        if self.description and not has_more and axes in ("YX", "YXS"):
            return TextOfResult(self.description)
        changed: dict[str, Any] = {"shape": [*sizes], "axes": axes}
        if self.description:
            changed["description"] = self.description
        return TextOfResult(json.dumps({**self.described, **changed}))


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
        with parsing("its OME-XML"):
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
        with parsing("its ImageJ metadata"):
            known = calibration_of_imagej(described, page_resolution(page)[0])
        text = ImageJText(page.description, tags) if is_native else None
        return known, text
    page = scene.series.keyframe
    text = page.shaped_description
    if text and is_native:
        with parsing("its description"):
            free = page.description if page.description1 else ""
            return None, ShapedText(dict(shaped_description_metadata(text)), free)
    return None, None
