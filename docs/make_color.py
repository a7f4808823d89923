"""Draw color pictures before and after restoration, at twice their size.

Usage: python docs/make_color.py

Writes docs/color.png: crops of JPEG files of quality 10 and 30 and of a photograph
with noise of σ 30 in each channel, and what the shipped models make of them.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

import memnet_core
from memnet_core.image_ops.metrics import psnr

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE, ZOOM, MARGIN, LABEL = 190, 2, 6, 26
SIGMA = 30
JPEGS = (("coffee", 10, (150, 120)), ("chelsea", 30, (130, 50)))
NOISY, CORNER = "astronaut", (140, 10)


def main() -> None:
    """Write the picture and print what was gained."""
    columns = [jpeg_column(*jpeg) for jpeg in JPEGS]
    columns.append(noisy_column())
    width = len(columns) * (SIDE * ZOOM + MARGIN) + MARGIN
    height = 2 * (SIDE * ZOOM + LABEL) + MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=16)
    for n, column in enumerate(columns):
        left = MARGIN + n * (SIDE * ZOOM + MARGIN)
        for row, (words, picture) in enumerate(column):
            top = row * (SIDE * ZOOM + LABEL)
            draw.text((left, top + 3), words, "black", font)
            sheet.paste(picture, (left, top + LABEL))
            print(words)
    sheet.save(Path(__file__).with_name("color.png"))


def jpeg_column(
    name: str, quality: int, corner: tuple[int, int]
) -> list[tuple[str, Image.Image]]:
    """Return a JPEG and what is made of it, with words."""
    clean = getattr(skimage.data, name)()
    encoded = io.BytesIO()
    Image.fromarray(clean).save(encoded, "JPEG", quality=quality)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.jpg"
        file.write_bytes(encoded.getvalue())
        before = np.asarray(Image.open(file))
        after = memnet_core.restore(file, "deblock").pixels.reshape(clean.shape)
    return compared(f"JPEG, quality {quality}", clean, before, after, corner)


def noisy_column() -> list[tuple[str, Image.Image]]:
    """Return a noisy photograph and what is made of it, with words."""
    clean = getattr(skimage.data, NOISY)()
    noise = np.random.default_rng(0).normal(0, SIGMA, clean.shape)
    before = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
    after = memnet_core.restore(before, "denoise", SIGMA, axes="YXS")
    return compared(f"noise, sigma {SIGMA}", clean, before, after, CORNER)


def compared(
    what: str,
    clean: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    corner: tuple[int, int],
) -> list[tuple[str, Image.Image]]:
    """Return crops of both pictures with what they are and their PSNR in dB."""
    return [
        (f"{words}: {psnr(clean, pixels):.2f} dB", crop(pixels, corner))
        for words, pixels in ((what, before), ("restored", after))
    ]


def crop(pixels: NDArray[np.uint8], corner: tuple[int, int]) -> Image.Image:
    """Return a part of a picture, every pixel as a square."""
    left, top = corner
    box = (left, top, left + SIDE, top + SIDE)
    size = (SIDE * ZOOM, SIDE * ZOOM)
    picture = Image.fromarray(pixels).crop(box)
    return picture.resize(size, Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
