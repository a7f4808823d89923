"""Loss of the paper's eq. 12, its error functions, and running means of losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from memnet_core.training import distributed

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from memnet_core.model.network import Prediction

__all__ = [
    "RunningMean",
    "charbonnier",
    "half_mse",
    "half_sse",
    "log_squared_error",
    "memnet_loss",
]


def half_sse(y: Tensor, clean: Tensor) -> Tensor:
    """Return ½‖x̃ − y‖², summed over the pixels and averaged over the patches."""
    return 0.5 * (y - clean).square().sum() / len(y)


def half_mse(y: Tensor, clean: Tensor) -> Tensor:
    """Return ½(x̃ − y)², averaged over the pixels."""
    return 0.5 * (y - clean).square().mean()


def charbonnier(y: Tensor, clean: Tensor) -> Tensor:
    """Return √((x̃ − y)² + ε), averaged over the pixels.

    It converges faster than squares at first, and ends slightly worse in PSNR.
    """
    return ((y - clean).square() + 1e-6).sqrt().mean()


def log_squared_error(y: Tensor, clean: Tensor, floor: float = 1e-6) -> Tensor:
    """Return ln(MSE + floor) of each patch, averaged over the patches.

    The gradient depends on the relative error of a patch, so weak noise counts as much
    as strong noise, and the loss is linear in PSNR. A floor of 1e-6 is the square of a
    quarter of a gray level on a scale of [0, 1].
    """
    return ((y - clean).square().flatten(1).mean(1) + floor).log().mean()


def memnet_loss(
    prediction: Prediction,
    clean: Tensor,
    error: Callable[[Tensor, Tensor], Tensor],
    alpha: float | None = None,
) -> Tensor:
    """Return α·error(y) + (1 − α)/M·Σ error(y_m), eq. 12; without y_m, error(y).

    Parameters
    ----------
    prediction : Prediction
        Output and intermediate predictions, of shape (N, C, H, W).
    clean : Tensor
        Clean planes of the same shape.
    error : callable
        Error of a prediction, such as `half_mse`.
    alpha : float, optional
        Weight of the output; 1/(M + 1) by default.
    """
    if not prediction.intermediate:
        return error(prediction.output, clean)
    blocks = len(prediction.intermediate)
    weight = 1 / (blocks + 1) if alpha is None else alpha
    supervised = torch.stack([error(y, clean) for y in prediction.intermediate]).sum()
    return weight * error(prediction.output, clean) + (1 - weight) / blocks * supervised


@dataclass
class RunningMean:
    """Mean loss over steps; patches and pixels are those of all processes."""

    steps: int = 0
    loss_sum: float = 0.0
    patches: int = 0
    pixels: int = 0
    seconds: float = 0.0

    def add(self, loss: float, clean: Tensor, seconds: float) -> None:
        """Add a step on clean patches of shape (N, C, H, W)."""
        self.steps += 1
        self.loss_sum += loss
        self.patches += len(clean) * distributed.world()
        self.pixels += clean[:, 0].numel() * distributed.world()
        self.seconds += seconds

    @property
    def loss(self) -> float:
        """Mean loss, or NaN before the first step."""
        return self.loss_sum / self.steps if self.steps else math.nan
