"""How the samples of a TIFF page are seen: palettes, inks, Lab, few bits, alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from memnet_core.io.core.color import rgb_of_cmyk, rgb_of_lab, spread, unpremultiply
from memnet_core.io.core.errors import wrap_parse_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CMYK",
    "LAB",
    "PALETTE",
    "RGB",
    "YCBCR",
    "is_expanded",
    "lookup_table",
    "photometric_of",
    "to_display",
    "what_seeing_costs",
]


WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
LAB = (8, 9)
_ICC_LAB = 9
_PHOTOMETRIC, _ICC = 262, 34675
_CCITT = (2, 3, 4)
_PREMULTIPLIED = 1
_SMOOTH = 16
_ODD_STEPS = 4
_FEWEST_SHADES = 32
"""ImageJ's tables have no fewer, and no neighbors that differ more in a channel."""


def photometric_of(page: Any) -> int:
    """Return what the samples of a page mean.

    Where a page does not say it, it is what other readers take it for: facsimiles are
    white at zero, other single samples black, and three are colors.
    """
    if _PHOTOMETRIC in page.tags:
        return int(page.photometric)
    if page.compression in _CCITT:
        return WHITE_IS_ZERO
    colors = page.samplesperpixel - len(page.extrasamples)
    return RGB if colors in (3, 4) else BLACK_IS_ZERO


@wrap_parse_errors("its tags")
def is_expanded(page: Any) -> bool:
    """Whether samples become colors: by a table, or from inks."""
    kind = photometric_of(page)
    return kind == CMYK or (
        kind == PALETTE and lookup_table(page) is None and _gray_table(page) is None
    )


@wrap_parse_errors("its tags")
def lookup_table(page: Any) -> NDArray[np.uint16] | None:
    """Return the table (3, 256) in which values of a page are only shown.

    A table whose neighbors are close to each other, but for a few marks at its ends,
    is a scale of brightness (ImageJ and Bio-Formats write one), so that its indices
    are the values that were measured. One of colors in any order is a palette.
    """
    if photometric_of(page) != PALETTE or page.bitspersample != 8:
        return None
    table = _colors(page)
    is_gray = bool((table == table[:, :1]).all())
    steps = np.abs(np.diff(table.astype(int), axis=0)).max(axis=1)
    is_scale = table.shape == (256, 3) and (steps > _SMOOTH).sum() <= _ODD_STEPS
    is_varied = len(np.unique(table, axis=0)) >= _FEWEST_SHADES
    if is_gray and not _says_what_it_measures(page):
        return None
    return np.asarray(page.colormap, np.uint16) if is_scale and is_varied else None


@wrap_parse_errors("its tags")
def what_seeing_costs(page: Any, dtype: np.dtype[Any]) -> list[str]:
    """Name what the samples of a page lose when they are seen as gray or RGB."""
    kind = photometric_of(page)
    lost = []
    if kind == PALETTE and is_expanded(page):
        lost.append("palette (expanded)")
    if kind == CMYK:
        lost.append("CMYK (converted to RGB)")
    if kind in LAB:
        lost.append("CIELab (converted to sRGB)")
    if kind == WHITE_IS_ZERO and dtype.kind not in "bu":
        lost.append("white is zero (not inverted)")
    if _is_premultiplied(page):
        lost.append("premultiplied alpha (made straight)")
    return lost


@wrap_parse_errors("its tags")
def to_display(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Return samples (..., S) of any kind as plain gray or RGB, S last if there is one.

    Values of fewer bits than their type has are spread to the range of the type.
    """
    kind = photometric_of(page)
    if kind == PALETTE:
        return _by_table(pixels, page)
    if kind == CMYK:
        cmyk = PillowImage.fromarray(np.ascontiguousarray(pixels), "CMYK")
        return np.asarray(rgb_of_cmyk(cmyk, page.tags.valueof(_ICC)))
    if kind in LAB:
        return rgb_of_lab(pixels, page.samplesperpixel, is_icc=kind == _ICC_LAB)
    if kind == WHITE_IS_ZERO:
        pixels = _inverted(pixels, page.bitspersample)
    pixels = spread(pixels, page.bitspersample)
    return unpremultiply(pixels) if _is_premultiplied(page) else pixels


def _by_table(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    if lookup_table(page) is not None:
        return pixels
    table = _gray_table(page)
    if table is None:
        table = _colors(page)
    return np.take(table, pixels.astype(np.intp), axis=0)


def _colors(page: Any) -> NDArray[np.uint8]:
    """Return the palette, (n, 3); some programs write it with 8 bits instead of 16."""
    table = np.asarray(page.colormap).T
    shift = 8 if table.max(initial=0) > 255 else 0
    return (table >> shift).astype(np.uint8)


def _gray_table(page: Any) -> NDArray[Any] | None:
    """Return what gray each index stands for; None if some stand for colors."""
    table = np.asarray(page.colormap)
    if not (table == table[0]).all():
        return None
    if page.bitspersample == 16:
        deep: NDArray[Any] = table[0].astype(np.uint16)
        return deep
    grays: NDArray[Any] = _colors(page)[:, 0]
    if page.bitspersample > 1:
        return grays
    if sorted(grays) != [0, 255]:
        return None
    black_and_white: NDArray[Any] = grays > 0
    return black_and_white


def _says_what_it_measures(page: Any) -> bool:
    """Whether a program of microscopy described the pixels, whatever they look like."""
    file = page.parent
    return bool(file.is_imagej or file.is_ome)


def _is_premultiplied(page: Any) -> bool:
    return page.extrasamples == (_PREMULTIPLIED,) and page.samplesperpixel in (2, 4)


def _inverted(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    if pixels.dtype.kind == "b":
        return ~pixels
    if pixels.dtype.kind == "u":
        inverted: NDArray[Any] = pixels.dtype.type(2**bits - 1) - pixels
        return inverted
    return pixels
