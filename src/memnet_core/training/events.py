"""Events that a training run yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memnet_core.progress import Notice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.model.card import CurvePoint
    from memnet_core.model.network import MemNet

__all__ = [
    "Event",
    "Example",
    "Finished",
    "Row",
    "StepDone",
    "TrainingProgress",
    "Validated",
]


@dataclass(frozen=True)
class StepDone:
    """A step is complete; the run can be closed here without loss."""

    step: int


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a run, with means since the last report.

    `fraction` is the completed part of the schedule. `loss` is always measured by the
    error function that the run starts with, even if phases change it.
    """

    step: int
    minutes: float
    minutes_left: float
    fraction: float
    loss: float
    learning_rate: float
    patches_per_second: float
    pixels_per_second: float


@dataclass(frozen=True)
class Example:
    """A validation patch: planes of shape (H, W) or (H, W, 3) in [0, 255]."""

    name: str
    degraded: NDArray[Any]
    restored: NDArray[Any]
    clean: NDArray[Any]


@dataclass(frozen=True)
class Validated:
    """Validation of the averaged network, in evaluation mode.

    Attributes
    ----------
    step : int
        Steps taken so far.
    minutes, megapixels : float
        Time and training pixels so far.
    training_loss : float
        Mean training loss since the last validation.
    evaluation_loss : float
        The same loss in evaluation mode, on patches of the validation images.
    input_psnr, psnr : dict of str to float
        Mean PSNR in dB of degraded and restored images, by level.
    examples : tuple of Example
        Patches to show.
    model : MemNet
        The averaged network.
    is_best : bool
        Whether its mean PSNR is the highest so far.
    curve : tuple of CurvePoint
        All validations of the run so far.
    watch : dict of str to float
        Early signs of a failing run: ``weights/LAYER``, root mean square of the
        weights; ``memory/m``, mean of |B_m|; ``prediction/m``, PSNR of y_m in dB at
        the middle level. A dead block has the PSNR of the block before it.
    """

    step: int
    minutes: float
    megapixels: float
    training_loss: float
    evaluation_loss: float
    input_psnr: dict[str, float]
    psnr: dict[str, float]
    examples: tuple[Example, ...]
    model: MemNet
    is_best: bool
    curve: tuple[CurvePoint, ...]
    watch: dict[str, float]


@dataclass(frozen=True)
class Finished:
    """The schedule is over."""

    step: int
    minutes: float
    megapixels: float


Event = Notice | StepDone | TrainingProgress | Validated | Finished

Row = tuple[int, float, str, float]
"""Row of a log: step, minutes, quantity, value."""
