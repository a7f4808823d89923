"""Score what is done where no task is named, and what cleaning brings to enlarging.

Usage: python benchmarks/steps.py [--size PX] [--only-first N]

Set5 and the 20 pictures of CID22 that held_out.txt names, the middle of each. First:
which steps are taken, and the mean PSNR over RGB before and after, the mean over the
pictures that were changed, and the greatest loss of one. Then (×2, of half the size):
bicubic, enlarged as it is, and cleaned first. Needs the images of ../shared.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from inputs import BENCH
from jpegs import HELD_OUT
from peer_networks import SHARED
from PIL import Image

from memnet_core.errors import NothingToDo
from memnet_core.image_ops.metrics import psnr
from memnet_core.image_ops.resize import imresize
from memnet_core.inference.engine import bind_engine
from memnet_core.inference.runner import restore
from memnet_core.inference.settings import options_from
from memnet_core.inference.steps import plan_chain
from memnet_core.io import open_image
from memnet_core.sources.protocols import ArraySink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

KINDS = [(0, None), (0, 98), (0, 95), (0, 75), (0, 40), (0, 10)]
KINDS += [(5, None), (15, None), (15, 75)]
"""Deviation of the noise, and JPEG quality."""


def middle(path: Path, size: int) -> Picture:
    """Return the middle of a picture."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    top, left = (max(0, side - size) // 2 for side in pixels.shape[:2])
    # Even sides have a half.
    height, width = (min(side, size) // 2 * 2 for side in pixels.shape[:2])
    cut: Picture = pixels[top : top + height, left : left + width]
    return cut


def rounded(pixels: NDArray[Any]) -> Picture:
    """Return whole gray levels."""
    return np.asarray(np.clip(np.rint(pixels), 0, 255), np.uint8)


def written(clean: Picture, sigma: float, quality: int | None) -> bytes:
    """Return a picture with noise as PNG or JPEG."""
    noise = np.random.default_rng(0).normal(0, sigma, clean.shape)
    file = io.BytesIO()
    Image.fromarray(rounded(clean + noise)).save(
        file, "JPEG" if quality else "PNG", quality=quality or 0
    )
    return file.getvalue()


def restored(path: Path, task: str, **settings: Any) -> tuple[str, Picture | None]:
    """Return the steps that were taken, and the result if there were any."""
    with open_image(path) as source:
        try:
            plan = plan_chain(source, options_from(task, keywords=settings))
        except NothingToDo:
            return "nothing", None
        prepared = bind_engine(plan)
        result = np.empty(prepared.result_shape(source.shape), source.dtype)
        for _ in restore(source, ArraySink(result), prepared):
            pass
    return "+".join(step.decision.task for step in prepared.steps), result[0]


@click.command()
@click.option("--size", default=256, help="Sides of what is taken of a picture.")
@click.option("--only-first", type=int, help="Pictures of each set.")
def main(size: int, only_first: int | None) -> None:
    """Print both tables."""
    names = HELD_OUT.read_text().split()
    held = [SHARED / "data" / "train" / "CID22" / name for name in names]
    paths = held[:only_first] + sorted((BENCH / "Set5").iterdir())[:only_first]
    pictures = [middle(path, size) for path in paths]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| noise, JPEG | steps taken | before | after | changed | worst |")
        print("|---|---|---|---|---|---|")
        for kind in KINDS:
            print(_auto(pictures, *kind, folder), flush=True)
        print("\n| noise, JPEG | bicubic | sr | cleaned first |")
        print("|---|---|---|---|")
        for kind in KINDS:
            print(_enlarged(pictures, *kind, folder), flush=True)


def _named(sigma: float, quality: int | None) -> str:
    parts = [f"σ {sigma:g}" if sigma else "", f"q {quality}" if quality else ""]
    return ", ".join(filter(None, parts)) or "clean"


def _auto(
    pictures: list[Picture], sigma: float, quality: int | None, folder: Path
) -> str:
    taken: Counter[str] = Counter()
    before, after = [], []
    for clean in pictures:
        path = folder / ("a.jpg" if quality else "a.png")
        path.write_bytes(written(clean, sigma, quality))
        with Image.open(path) as image:
            given = np.asarray(image)
        steps, result = restored(path, "auto")
        taken[steps] += 1
        before.append(_score(given, clean))
        after.append(before[-1] if result is None else _score(result, clean))
    gains = np.subtract(after, before)
    changed = gains[gains != 0]
    mean = f"{changed.mean():+.2f}" if changed.size else "-"
    counts = ", ".join(f"{count} {steps}" for steps, count in taken.most_common())
    return (
        f"| {_named(sigma, quality)} | {counts} | {np.mean(before):.2f} | "
        f"{np.mean(after):.2f} | {mean} | {gains.min():+.2f} |"
    )


def _enlarged(
    pictures: list[Picture], sigma: float, quality: int | None, folder: Path
) -> str:
    scores = []
    for clean in pictures:
        height, width = clean.shape[:2]
        small = rounded(imresize(clean.astype(float), (height // 2, width // 2)))
        path = folder / ("a.jpg" if quality else "a.png")
        path.write_bytes(written(small, sigma, quality))
        with Image.open(path) as image:
            bicubic = rounded(imresize(np.asarray(image, float), (height, width)))
        results = [restored(path, "sr", scale=2, clean=c)[1] for c in (False, True)]
        scores.append([_score(r, clean) for r in (bicubic, *results) if r is not None])
    told = " | ".join(f"{score:.2f}" for score in np.mean(scores, 0))
    return f"| {_named(sigma, quality)} | {told} |"


def _score(pixels: Picture, clean: Picture) -> float:
    # Of equal pictures, as those saved a second time as JPEGs, it is bounded.
    return min(psnr(pixels, clean), 60.0)


if __name__ == "__main__":
    main()
