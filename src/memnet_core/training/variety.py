"""What photographs lack: flat areas, white and black, lines and letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Stretch", "draw_plain", "made_plain", "plain_patch", "studio_range"]


class Stretch(NamedTuple):
    """Contrast that cuts a photograph off at white or black, the pivot."""

    gain: float
    pivot: int


def studio_range(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map full-range luminance to the 16 to 235 that the protocol scores."""
    mapped: NDArray[np.uint8] = np.rint(16 + plane * (219 / 255)).astype(np.uint8)
    return mapped


def plain_patch(
    plane: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a plain picture in place of a photograph.

    Parameters
    ----------
    plane : ndarray of uint8, shape (H, W) or (H, W, 3)
        A photograph.
    rng : numpy.random.Generator
        Decides on a flat area, the photograph cut off at white or black, or a drawing.
    """
    return made_plain(plane, draw_plain(plane.shape, rng))


def made_plain(
    plane: NDArray[np.uint8], plain: NDArray[np.uint8] | Stretch
) -> NDArray[np.uint8]:
    """Return what was drawn in place of a photograph."""
    if not isinstance(plain, Stretch):
        return plain
    gain, pivot = plain
    stretched = pivot + gain * (plane.astype(np.float64) - (255 - pivot) / 2)
    cut: NDArray[np.uint8] = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
    return cut


def draw_plain(
    shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.uint8] | Stretch:
    """Draw what `plain_patch` makes: a picture, or how the photograph is cut off.

    Parameters
    ----------
    shape : tuple of int
        Of the photograph, (H, W) or (H, W, 3).
    rng : numpy.random.Generator
        Decides on all of it.
    """
    kind = rng.integers(3)
    if kind == 0:
        return np.full(shape, _tone(shape, rng), np.uint8)
    if kind == 1:
        return Stretch(rng.uniform(1.2, 3), int(rng.choice((0, 255))))
    return _drawing(shape, rng)


def _tone(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
    """Return a grey level, often white or black, or a colour for a coloured plane."""
    tone = int(rng.choice((0, 255, int(rng.integers(256)))))
    if len(shape) == 2:
        return (tone,)
    return (
        tuple(rng.integers(0, 256, 3).tolist()) if rng.random() < 0.5 else (tone,) * 3
    )


def _drawing(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return boxes, lines and letters on a flat ground."""
    height, width = shape[:2]
    mode = "L" if len(shape) == 2 else "RGB"
    picture = Image.new(mode, (width, height), _tone(shape, rng))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(2, 8))):
        x0, x1 = sorted(int(x) for x in rng.integers(0, width, 2))
        y0, y1 = sorted(int(y) for y in rng.integers(0, height, 2))
        tone, thickness = _tone(shape, rng), int(rng.integers(1, 4))
        kind = rng.integers(4)
        if kind == 0:
            draw.rectangle((x0, y0, x1, y1), fill=tone)
        elif kind == 1:
            draw.ellipse((x0, y0, x1, y1), outline=tone, width=thickness)
        elif kind == 2:
            draw.line((x0, y1, x1, y0), fill=tone, width=thickness)
        else:
            letters = "".join(chr(int(c)) for c in rng.integers(48, 123, 6))
            font = ImageFont.load_default(size=int(rng.integers(9, 28)))
            draw.text((x0, y0), letters, fill=tone, font=font)
    return np.asarray(picture)
