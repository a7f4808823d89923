"""Augment photographs by flat areas, saturation, drawings and dim micrographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from memnet_core.image_ops.color import full_range_luminance
from memnet_core.training.data.synthetic_pictures import synthetic_crop

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "SyntheticAugment",
    "dim_patch",
    "draw_variety",
    "studio_range",
    "synthetic_patch",
]

_TONES = np.arange(256, dtype=np.uint8)

_FLAT_SHARE = 0.25
_CUT_SHARE = 0.2
"""Shares of plain patches that are flat or saturated; the rest is synthetic."""


class SyntheticAugment(NamedTuple):
    """Replacement or tone table for an 8-bit photograph, drawn before it is read.

    Attributes
    ----------
    picture : ndarray of uint8, shape (H, W) or (H, W, 3), optional
        Synthetic patch that replaces the photograph.
    table : ndarray of uint8, shape (256,), optional
        Lookup table of its gray levels.
    is_plain : bool
        Whether the patch is flat, saturated or synthetic.
    is_gray : bool
        Whether colors become gray, so that chroma is neutral.
    """

    picture: NDArray[np.uint8] | None = None
    table: NDArray[np.uint8] | None = None
    is_plain: bool = False
    is_gray: bool = False

    def of(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Apply the augmentation to a photograph, shape (H, W) or (H, W, 3)."""
        if self.picture is not None:
            plane = self.picture
        elif self.table is not None:
            plane = self.table[plane]
        if not self.is_gray:
            return plane
        gray = np.rint(full_range_luminance(plane.astype(np.float64)))
        return np.repeat(gray[..., None], 3, axis=-1).astype(plane.dtype)


def draw_variety(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    plain: float,
    dim: float,
    studio: float,
) -> SyntheticAugment:
    """Draw an augmentation at random.

    Parameters
    ----------
    shape : tuple of int
        Shape of the photograph, (H, W) or (H, W, 3).
    rng : numpy.random.Generator
        Decides on all of it.
    plain, dim, studio : float
        Shares of those for which a plain picture is taken, of the others that become
        dim, and of all that are mapped to studio range.
    """
    variety = SyntheticAugment()
    if rng.random() < plain:
        variety = _draw_plain(shape, rng)
    elif dim and rng.random() < dim:
        variety = SyntheticAugment(table=dim_patch(_TONES, rng))
    if rng.random() < studio:
        made = studio_range(variety.of(_TONES))
        if variety.picture is not None:
            return variety._replace(picture=made)
        return variety._replace(table=made)
    return variety


def studio_range(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map full-range luminance to the 16 to 235 that the protocol scores."""
    mapped: NDArray[np.uint8] = np.rint(16 + plane * (219 / 255)).astype(np.uint8)
    return mapped


def synthetic_patch(
    plane: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a plain picture in place of a photograph.

    Parameters
    ----------
    plane : ndarray of uint8, shape (H, W) or (H, W, 3)
        A photograph.
    rng : numpy.random.Generator
        Decides on a flat area, the photograph cut off at white or black, or a picture
        made by program.
    """
    return _draw_plain(plane.shape, rng).of(plane)


def _draw_plain(shape: tuple[int, ...], rng: np.random.Generator) -> SyntheticAugment:
    kind = rng.random()
    if kind < _FLAT_SHARE:
        flat = np.full(shape, _tone(shape, rng), np.uint8)
        return SyntheticAugment(picture=flat, is_plain=True)
    if kind < _FLAT_SHARE + _CUT_SHARE:
        gain, pivot = rng.uniform(1.2, 3), rng.choice((0, 255))
        stretched = pivot + gain * (_TONES.astype(np.float64) - (255 - pivot) / 2)
        cut = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
        return SyntheticAugment(table=cut, is_plain=True)
    return SyntheticAugment(picture=synthetic_crop(shape, rng), is_plain=True)


def dim_patch(plane: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a darker photograph of less contrast, as a microscope sees things.

    Mostly dark with bright spots, by a power of 1 to 3, and with 5 to 100 % of the
    range from some black on.

    Parameters
    ----------
    plane : ndarray of uint8, shape (H, W) or (H, W, 3)
        A photograph.
    rng : numpy.random.Generator
        Decides on power, contrast and black.
    """
    contrast = rng.uniform(0.05, 1)
    black = rng.uniform(0, 1 - contrast) * rng.random()
    dim = black + contrast * (plane / 255) ** rng.uniform(1, 3)
    darkened: NDArray[np.uint8] = np.rint(255 * dim).astype(np.uint8)
    return darkened


def _tone(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
    """Return a gray level, often white or black, or a color for a colored plane."""
    tone = int(rng.choice((0, 255, int(rng.integers(256)))))
    if len(shape) == 2:
        return (tone,)
    return (
        tuple(rng.integers(0, 256, 3).tolist()) if rng.random() < 0.5 else (tone,) * 3
    )
