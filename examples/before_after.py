"""Draw crops of the examples before and after restoration; print the PSNR gained.

Usage: python examples/before_after.py RESTORED_FOLDER PICTURE
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from memnet_core.image_ops.metrics import psnr

CROPS = {"astronaut": (140, 10), "chelsea": (130, 60), "coffee": (150, 120)}
SIDE = 150
ZOOM = 2
MARGIN = 6
LABEL = 30


def main(restored_folder: Path, picture: Path) -> None:
    """Write the picture and print a line for each example."""
    columns = []
    for source in sorted(Path(__file__).parent.glob("*.jpg")):
        name = source.stem
        clean = getattr(skimage.data, name)()
        images = [
            Image.open(source),
            Image.open(restored_folder / f"{name}.png"),
        ]
        before, after = (psnr(clean, np.asarray(image)) for image in images)
        print(f"{name:<10} {before:.2f} dB -> {after:.2f} dB")
        if name in CROPS:
            columns.append([_crop(image, CROPS[name]) for image in images])
    _montage(columns).save(picture)
    print(f"Before and after: {picture}")


def _crop(image: Image.Image, corner: tuple[int, int]) -> Image.Image:
    left, top = corner
    box = (left, top, left + SIDE, top + SIDE)
    size = (SIDE * ZOOM, SIDE * ZOOM)
    return image.convert("RGB").crop(box).resize(size, Image.Resampling.NEAREST)


def _montage(columns: list[list[Image.Image]]) -> Image.Image:
    side = SIDE * ZOOM
    width = len(columns) * (side + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, 2 * (side + LABEL) + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=18)
    for row, label in enumerate(("JPEG, quality 10", "restored by memnet")):
        top = row * (side + LABEL)
        draw.text((MARGIN, top + 4), label, "black", font)
        for index, column in enumerate(columns):
            sheet.paste(column[row], (MARGIN + index * (side + MARGIN), top + LABEL))
    return sheet


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
