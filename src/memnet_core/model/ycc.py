"""Convert planes between RGB and the YCbCr of JPEG, as tensors."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from memnet_core.jpeg.dct_bounds import TO_YCC

__all__ = ["rgb_planes", "ycc_planes"]


def ycc_planes(rgb: Tensor) -> Tensor:
    """Convert RGB to YCbCr as JFIF defines it, without rounding.

    Parameters
    ----------
    rgb : Tensor, shape (N, 3, H, W)
        Colors in [0, 1].

    Returns
    -------
    Tensor, shape (N, 3, H, W)
        Y, Cb and Cr in [0, 1]; neutral chroma is ½.
    """
    to_ycc, _, middle = _matrices(rgb.device, rgb.dtype)
    return torch.einsum("pc,nchw->nphw", to_ycc, rgb) + middle


def rgb_planes(ycc: Tensor) -> Tensor:
    """Invert `ycc_planes`."""
    _, from_ycc, middle = _matrices(ycc.device, ycc.dtype)
    return torch.einsum("cp,nphw->nchw", from_ycc, ycc - middle)


@cache
def _matrices(
    device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrix, its inverse, and what is added to each plane."""
    to_ycc = torch.from_numpy(TO_YCC)
    middle = torch.tensor([0.0, 0.5, 0.5])[:, None, None]
    return tuple(  # type: ignore[return-value]
        part.to(device, dtype) for part in (to_ycc, torch.linalg.inv(to_ycc), middle)
    )
