"""Count how often an earlier JPEG compression is found, and found where there is none.

Usage: python benchmarks/jpeg_traces.py [--only-first N] [--side PIXELS]

Of photographs (CID22, CLIC2025 and its halves of ../shared, Set5, Set12, S14, classic5)
and pictures made by program. Clean: claims of a compression, of which there should be
none. Any crop of a JPEG as PNG, and such a crop saved again as a finer JPEG: the share
whose quality is within 5 points and whose grid is right; wrong claims; no claim.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click
import numpy as np
from peer_networks import SHARED
from PIL import Image

from memnet_core.jpeg.coding import JpegCoding, luminance_table
from memnet_core.jpeg.traces import find_earlier_jpeg
from memnet_core.sources.protocols import ArraySource
from memnet_core.tasks.deblock import jpeg
from memnet_core.training.data.synthetic_pictures import COUNT, synthetic_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

SETS = (
    "bench/Set5",
    "bench/Set12",
    "bench/S14",
    "bench/classic5",
    "train/CID22",
    "train/CLIC2025",
    "train/CLIC2025_colour_half",
)
SINGLE = (10, 20, 30, 50, 75)
DOUBLE = ((10, 30), (20, 50), (20, 90), (40, 60), (50, 90), (75, 95))


@click.command(help=__doc__)
@click.option("--only-first", type=int, default=10_000)
@click.option("--side", type=int, default=512)
def main(only_first: int, side: int) -> None:
    """Print tables."""
    for name in SETS:
        pictures = [_center(p, side + 8) for p in _photographs(name, only_first)]
        _report(name, pictures)
    _report(
        "made by program", [synthetic_picture(n) for n in range(COUNT)][:only_first]
    )


def _report(name: str, pictures: list[Picture]) -> None:
    rng = np.random.default_rng(0)
    claims = [find_earlier_jpeg(_source(p)) for p in pictures]
    false = sum(claim is not None for claim in claims)
    click.echo(f"{name}: {len(pictures)} clean pictures, {false} called JPEGs")
    for quality in SINGLE:
        _print(f"q {quality} as PNG", pictures, (quality, None), rng)
    for qualities in DOUBLE:
        _print(f"q {qualities[0]}, then q {qualities[1]}", pictures, qualities, rng)


def _print(
    title: str,
    pictures: list[Picture],
    qualities: tuple[int, int | None],
    rng: np.random.Generator,
) -> None:
    counts: Counter[str] = Counter()
    for picture in pictures:
        first = jpeg(picture, qualities[0])
        top, left = rng.integers(0, 8, 2).tolist()
        pixels, last = np.ascontiguousarray(first[top:, left:]), None
        if qualities[1]:
            pixels = jpeg(pixels, qualities[1])
            last = JpegCoding((tuple(luminance_table(qualities[1]).tolist()),))
        found = find_earlier_jpeg(_source(pixels), 0, last)
        if found is None:
            counts["no claim"] += 1
            continue
        is_near = abs(found.quality - qualities[0]) <= 5
        is_placed = (found.rows, found.columns) == (-top % 8, -left % 8)
        counts["quality and grid" if is_near and is_placed else "wrong"] += 1
        counts["grid"] += is_placed
    shares = ", ".join(
        f"{k} {v / len(pictures):.1%}" for k, v in sorted(counts.items())
    )
    click.echo(f"    {title:<18} {shares}")


def _photographs(name: str, count: int) -> Iterator[Picture]:
    folder = SHARED / "data" / name
    for path in sorted(folder.iterdir())[:count]:
        with Image.open(path) as image:
            yield np.asarray(image.convert("L" if image.mode == "L" else "RGB"))


def _source(picture: Picture) -> ArraySource:
    return ArraySource(np.atleast_3d(picture)[None])


def _center(picture: Picture, side: int) -> Picture:
    top, left = (max(length - side, 0) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


if __name__ == "__main__":
    main()
