"""Comparing layers: figures against a reference; no Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memnet_core.errors import ImageError, UsageError
from memnet_core.metrics import psnr, ssim
from napari_memnet.layers import layer_planes

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_memnet.layers import Region

__all__ = ["Scores", "scores"]

_SMALLEST = 11


@dataclass(frozen=True)
class Scores:
    """PSNR in dB and SSIM of one plane, and the values that count as 0 and 255."""

    psnr: float
    ssim: float
    low: float
    high: float


def scores(reference: Image, plane: Region, layer: Image, other: Region) -> Scores:
    """Compare the plane of a layer with that of a reference.

    Parameters
    ----------
    reference : Image
        The clean image.
    plane : Region
        Its plane.
    layer : Image
        What is scored, such as one restored slice of a stack.
    other : Region
        Its plane, which lies at the same place.

    Raises
    ------
    ImageError, UsageError
        If the shapes differ, or the plane is too small for SSIM.
    """
    from memnet_core.restoration.sample import sampled_blocks, sampled_planes
    from memnet_core.restoration.scaling import scaling_of

    clean, scored = layer_planes(reference), layer_planes(layer)
    if clean.shape[1:] != scored.shape[1:]:
        raise UsageError(
            f"{layer.name!r} has planes of the shape {scored.shape[1:]}, the clean "
            f"image {reference.name!r} {clean.shape[1:]}; choose layers of one shape."
        )
    if min(clean.shape[1:3]) < _SMALLEST:
        raise ImageError(
            f"SSIM needs {_SMALLEST}×{_SMALLEST} px; {reference.name!r} is smaller."
        )
    channel = clean.channel(clean.numbers(plane)[0])
    sample = sampled_blocks(clean, sampled_planes(clean, channel))
    values = scaling_of(sample, clean.dtype, "auto")
    first, second = (
        255 * values.forward(planes.plane(region).astype(np.float64))
        for planes, region in ((clean, plane), (scored, other))
    )
    channels = range(first.shape[-1])
    similarity = np.mean([ssim(first[..., c], second[..., c]) for c in channels])
    return Scores(psnr(first, second), float(similarity), values.low, values.high)
