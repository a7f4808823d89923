"""Score what `memnet batch` makes of the chroma of JPEG files, by their subsampling.

Usage: python benchmarks/chroma.py [FOLDER]

Prints the mean PSNR over RGB of the images of FOLDER (Set5 of ../shared by default) as
JPEG files that Pillow writes, and as restored from them: luminance alone, red, green
and blue one by one, and by default, which is luminance and chroma on their own grids.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from inputs import BENCH
from PIL import Image

import memnet_core
from memnet_core.image_ops.metrics import psnr

if TYPE_CHECKING:
    from memnet_core.inference.settings import Channels

WAYS: tuple[Channels | None, ...] = ("luminance", "each", None)


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path), default=BENCH / "Set5")
def main(folder: Path) -> None:
    """Print a table."""
    click.echo("| subsampling, q | JPEG | luminance | each | default |")
    click.echo("|---|---|---|---|---|")
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        for quality in (10, 20, 40):
            rows = [
                scores(path, subsampling, quality) for path in sorted(folder.iterdir())
            ]
            means = " | ".join(f"{mean:.2f}" for mean in np.mean(rows, axis=0))
            click.echo(f"| {subsampling}, {quality} | {means} |")


def scores(path: Path, subsampling: str, quality: int) -> list[float]:
    """Return the PSNR of a picture's JPEG, and of what is made of it in every way."""
    with Image.open(path) as image:
        clean = np.asarray(image.convert("RGB"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "compressed.jpg"
        Image.fromarray(clean).save(file, quality=quality, subsampling=subsampling)
        with Image.open(file) as image:
            results = [np.asarray(image)]
        for way in WAYS:
            restored = memnet_core.restore(file, "deblock", quality, channels=way)
            results.append(restored.pixels.reshape(clean.shape))
    return [psnr(clean, result) for result in results]


if __name__ == "__main__":
    main()
