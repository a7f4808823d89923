"""A small network that reads the noise of a plane where it is.

Seven convolutions at half, a quarter and an eighth of the size say for every 8×8 px how
strong the noise is there. It restores nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memnet_core.noise import CELL, RADIUS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NONE", "NoiseNetwork", "noise_map"]

NONE = 0.1
"""Gray levels that are added to a deviation before its logarithm is taken, so that no
noise has one, too; a third of what rounding to 8 bits does to a value."""

_GRAYS = 255.0
_HALF, _QUARTER = 32, 64
_STRIP = 64
"""Cells in a strip of `noise_map`."""


class NoiseNetwork(nn.Module):
    """Reads the local standard deviation of noise, as it stands in the pixels.

    Planes are unshuffled by 2. Beside the four values of a block the network is given
    its three differences (Haar's) on a scale that is linear up to a gray level and
    logarithmic beyond, on which noise of 0.3 and of 75 gray levels differ by an order
    of magnitude, not by two. Two convolutions at half size are followed by two at a
    quarter and three at an eighth; ReLU, no BatchNorm, 3×3 all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(7, _HALF, 3, padding=1),
                nn.Conv2d(_HALF, _HALF, 3, padding=1),
                nn.Conv2d(_HALF, _QUARTER, 3, stride=2, padding=1),
                nn.Conv2d(_QUARTER, _QUARTER, 3, padding=1),
                nn.Conv2d(_QUARTER, _QUARTER, 3, stride=2, padding=1),
                nn.Conv2d(_QUARTER, _QUARTER, 3, padding=1),
                nn.Conv2d(_QUARTER, 1, 3, padding=1),
            ]
        )
        for name, parameter in self.layers.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        # What is read first is close to σ 1 everywhere, whatever is shown.
        with torch.no_grad():
            self.layers.get_parameter("6.weight").mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return log(σ + `NONE`) of cells, σ in gray levels of 255.

        Parameters
        ----------
        x : Tensor, shape (N, 1, H, W)
            Planes in about [0, 1]; H and W are multiples of `CELL`. Beyond the borders
            every layer sees zeros.

        Returns
        -------
        Tensor, shape (N, 1, H / 8, W / 8)
        """
        h = _features(x)
        *inner, last = self.layers
        for layer in inner:
            h = F.relu(layer(h), inplace=True)
        read: Tensor = last(h)
        return read


def _features(x: Tensor) -> Tensor:
    """Return 2×2 px and their compressed differences, shape (N, 7, H / 2, W / 2)."""
    blocks = F.pixel_unshuffle(x, 2)
    a, b, c, d = blocks.unbind(1)
    details = torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], 1)
    return torch.cat([blocks, torch.asinh(details * (_GRAYS / 2)) / 4], 1)


def noise_map(network: NoiseNetwork, plane: NDArray[Any]) -> NDArray[np.float32]:
    """Return the local standard deviation of the noise of a plane.

    Parameters
    ----------
    network : NoiseNetwork
        What reads it.
    plane : ndarray, shape (H, W)
        Values in about [0, 1]; the last cells are completed by reflection. Strips of
        it are read one after another.

    Returns
    -------
    ndarray of float32, shape (ceil(H / 8), ceil(W / 8))
        In gray levels of 255, one for each `CELL` × `CELL` px; 0 where there is none.
    """
    missing = [(0, -side % CELL) for side in plane.shape]
    whole = np.pad(np.asarray(plane, np.float32), missing, mode="symmetric")
    device = next(network.parameters()).device
    halo = RADIUS // CELL
    strips = []
    for first in range(0, len(whole) // CELL, _STRIP):
        start = max(first - halo, 0)
        rows = whole[CELL * start : CELL * (first + _STRIP + halo)]
        with torch.inference_mode():
            read = network(torch.from_numpy(rows.copy())[None, None].to(device))
        strips.append(read[0, 0, first - start :][:_STRIP].cpu().numpy())
    sigma: NDArray[np.float32] = np.maximum(np.exp(np.concatenate(strips)) - NONE, 0)
    return sigma
