"""Pictures made by program: text, screenshots, line art, flat art, micrographs.

Photographs lack them, and people restore them. Each follows from its number, is made at
first use and kept; training crops from them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Color = tuple[int, int, int]

__all__ = ["COUNT", "KINDS", "SIDE", "synthetic_crop", "synthetic_picture"]

COUNT = 240
"""How many different pictures there are: 47 MB in color, 30 of each kind."""

SIDE = 256

_SIZES = (8, 9, 10, 11, 12, 13, 14, 16, 18, 24, 32, 48)
"""Font sizes in pixels, most of them those of running text."""

_SMOOTHED = 2
"""How many times larger art is drawn before it is reduced, for smooth edges."""


def synthetic_crop(
    shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Crop from a picture made by program.

    Parameters
    ----------
    shape : tuple of int
        Of the crop: (H, W) for luminance, or (H, W, 3).
    rng : numpy.random.Generator
        Decides on picture, place and orientation.
    """
    picture = synthetic_picture(int(rng.integers(COUNT)), is_gray=len(shape) == 2)
    picture = np.rot90(picture, int(rng.integers(4)))
    if missing := max(0, max(shape[:2]) - SIDE):
        around = [(0, missing), (0, missing), (0, 0)][: picture.ndim]
        picture = np.pad(picture, around, mode="wrap")
    top, left = (
        int(rng.integers(whole - part + 1))
        for whole, part in zip(picture.shape[:2], shape[:2], strict=True)
    )
    return picture[top : top + shape[0], left : left + shape[1]]


@functools.lru_cache(maxsize=2 * COUNT)
def synthetic_picture(number: int, *, is_gray: bool = False) -> NDArray[np.uint8]:
    """Return the picture of a number, which is not to be written to.

    Parameters
    ----------
    number : int
        From 0; pictures of the same kind are ``len(KINDS)`` apart.
    is_gray : bool
        Whether to return its luminance.

    Returns
    -------
    ndarray of uint8, shape (SIDE, SIDE) or (SIDE, SIDE, 3)
    """
    if is_gray:
        colors = Image.fromarray(synthetic_picture(number))
        picture = np.asarray(colors.convert("L"))
    else:
        make = [*KINDS.values()][number % len(KINDS)]
        picture = make(np.random.default_rng([number]))
    picture.setflags(write=False)
    return picture


def _color(rng: np.random.Generator) -> Color:
    """Return white, black, a gray, a saturated color, or any color."""
    kind = rng.integers(6)
    if kind < 2:
        return (255 * int(kind),) * 3
    if kind == 2:
        return (int(rng.integers(256)),) * 3
    if kind == 3:
        red, green, blue = rng.integers(0, 256, 3).tolist()
    else:
        red, green, blue = rng.choice((0, 255, int(rng.integers(256))), 3).tolist()
    return red, green, blue


def _ground_and_ink(rng: np.random.Generator) -> tuple[Color, Color]:
    """Return two colors that differ, most often black on white or the reverse."""
    kind = rng.random()
    white, black = (255,) * 3, (int(rng.choice((0, 0, 40))),) * 3
    if kind < 0.4:
        return white, black
    if kind < 0.55:
        return black, white
    ground = _color(rng)
    return ground, _ink_on(ground, rng)


def _ink_on(ground: Color, rng: np.random.Generator) -> Color:
    """Return a color that differs from the ground, so that text can be read."""
    ink = _color(rng)
    while max(abs(g - i) for g, i in zip(ground, ink, strict=True)) < 50:
        ink = _color(rng)
    return ink


def _words(rng: np.random.Generator, count: int) -> str:
    """Return words of random characters, most of them small letters."""
    words = []
    for _ in range(count):
        length = int(rng.integers(1, 11))
        if rng.random() < 0.15:
            letters = rng.integers(33, 65, length)
        else:
            letters = rng.integers(97, 123, length)
            letters[0] -= 32 * int(rng.random() < 0.2)
        words.append("".join(map(chr, letters)))
    return " ".join(words)


