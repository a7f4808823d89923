"""Networks of other people, with the weights in ../shared/peers.

How they compute is in memnet_core.training.distillation, which teaches by them. DATA.md
of ../shared describes them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from memnet_core.training.distillation import chain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SHARED", "arcnn", "multiply_adds", "read_weights"]

SHARED = Path(__file__).parents[2] / "shared"

_PADDING = 12
"""Pixels that are repeated around what AR-CNN sees, so that its borders are good."""

_POOLED = ("smfa.dw_conv", "smfa.linear_1")
"""Convolutions of SMFANet+ that see one value of 8×8 pixels."""


@cache
def read_weights(name: str) -> dict[str, Tensor]:
    """Return the weights of a file of ../shared/peers, without its suffix."""
    with np.load(SHARED / "peers" / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def arcnn(weights: dict[str, Tensor], planes: Tensor) -> Tensor:
    """Return what AR-CNN restores of planes (N, 1, H, W) in [0, 1]."""
    side = _PADDING
    restored = chain(weights, F.pad(planes, (side,) * 4, mode="replicate"))
    return restored[..., side:-side, side:-side]


def multiply_adds(weights: dict[str, Tensor], pixels: float = 1) -> float:
    """Return the multiply-adds of convolutions for one pixel of the result.

    Parameters
    ----------
    weights : dict of str to Tensor
        Of a network.
    pixels : float
        Pixels of the result for each that the convolutions see.
    """
    return (
        sum(
            weight.numel() / (64 if any(part in name for part in _POOLED) else 1)
            for name, weight in weights.items()
            if name.endswith("weight") or name.startswith("w")
        )
        / pixels
    )
