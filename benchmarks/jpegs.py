"""Score what becomes of JPEGs as people have them: in color, text, fog, gray.

Usage: python benchmarks/jpegs.py [MODEL ...] [--set NAME ...] [--only-first N]

MODEL is the name or file of a model; by default the one that is chosen for the file.
Prints the PSNR over RGB of JPEGs that Pillow writes, and for each model what is gained:
Set5; the 20 pictures of CID22 that held_out.txt names and that nothing is trained on;
screenshots, text, line art and flat art made by program, others than those trained on.
Fog: of white pixels within 8 px of colored text the share that is within 2 levels of
white. Histories (Set5): gains of crops of a JPEG saved as PNG, JPEGs inside a TIFF, or
as a finer JPEG, and behind the slash of the same told the quality of the first.
Classic5: luminance by the paper's protocol. Needs the images of ../shared.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import numpy as np
from inputs import BENCH
from peer_networks import SHARED
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import memnet_core
from memnet_core.evaluation.run import evaluate
from memnet_core.image_ops.metrics import psnr
from memnet_core.inference.engine import Engine
from memnet_core.model.checkpoint import load_model
from memnet_core.model.registry import find_model
from memnet_core.tasks.deblock import jpeg
from memnet_core.training.data.synthetic_pictures import COUNT, KINDS, synthetic_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

HELD_OUT = Path(__file__).with_name("held_out.txt")
MADE = 10
"""Pictures of a kind."""

_NEAR = 8
_WHITE = 253


def _photographs(folder: Path, names: Sequence[str] = ()) -> list[Picture]:
    paths = [folder / name for name in names] or sorted(folder.iterdir())
    pictures = []
    for path in paths:
        with Image.open(path) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def _made(kind: str) -> list[Picture]:
    """Return pictures of a kind that no training crops from."""
    first = COUNT + [*KINDS].index(kind)
    return [synthetic_picture(first + n * len(KINDS)) for n in range(MADE)]


def _colored_text() -> list[Picture]:
    """Return saturated text on white, in twelve colors and six sizes."""
    inks = [(r, g, b) for r in (0, 128, 255) for g in (0, 128, 255) for b in (0, 255)]
    inks = [ink for ink in inks if max(ink) - min(ink) > 120][:12]
    pictures = []
    for size in (10, 12, 14, 18, 24, 32):
        page = Image.new("RGB", (256, 256), "white")
        draw = ImageDraw.Draw(page)
        font = ImageFont.load_default(size=size)
        for number, top in enumerate(range(4, 256 - size, round(1.5 * size))):
            text = "Colored text on white 0123456789"
            draw.text((6, top), text, fill=inks[number % len(inks)], font=font)
        pictures.append(np.asarray(page))
    return pictures


SETS: dict[str, Callable[[], list[Picture]]] = {
    "Set5": lambda: _photographs(BENCH / "Set5"),
    "CID22": lambda: _photographs(
        SHARED / "data" / "train" / "CID22", HELD_OUT.read_text().split()
    ),
    "screenshot": lambda: _made("screenshot"),
    "text": lambda: _made("text"),
    "line art": lambda: _made("line art"),
    "flat art": lambda: _made("flat art"),
}
DOUBLE = ((20, 50), (20, 90), (50, 90))
QUALITIES = {"Set5": (10, 20, 40), "CID22": (10, 20, 40)}
SAMPLINGS = {"Set5": ("4:2:0", "4:2:2", "4:4:4"), "CID22": ("4:2:0", "4:4:4")}


@click.command(help=__doc__)
@click.argument("models", nargs=-1)
@click.option("--set", "sets", multiple=True)
@click.option("--only-first", type=int, default=1000)
@click.option("--ends", is_flag=True, help="Set5 beyond the levels of models only.")
def main(
    models: tuple[str, ...], sets: tuple[str, ...], only_first: int, ends: bool
) -> None:
    """Print tables."""
    systems: list[str | None] = [*models] or [None]
    if ends:
        for quality in (1, 2, 3, 4, 99, 100):
            _print_gains("Set5", SETS["Set5"](), quality, "4:2:0", systems)
        return
    for name, pictures in SETS.items():
        if sets and name not in sets:
            continue
        chosen = pictures()[:only_first]
        for sampling in SAMPLINGS.get(name, ("4:2:0",)):
            for quality in QUALITIES.get(name, (30, 75)):
                _print_gains(f"{name} {sampling}", chosen, quality, sampling, systems)
    if not sets or "histories" in sets:
        for first, last in ((20, "png"), (50, "png"), (20, "tif"), *DOUBLE):
            _print_history(SETS["Set5"]()[:only_first], first, last, systems)
    if not sets or "fog" in sets:
        for quality in (30, 75):
            _print_fog(_colored_text(), quality, systems)
    for system in models:
        if not sets or "classic5" in sets:
            _print_luminance(system)


def _print_gains(
    title: str,
    pictures: list[Picture],
    quality: int,
    sampling: str,
    systems: Sequence[str | None],
) -> None:
    rows = []
    start = time.process_time()
    for clean in pictures:
        results = compressed_and_restored(clean, quality, sampling, systems)
        rows.append([psnr(clean, result) for result in results])
    before, *after = np.mean(rows, axis=0)
    gains = " | ".join(f"{value - before:+.2f}" for value in after)
    megapixels = sum(p.shape[0] * p.shape[1] for p in pictures) / 1e6
    speed = (time.process_time() - start) / megapixels / len(systems)
    click.echo(f"| {title} q {quality} | {before:.2f} | {gains} | {speed:.1f} s/Mpx |")


def _print_history(
    pictures: list[Picture], first: int, last: int | str, systems: Sequence[str | None]
) -> None:
    """Print gains of what was a JPEG on a grid that is moved by 3, 6."""
    rows = []
    for clean in pictures:
        seen, truth = jpeg(clean, first), clean
        if last != "tif":
            seen, truth = (np.ascontiguousarray(p[5:, 2:]) for p in (seen, clean))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"seen.{last if isinstance(last, str) else 'jpg'}"
            if last == "tif":
                Image.fromarray(clean).save(file, compression="jpeg", quality=first)
            elif last == "png":
                Image.fromarray(seen).save(file)
            else:
                Image.fromarray(seen).save(file, quality=last)
            before = psnr(truth, _pixels(file))
            gains = [
                psnr(truth, _restored(file, system, level)) - before
                for system in systems
                for level in ("auto", first)
            ]
        rows.append([before, *gains])
    before, *gains = np.mean(rows, axis=0)
    pairs = zip(gains[::2], gains[1::2], strict=True)
    shown = " | ".join(f"{found:+.2f} / {told:+.2f}" for found, told in pairs)
    click.echo(f"| q {first}, then {last} | {before:.2f} | {shown} |")


def _pixels(file: Path) -> NDArray[Any]:
    with memnet_core.open_image(file) as image:
        _, height, width, _ = image.shape
        return image.read(0, slice(0, height), slice(0, width))


def _restored(
    file: Path, system: str | None, level: float | Literal["auto"]
) -> NDArray[Any]:
    restored = memnet_core.restore(
        file, "deblock", level, model=system, device="cpu", nearest=True
    )
    return restored.pixels


def _print_fog(
    pictures: list[Picture], quality: int, systems: Sequence[str | None]
) -> None:
    shares = []
    for clean in pictures:
        white = (clean == 255).all(axis=-1)
        ink = Image.fromarray(255 * (~white).astype(np.uint8))
        near = np.asarray(ink.filter(ImageFilter.MaxFilter(2 * _NEAR + 1))) > 0
        seen = white & near
        results = compressed_and_restored(clean, quality, "4:2:0", systems)
        shares.append([(r[seen].min(axis=-1) >= _WHITE).mean() for r in results])
    shown = " | ".join(f"{share:.1%}" for share in np.mean(shares, axis=0))
    click.echo(f"| white beside colored text, q {quality} | {shown} |")


def _print_luminance(system: str) -> None:
    entry = find_model(system)
    model, card = load_model(entry.path)
    engine = Engine(model, device="cpu")
    found = evaluate(engine, card, BENCH / "classic5", (10, 20, 40))
    shown = " | ".join(f"{each}" for each in found)
    click.echo(f"| classic5, {system} | {shown} |")


def compressed_and_restored(
    clean: Picture, quality: int, sampling: str, systems: Sequence[str | None]
) -> list[NDArray[Any]]:
    """Return a picture's JPEG, and what each model makes of the file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "compressed.jpg"
        Image.fromarray(clean).save(file, quality=quality, subsampling=sampling)
        with Image.open(file) as image:
            results = [np.asarray(image)]
        for system in systems:
            results.append(_restored(file, system, "auto").reshape(clean.shape))
    return results


if __name__ == "__main__":
    main()