def _write(
    picture: Image.Image,
    box: tuple[int, int, int, int],
    size: int,
    ink: Color,
    rng: np.random.Generator,
) -> None:
    """Write lines of text into a box of a picture.

    A third is drawn with the subpixels of a screen, whose edges are colored, and a few
    lines without smooth edges.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if min(width, height) < 4:
        return
    stretch = 3 if rng.random() < 1 / 3 else 1
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    draw.fontmode = "1" if stretch == 1 and rng.random() < 0.15 else "L"
    font = ImageFont.load_default(size=size)
    step = round(size * rng.uniform(1.1, 1.7))
    for y in range(0, height - size // 2, step):
        draw.text((0, y), _words(rng, 2 + width // (3 * size)), fill=255, font=font)
    covered = np.asarray(mask, np.float32)[..., None] / 255
    if stretch == 3:
        # Colors lie a third of a pixel left and right of the middle.
        before, after = (np.roll(covered, shift, axis=1) for shift in (1, -1))
        covered = np.concatenate(
            [(2 * covered + before) / 3, covered, (2 * covered + after) / 3], axis=2
        )
    ground = np.asarray(picture.crop(box), np.float32)
    mixed = ground + covered * (np.array(ink, np.float32) - ground)
    picture.paste(Image.fromarray(np.rint(mixed).astype(np.uint8)), (left, top))


def _text(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a page: paragraphs and headings in one or two colors."""
    ground, ink = _ground_and_ink(rng)
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    top = int(rng.integers(0, 12))
    while top < SIDE - 8:
        size = int(rng.choice(_SIZES))
        height = min(SIDE - top, int(size * rng.integers(2, 7)))
        left = int(rng.integers(0, 24))
        shown = ink if rng.random() < 0.6 else _ink_on(ground, rng)
        _write(picture, (left, top, SIDE, top + height), size, shown, rng)
        top += height + int(rng.integers(0, 16))
    return np.asarray(picture)


def _screenshot(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw panels, bars, buttons, thin lines and gradients, with labels on them."""
    gray = int(rng.choice((255, 245, 240, 60, 43, 30)))
    picture = Image.new("RGB", (SIDE, SIDE), (gray,) * 3)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(6, 16))):
        left, top = (int(x) for x in rng.integers(-20, SIDE - 20, 2))
        width, height = (int(x) for x in rng.integers(10, 150, 2))
        if rng.random() < 0.5:
            height = int(rng.integers(12, 30))
        box = (left, top, left + width, top + height)
        fill, ink = _ground_and_ink(rng)
        border = _color(rng) if rng.random() < 0.6 else None
        kind = rng.integers(5)
        if kind == 0:
            picture.paste(_gradient(width, height, fill, ink, rng), box[:2])
        elif kind == 1:
            at = top + height // 2
            draw.line((left, at, left + width, at), fill=ink, width=1)
        elif kind == 2:
            draw.rounded_rectangle(box, 5, fill=fill, outline=border)
        else:
            draw.rectangle(box, fill=fill, outline=border)
        if kind > 1 and rng.random() < 0.8:
            inside = (
                max(0, left + 4),
                max(0, top + 2),
                min(SIDE, box[2] - 3),
                min(SIDE, box[3] - 1),
            )
            _write(picture, inside, int(rng.choice(_SIZES[:8])), ink, rng)
    return np.asarray(picture)


def _gradient(
    width: int, height: int, first: Color, last: Color, rng: np.random.Generator
) -> Image.Image:
    """Return a gradient from one color to another, down or across."""
    ends = np.array([[first], [last]], np.uint8)
    if rng.random() < 0.5:
        ends = ends.swapaxes(0, 1)
    return Image.fromarray(ends).resize((width, height), Image.Resampling.BILINEAR)


def _curve(rng: np.random.Generator, side: int) -> list[tuple[float, float]]:
    """Return points of a smooth random walk that begins in a square."""
    length, steps = rng.uniform(0.2, 1.2) * side, 40
    bends = np.cumsum(rng.normal(0, rng.uniform(0, 0.25), steps))
    angles = rng.uniform(0, 2 * np.pi) + bends
    x, y = (
        rng.uniform(0, side) + np.cumsum(f(angles)) * length / steps
        for f in (np.cos, np.sin)
    )
    return [*zip(x.tolist(), y.tolist(), strict=True)]


def _polygon(rng: np.random.Generator, side: int) -> list[tuple[float, float]]:
    """Return the corners of a star-shaped polygon."""
    count = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    radii = rng.uniform(0.05, 0.35) * side * rng.uniform(0.4, 1, count)
    x, y = rng.uniform(0, side, 2)
    return [
        *zip(
            (x + radii * np.cos(angles)).tolist(),
            (y + radii * np.sin(angles)).tolist(),
            strict=True,
        )
    ]


def _line_art(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw curves, outlines and hatching in one color, some without smooth edges."""
    ground, ink = _ground_and_ink(rng)
    scale = 1 if rng.random() < 0.2 else _SMOOTHED
    side = scale * SIDE
    picture = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(10, 30))):
        width = scale * int(rng.choice((1, 1, 1, 2, 2, 3, 5)))
        kind = rng.integers(4)
        if kind == 0:
            draw.polygon(_polygon(rng, side), outline=ink, width=width)
        elif kind == 1:
            x, y, radius = rng.uniform(0, side, 3)
            box = (x - radius / 4, y - radius / 6, x + radius / 4, y + radius / 6)
            draw.ellipse(box, outline=ink, width=width)
        elif kind == 2:
            _hatch(draw, side, scale, ink, rng)
        else:
            draw.line(_curve(rng, side), fill=ink, width=width, joint="curve")
    return np.asarray(picture.reduce(scale))


