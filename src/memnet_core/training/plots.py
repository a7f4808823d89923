"""Pictures of a run: its curves, and validation patches before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._util.sanitize import escape_mathtext
from memnet_core.image_ops.metrics import psnr

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from memnet_core.training.events import Example, Row

__all__ = ["draw_curves", "draw_examples"]


def draw_curves(rows: list[Row], input_psnr: dict[str, float], path: Path) -> None:
    """Draw the losses and the gain in PSNR of a run against its minutes.

    Parameters
    ----------
    rows : list of Row
        Its log.
    input_psnr : dict of str to float
        PSNR of the degraded images in dB, by level.
    path : Path
        PNG file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure((11, 4), layout="constrained")
    losses, gains = figure.subplots(1, 2)
    for quantity, label in (
        ("loss/training mean", "training"),
        ("loss/evaluation", "evaluation"),
    ):
        points = [(minutes, v) for _, minutes, name, v in rows if name == quantity]
        losses.plot(*zip(*points, strict=True), "o-", label=label)
    losses.set(xlabel="minutes", ylabel="loss", yscale="log")
    for level, before in input_psnr.items():
        points = [(m, v - before) for _, m, name, v in rows if name == f"PSNR/{level}"]
        gains.plot(*zip(*points, strict=True), "o-", label=level)
    gains.set(xlabel="minutes", ylabel="gain in PSNR on validation images (dB)")
    for axes in (losses, gains):
        axes.legend()
        axes.grid(alpha=0.3)
    _save(figure, path)


def draw_examples(examples: tuple[Example, ...], path: Path) -> None:
    """Draw degraded, restored and clean patches side by side, a row for each."""
    from matplotlib.figure import Figure

    figure = Figure((9, 3.2 * len(examples)), layout="constrained")
    for row, example in zip(
        figure.subplots(len(examples), 3, squeeze=False), examples, strict=True
    ):
        planes = {
            f"{example.name}, {psnr(example.clean, example.degraded):.2f} dB": (
                example.degraded
            ),
            f"restored, {psnr(example.clean, example.restored):.2f} dB": (
                example.restored
            ),
            "clean": example.clean,
        }
        for axes, (title, plane) in zip(row, planes.items(), strict=True):
            shown = plane.clip(0, 255).round().astype("uint8")
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(escape_mathtext(title))
            axes.set_axis_off()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replaced_when_complete(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
