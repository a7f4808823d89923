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
    "LoopEvent",
    "LossPoint",
    "ReadProgress",
    "draw",
    "is_better",
    "model_name",
    "result_figure",
]


@dataclass(frozen=True)
class ReadProgress:
    """Windows of the source that are read, out of the total."""

    done: int
    total: int


class LossPoint(NamedTuple):
    """Losses at a time of training, in units of the noise variance.

    `training` is the mean since the previous point, NaN for the first one.
    """

    minutes: float
    training: float
    held_out: float


@dataclass(frozen=True)
class HoldoutRetest:
    """A validation on the held-out frames after `step` steps.

    `is_best` says whether the held-out loss is the lowest so far.
    """

    step: int
    point: LossPoint
    is_best: bool


LoopEvent = TrainingProgress | StepDone | HoldoutRetest
Event = Notice | ReadProgress | LoopEvent

_MAX_NAME = 60


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
        Name of the adapted model.
    data : str
        Name of the data, for the model card.
    out : Path, optional
        Model file to write; by default in the folder of the user's models.
    overwrite : bool
        Whether to replace an existing file.
    despite_motion : bool
        Whether the held-out loss alone decides, even if frames move.
    command : str
        Command for the model card.
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
        """Return the path of the model file."""
        return self.out or user_folder() / f"{self.name}.safetensors"

    def check(self, frames: int) -> None:
        """Validate the options for series of so many frames, before any is read.

        Raises
        ------
        UsageError
            If options contradict each other or the data.
        ModelError
            If the model file exists and is not to be replaced.
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
            raise UsageError(
                "Give the length of the training: minutes or steps, above 0."
            )
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
    return f"{plain[:_MAX_NAME] or 'layer'}-adapted"


@dataclass(frozen=True)
class ExampleImages:
    """A held-out frame: noisy, and restored before and after adapting.

    Each has shape (h, w) or (h, w, 3) and is in network units.
    """

    noisy: NDArray[np.float32]
    before: NDArray[np.float32]
    after: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class AdaptResult:
    """Result of adapting a model.

    Attributes
    ----------
    loss_drop : LossDrop
        Held-out losses before and after.
    sure_drop : LossDrop, optional
        Stein's risk estimates before and after. Given where the loss may mislead and
        they do not: white noise on frames that move, or on single images.
    motion : Motion
        Motion between frames.
    base : str
        Name of the initial model.
    curve : tuple of LossPoint
        Losses during the training.
    examples : ExampleImages
        A frame before and after.
    path : Path, optional
        The model file; None if the adapted model is not better and none was written.
    """

    loss_drop: LossDrop
    sure_drop: LossDrop | None
    motion: Motion
    base: str
    curve: tuple[LossPoint, ...]
    examples: ExampleImages
    path: Path | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """Summary of the result, one sentence each."""
        summary = [
            f"Held-out loss {self.loss_drop} of the noise variance (noise alone makes "
            f"about 1), training loss {self.curve[-1].training:.4f}."
        ]
        if self.motion.is_significant:
            summary.append(
                f"The frames move, by {self.motion.amount:.2g} of the noise variance "
                "from one to the next: learning one from the other may blur what "
                "moves, and the held-out loss does not see that."
            )
        if self.sure_drop:
            summary.append(
                f"Error of single frames by Stein's estimate: {self.sure_drop} of the "
                "noise variance."
            )
        return (*summary, self.verdict)

    @property
    def verdict(self) -> str:
        """One sentence: the model was written, or why not."""
        if self.path is not None:
            return f"The model {self.path.stem} is adapted to this."
        stays = f"so {self.base} stays and nothing is written."
        if not self.loss_drop.is_significant:
            return f"The held-out loss does not fall beyond chance, {stays}"
        if self.sure_drop and self.sure_drop.after > self.sure_drop.before:
            cause = "motion" if self.motion.is_significant else "overfitting"
            return f"The model gets worse by {cause}, {stays}"
        if self.sure_drop:
            return f"The error of single frames does not fall beyond chance, {stays}"
        return (
            "Neighboring pixels share the noise of frames that move, so that blur "
            f"cannot be measured, {stays}"
        )


def is_better(
    loss_drop: LossDrop,
    sure_drop: LossDrop | None,
    motion: Motion,
    *,
    despite_motion: bool = False,
) -> bool:
    """Whether an adapted model is significantly better than the initial one.

    Parameters are as in `AdaptResult` and `AdaptOptions`.
    """
    if not loss_drop.is_significant:
        return False
    if sure_drop:
        return sure_drop.is_significant
    return despite_motion or not motion.is_significant


_DISPLAY_PERCENTILES = (0.5, 99.8)
"""Percentiles of the restored frame that map to black and white."""

_MAX_SHOWN = 256
"""Maximum rows and columns of a frame to draw."""


def draw(result: AdaptResult, path: Path) -> Path:
    """Draw the result of adapting to a PNG file, and return its path.

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    figure = result_figure(result, (12, 3.4), (1, 4))
    try:
        with replaced_when_complete(path) as temporary:
            figure.savefig(temporary, format="png", dpi=80)
    except OSError as error:
        raise ModelError(f"Cannot write {path}: {error.strerror}.") from error
    return path


def result_figure(
    result: AdaptResult, inches: tuple[float, float], grid: tuple[int, int]
) -> Figure:
    """Build the figure: three frames and the loss curves.

    Parameters
    ----------
    result : AdaptResult
        Result to draw.
    inches : (float, float)
        Width and height.
    grid : (int, int)
        Rows and columns of the four parts.
    """
    from matplotlib.figure import Figure

    figure = Figure(inches, layout="constrained")
    *frames, losses = figure.subplots(*grid).flat
    examples = result.examples
    low, high = np.percentile(examples.before, _DISPLAY_PERCENTILES)
    titles = ("held-out frame", "before", "after")
    images = (examples.noisy, examples.before, examples.after)
    for axes, title, image in zip(frames, titles, images, strict=True):
        mapped = ((image[:_MAX_SHOWN, :_MAX_SHOWN] - low) / (high - low)).clip(0, 1)
        axes.imshow(mapped, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    minutes, training, held_out = zip(*result.curve, strict=True)
    losses.plot(minutes, held_out, "o-", label="held out")
    losses.plot(minutes, training, "o-", label="training")
    losses.set_title("loss (noise alone: 1)", fontsize=9)
    losses.set_xlabel("minutes", fontsize=8)
    losses.tick_params(labelsize=8)
    losses.legend(fontsize=8)
    losses.grid(alpha=0.3)
    return figure
