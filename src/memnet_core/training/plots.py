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
    """Draw what a run learns against its minutes.

    Four panels: losses, gain in PSNR, gain of each intermediate prediction, and the
    size of the weights of each layer.

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

    figure = Figure((11, 8), layout="constrained")
    (losses, gains), (predictions, weights) = figure.subplots(2, 2)
    for quantity, label in (
        ("loss/training mean", "training"),
        ("loss/evaluation", "evaluation"),
    ):
        points = [(minutes, v) for _, minutes, name, v in rows if name == quantity]
        losses.plot(*zip(*points, strict=True), "o-", label=label)
    # The logarithm of an error is negative already.
    is_log = any(v <= 0 for _, _, name, v in rows if name.startswith("loss/"))
    losses.set(xlabel="minutes", ylabel="loss", yscale="linear" if is_log else "log")
    for level, before in input_psnr.items():
        points = [(m, v - before) for _, m, name, v in rows if name == f"PSNR/{level}"]
        gains.plot(*zip(*points, strict=True), "o-", label=level)
    gains.set(xlabel="minutes", ylabel="gain in PSNR on validation images (dB)")
    for axes, kind, label in (
        (predictions, "prediction/", "PSNR of the intermediate predictions (dB)"),
        (weights, "weights/", "root mean square of weights"),
    ):
        names = dict.fromkeys(name for _, _, name, _ in rows if name.startswith(kind))
        for quantity in names:
            points = [(minutes, v) for _, minutes, name, v in rows if name == quantity]
            name = quantity.removeprefix(kind)
            axes.plot(*zip(*points, strict=True), ".-", label=escape_mathtext(name))
        axes.set(xlabel="minutes", ylabel=label)
    for axes in (losses, gains, predictions, weights):
        if axes.lines:
            axes.legend(fontsize="small", ncols=2)
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
