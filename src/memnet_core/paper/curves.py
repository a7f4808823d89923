"""How the networks of a table learned, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._util.sanitize import plotted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from memnet_core.training.logs import Row

__all__ = ["draw_curves", "mean_psnr"]

_QUANTITY = "PSNR/"


def mean_psnr(log: list[Row]) -> dict[int, float]:
    """Return the PSNR of the validations in a log, the mean over levels, by step."""
    found: dict[int, list[float]] = {}
    for step, _, quantity, value in log:
        if quantity.startswith(_QUANTITY):
            found.setdefault(step, []).append(value)
    return {step: sum(values) / len(values) for step, values in found.items()}


def draw_curves(logs: Mapping[str, list[Row]], path: Path) -> None:
    """Draw the PSNR of validations against steps, a line for each network.

    Parameters
    ----------
    logs : mapping of str to list of Row
        The log of each network's run.
    path : Path
        PNG file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure((7, 4.5), layout="constrained")
    axes = figure.subplots()
    for title, log in logs.items():
        curve = mean_psnr(log)
        axes.plot([*curve], [*curve.values()], "o-", label=plotted(title))
    axes.set(xlabel="steps", ylabel="mean PSNR on training images (dB)")
    axes.legend()
    axes.grid(alpha=0.3)
    with replaced_when_complete(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
