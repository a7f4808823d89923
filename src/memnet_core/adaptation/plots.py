"""A picture of a frame before and after adapting, and of how the losses fell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from memnet_core.adaptation.result import AdaptResult

__all__ = ["draw", "drawn"]

_SHOWN = (0.5, 99.8)
"""Percentiles of the restored frame that are black and white."""

_MOST = 256
"""Rows and columns of a frame that are drawn."""


def draw(adapted: AdaptResult, path: Path) -> Path:
    """Draw what became of adapting, and return the file.

    Parameters
    ----------
    adapted : AdaptResult
        What became of it.
    path : Path
        PNG file to write.

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    figure = drawn(adapted, (12, 3.4), (1, 4))
    try:
        with replaced_when_complete(path) as temporary:
            figure.savefig(temporary, format="png", dpi=80)
    except OSError as error:
        raise ModelError(f"Cannot write {path}: {error.strerror}.") from error
    return path


def drawn(
    adapted: AdaptResult, inches: tuple[float, float], grid: tuple[int, int]
) -> Figure:
    """Return three frames and the losses.

    Parameters
    ----------
    adapted : AdaptResult
        What became of adapting.
    inches : (float, float)
        Width and height.
    grid : (int, int)
        Rows and columns of the four parts.
    """
    from matplotlib.figure import Figure

    figure = Figure(inches, layout="constrained")
    *frames, losses = figure.subplots(*grid).flat
    low, high = np.percentile(adapted.exhibit.before, _SHOWN)
    named = {
        "held-out frame": adapted.exhibit.noisy,
        "before": adapted.exhibit.before,
        "after": adapted.exhibit.after,
    }
    for axes, (title, frame) in zip(frames, named.items(), strict=True):
        mapped = ((frame[:_MOST, :_MOST] - low) / (high - low)).clip(0, 1)
        axes.imshow(mapped, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    minutes, training, held_out = zip(*adapted.curve, strict=True)
    losses.plot(minutes, held_out, "o-", label="held out")
    losses.plot(minutes, training, "o-", label="training")
    losses.set_title("loss (noise alone: 1)", fontsize=9)
    losses.set_xlabel("minutes", fontsize=8)
    losses.tick_params(labelsize=8)
    losses.legend(fontsize=8)
    losses.grid(alpha=0.3)
    return figure
