"""Options, events and result of adapting a model, and a figure of the result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.adaptation.objectives import OBJECTIVES
from memnet_core.errors import ModelError, UsageError
from memnet_core.model.registry import user_folder
from memnet_core.progress import Notice
from memnet_core.training.events import StepDone, TrainingProgress

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from memnet_core.adaptation.holdout import LossDrop, Motion
    from memnet_core.adaptation.objectives import Objective

__all__ = [
    "AdaptOptions",
    "AdaptResult",
    "Event",
    "ExampleImages",
    "HoldoutRetest",
    "Learning",
    "LossPoint",
    "ReadProgress",
    "draw",
    "drawn",
    "is_better",
    "model_name",
]


@dataclass(frozen=True)
class ReadProgress:
    """Progress of reading the source, in parts."""

    done: int
    total: int


class LossPoint(NamedTuple):
    """Losses at a time of training, in variances of the noise.

    `training` is the mean since the point before, NaN for the first one.
    """

    minutes: float
    training: float
    held_out: float


@dataclass(frozen=True)
class HoldoutRetest:
    """A validation on the held-out frames.

    Attributes
    ----------
    step : int
        Steps taken so far.
    point : LossPoint
        The losses.
    is_best : bool
        Whether the held-out loss was never lower.
    """

    step: int
    point: LossPoint
    is_best: bool


Learning = TrainingProgress | StepDone | HoldoutRetest
Event = Notice | ReadProgress | Learning

_LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """Options of adapting a model.

    Attributes
    ----------
    objective : str
        One of `memnet_core.adaptation.objectives.OBJECTIVES`.
    minutes, steps
        Length of the training, one of the two.
    seed : int
        Seed of all random choices.
    name : str
        Name of the model.
    data : str
        What it is adapted to, for its card.
    out : Path, optional
        File to write; by default one in the folder of the user's models.
    overwrite : bool
        Whether to replace what is there.
    despite_motion : bool
        Whether the held-out loss alone decides, also where frames move.
    command : str
        How to repeat it, for its card.
    """

    objective: Objective = "noise2noise"
    minutes: float | None = 1.0
    steps: int | None = None
    seed: int = 0
    name: str
    data: str
    out: Path | None = None
    overwrite: bool = False
    despite_motion: bool = False
    command: str = ""

    def file(self) -> Path:
        """Return the file of the model."""
        return self.out or user_folder() / f"{self.name}.safetensors"

    def check(self, frames: int) -> None:
        """Validate the options before anything is read.

        Parameters
        ----------
        frames : int
            How many frames follow each other.

        Raises
        ------
        UsageError
            If it cannot be done.
        ModelError
            If there is such a model already.
        """
        if str(self.objective) == "neighbor2neighbor":  # which 0.1 had
            raise UsageError(
                "The objective neighbor2neighbor is gone; give noise2void."
            )
        if self.objective not in OBJECTIVES:
            raise UsageError(
                f"There is no objective {self.objective!r}; give one of "
                f"{', '.join(OBJECTIVES)}."
            )
        lengths = [n for n in (self.minutes, self.steps) if n is not None]
        if len(lengths) != 1 or not 0 < lengths[0] < 1e6:
            raise UsageError("Give how long to learn: minutes or steps, above 0.")
        if self.objective == "noise2noise" and frames < 2:
            raise UsageError(
                "A single image has no other frame to learn from; give a stack and "
                "the axis of its frames, or the objective noise2void."
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", self.name):
            raise UsageError(
                f"{self.name!r} is no name of a model; begin with a letter or digit, "
                "and use only these, '.', '_' and '-'."
            )
        path = self.file()
        if path.suffix != ".safetensors":
            raise UsageError(f"{path} is no model file; name it .safetensors.")
        if path.exists() and not self.overwrite:
            raise ModelError(
                f"There is already a model {path}; give another name, or allow to "
                "overwrite it."
            )


def model_name(text: str) -> str:
    """Derive a valid model name from the name of the data."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return f"{plain[:_LONGEST_NAME] or 'layer'}-adapted"


@dataclass(frozen=True)
class ExampleImages:
    """A held-out frame: noisy, and restored before and after adapting.

    Each (h, w) or (h, w, 3), as the network sees values.
    """

    noisy: NDArray[np.float32]
    before: NDArray[np.float32]
    after: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class AdaptResult:
    """Result of adapting a model.

    Attributes
    ----------
    fall : Fall
        Held-out losses before and after.
    stein : Fall, optional
        Stein's estimates of the error, where the loss may mislead and they do not:
        white noise on frames that move, or on single images.
    motion : Motion
        Whether frames move.
    base : str
        Name of the model that was adapted.
    curve : tuple of LossPoint
        Losses while it learned.
    exhibit : ExampleImages
        A frame before and after.
    path : Path, optional
        The file that was written; None if the old model stays.
    """

    fall: LossDrop
    stein: LossDrop | None
    motion: Motion
    base: str
    curve: tuple[LossPoint, ...]
    exhibit: ExampleImages
    path: Path | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """Summary of the result, one sentence each."""
        told = [
            f"Held-out loss {self.fall} of the noise's variance (noise alone makes "
            f"about 1), training loss {self.curve[-1].training:.4f}."
        ]
        if self.motion.is_sure:
            told.append(
                f"The frames move, by {self.motion.amount:.2g} of the noise's variance "
                "from one to the next: learning one from the other may blur what "
                "moves, and the held-out loss does not see that."
            )
        if self.stein:
            told.append(
                f"Error of a frame by itself, as Stein estimates it: {self.stein} of "
                "the noise's variance."
            )
        return (*told, self.verdict)

    @property
    def verdict(self) -> str:
        """One sentence: the model was written, or why not."""
        stays = f"so {self.base} stays and nothing is written."
        if self.path is not None:
            return f"The model {self.path.stem} is adapted to this."
        if not self.fall.is_sure:
            return f"The held-out loss does not fall beyond chance, {stays}"
        if self.stein and self.stein.after > self.stein.before:
            cause = "motion" if self.motion.is_sure else "what it learned"
            return f"The model gets worse by {cause}, {stays}"
        if self.stein:
            return f"A frame's own error does not fall beyond chance, {stays}"
        return (
            "Neighboring pixels share the noise of frames that move, and nothing "
            f"tells whether the model blurs them, {stays}"
        )


def is_better(
    fall: LossDrop,
    stein: LossDrop | None,
    motion: Motion,
    *,
    despite_motion: bool = False,
) -> bool:
    """Whether an adapted model is significantly better than the old one.

    Parameters
    ----------
    fall, stein, motion
        As in `AdaptResult`.
    despite_motion : bool
        Whether motion does not matter.
    """
    if not fall.is_sure:
        return False
    if stein:
        return stein.is_sure
    return despite_motion or not motion.is_sure


_SHOWN = (0.5, 99.8)
"""Percentiles of the restored frame that map to black and white."""

_MOST = 256
"""Maximum rows and columns of a frame to draw."""


def draw(adapted: AdaptResult, path: Path) -> Path:
    """Draw the result of adapting to a PNG file, and return its path.

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
    """Build the figure: three frames and the loss curves.

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
