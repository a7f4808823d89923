"""How the images of a TIFF that is written describe themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.io.core.errors import parsing
from memnet_core.io.raster.animation import Animation
from memnet_core.io.tiff.description import OmeXml, TextOfResult, TiffText
from memnet_core.io.tiff.ome_xml import OmeImage, new_ome_xml, updated_ome_xml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memnet_core.io.core.image_file import ImageFile

__all__ = ["OME_TYPES", "described_scenes", "is_ome_order"]

_OME_LEADING = frozenset("TZC")
OME_TYPES = {"bool", "float32", "float64"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32)
}
"""Types of samples that OME-TIFF has."""


def described_scenes(likes: Sequence[ImageFile], scale: int) -> list[TextOfResult]:
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
        with parsing("its OME-XML"):
            xml, cut = updated_ome_xml(ome[0].xml, sizes, scale)
        lost = ["OME regions of interest"] if cut else []
        return _on_first(TextOfResult(xml, lost=lost), len(likes))
    if ome and all(_is_ome(like) for like in likes):
        lost = ["OME metadata besides pixel sizes and names"]
        xml = new_ome_xml(*(_image(like, scale) for like in likes))
        return _on_first(TextOfResult(xml, lost=lost), len(likes))
    return [_beside_others(like, scale) for like in likes]


def is_ome_order(axes: str) -> bool:
    """Whether axes are those of an OME-TIFF: T, Z, C in any order, then YX or YXS."""
    leading = axes.removesuffix("S").removesuffix("YX")
    return (
        axes.removeprefix(leading) in ("YX", "YXS")
        and set(leading) <= _OME_LEADING
        and len(set(leading)) == len(leading)
    )


def _alone(like: ImageFile, scale: int) -> TextOfResult:
    """Describe the only image: as its source did, else by its axes."""
    native = like.metadata.native
    if isinstance(native, TiffText) or not (like.leading and _is_ome(like)):
        return _beside_others(like, scale)
    return TextOfResult(new_ome_xml(_image(like, scale)), lost=_lost_times(like))


def _beside_others(like: ImageFile, scale: int) -> TextOfResult:
    """Describe an image in a way that says nothing of other pages."""
    metadata = like.metadata
    if isinstance(metadata.native, TiffText):
        sizes = like.magnified_sizes(scale)
        return metadata.native.of_result(like.axes, sizes, scale)
    lost = _lost_times(like)
    if len(like.leading) > 1:
        lost.append(f"axes {like.leading} (written as one row of pages)")
    return TextOfResult(metadata.description, lost=lost)


def _lost_times(like: ImageFile) -> list[str]:
    is_animation = isinstance(like.metadata.native, Animation)
    return [Animation.name] if is_animation else []


def _on_first(text: TextOfResult, count: int) -> list[TextOfResult]:
    return [text, *(TextOfResult("") for _ in range(count - 1))]


def _planes(like: ImageFile, scale: int) -> tuple[int, int, int]:
    count, height, width, _ = like.shape
    return count, height * scale, width * scale


def _is_ome(like: ImageFile) -> bool:
    return like.dtype.name in OME_TYPES and is_ome_order(like.axes)


def _image(like: ImageFile, scale: int) -> OmeImage:
    known = like.metadata.calibration.magnified(scale)
    sizes = like.magnified_sizes(scale)
    return OmeImage(like.axes, sizes, like.dtype, known, like.metadata.description)
