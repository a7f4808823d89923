"""What a run adds up between two reports, or two validations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memnet_core.training import distributed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RunningMean"]


@dataclass
class RunningMean:
    """Sums over steps; patches and pixels are those of all processes."""

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