def _hatch(
    draw: ImageDraw.ImageDraw,
    side: int,
    scale: int,
    ink: Color,
    rng: np.random.Generator,
) -> None:
    """Draw parallel lines, 2 to 8 pixels apart."""
    x, y = rng.uniform(0, side, 2)
    length, angle = rng.uniform(0.1, 0.3) * side, rng.uniform(0, np.pi)
    along = length * np.array([np.cos(angle), np.sin(angle)])
    step = scale * rng.uniform(2, 8) * np.array([-np.sin(angle), np.cos(angle)])
    for number in range(int(rng.integers(5, 20))):
        first = np.array([x, y]) + number * step
        draw.line((*first.tolist(), *(first + along).tolist()), fill=ink, width=scale)


def _flat_art(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw large areas of saturated colors, half of them with outlines like comics."""
    side = _SMOOTHED * SIDE
    picture = Image.new("RGB", (side, side), _color(rng))
    draw = ImageDraw.Draw(picture)
    outline = (0, 0, 0) if rng.random() < 0.5 else None
    width = _SMOOTHED * int(rng.integers(1, 5))
    for _ in range(int(rng.integers(6, 20))):
        fill = _color(rng)
        kind = rng.integers(4)
        x, y, a, b = rng.uniform(0, side, 4).tolist()
        box = (x - a / 4, y - b / 4, x + a / 4, y + b / 4)
        if kind == 0:
            draw.ellipse(box, fill=fill, outline=outline, width=width)
        elif kind == 1:
            draw.rectangle(box, fill=fill, outline=outline, width=width)
        elif kind == 2:
            draw.polygon(_polygon(rng, side), fill=fill, outline=outline, width=width)
        else:
            draw.line(_curve(rng, side), fill=fill, width=2 * width, joint="curve")
    return np.asarray(picture.reduce(_SMOOTHED))


def _micrograph(
    stain: Callable[[np.random.Generator], NDArray[np.float64]],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Show one to three stains, gray or each in a color, bright on a dark ground."""
    is_gray = rng.random() < 0.6
    hues = np.ones((1, 3)) if is_gray else rng.permutation(np.eye(3))
    picture = np.full((SIDE, SIDE, 3), rng.uniform(0, 0.15) * rng.random())
    for hue in hues[: int(rng.integers(1, 4))]:
        light = stain(rng)
        picture += np.multiply.outer(light / light.max() * _draw_contrast(rng), hue)
    lit: NDArray[np.uint8] = np.rint(255 * picture.clip(0, 1)).astype(np.uint8)
    return lit


def _draw_contrast(rng: np.random.Generator) -> float:
    """Draw the brightest value, which is overexposed at times."""
    return float(np.exp(rng.uniform(-1.8, 0.4)))


def _spots(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw beads, molecules or stars of very different brightness, and blurred ones."""
    light = np.zeros((SIDE, SIDE))
    for _ in range(int(rng.integers(1, 4))):
        points = np.zeros((SIDE, SIDE))
        rows, columns = rng.integers(0, SIDE, (2, int(np.exp(rng.uniform(2, 6.5)))))
        points[rows, columns] = rng.lognormal(0, 1, len(rows))
        light += _blurred(points, np.exp(rng.uniform(-0.4, 2)))
    return light


def _filaments(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw curves of a pixel or two: microtubules or neurites, some out of focus."""
    light = np.zeros((SIDE, SIDE))
    for _ in range(int(rng.integers(1, 4))):
        sheet = Image.new("L", (_SMOOTHED * SIDE,) * 2)
        draw = ImageDraw.Draw(sheet)
        for _ in range(int(rng.integers(5, 60))):
            points = _curve(rng, sheet.width)
            draw.line(points, fill=int(rng.integers(60, 256)), width=_SMOOTHED)
        drawn = np.asarray(sheet.reduce(_SMOOTHED), np.float64)
        light += _blurred(drawn, np.exp(rng.uniform(-0.7, 1.2)))
    return light


def _cells(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw nuclei or cells: blobs with a texture of their own."""
    size = np.exp(rng.uniform(1.2, 2.8))
    shape = _texture_of(size, size, rng)
    edge = rng.uniform(0.02, 0.5)
    body = ((shape - np.quantile(shape, rng.uniform(0.5, 0.95))) / edge).clip(0, 1)
    grain = _texture_of(0.5, rng.uniform(0.7, 4), rng)
    cells: NDArray[np.float64] = body * np.exp(rng.uniform(0, 0.5) * grain) + 1e-3
    return cells


def _texture(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw tissue or minerals: texture of many scales all over."""
    coarse, fine = _texture_of(2, 12, rng), _texture_of(0.5, 2, rng)
    light: NDArray[np.float64] = np.exp(
        rng.uniform(0, 0.6) * coarse + rng.uniform(0, 0.5) * fine
    )
    return light


def _texture_of(
    smallest: float, largest: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return smoothed noise of unit deviation; widths in pixels."""
    width = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
    noise = _blurred(rng.standard_normal((SIDE, SIDE)), width)
    texture: NDArray[np.float64] = (noise - noise.mean()) / noise.std()
    return texture


def _blurred(light: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Blur by a Gaussian of a standard deviation in pixels, opposite borders joined."""
    frequencies = np.fft.fftfreq(SIDE)
    squares = frequencies[:, None] ** 2 + frequencies[: SIDE // 2 + 1] ** 2
    kept = np.exp(-2 * (np.pi * width) ** 2 * squares)
    blurred: NDArray[np.float64] = np.fft.irfft2(np.fft.rfft2(light) * kept)
    return blurred.clip(light.min())


KINDS: dict[str, Callable[[np.random.Generator], NDArray[np.uint8]]] = {
    "text": _text,
    "screenshot": _screenshot,
    "line art": _line_art,
    "flat art": _flat_art,
    "spots": functools.partial(_micrograph, _spots),
    "filaments": functools.partial(_micrograph, _filaments),
    "cells": functools.partial(_micrograph, _cells),
    "texture": functools.partial(_micrograph, _texture),
}
"""What draws a picture of each kind."""
