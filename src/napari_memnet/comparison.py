"""Comparing layers: figures against a reference, and split views; no Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError, UsageError
from memnet_core.metrics import psnr, ssim
from napari_memnet.layers import layer_planes, twin_attributes

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_memnet.layers import Region

__all__ = ["Scores", "right_part", "scores"]

_SMALLEST = 11


@dataclass(frozen=True)
class Scores:
    """PSNR in dB and SSIM of one plane, and the values that count as 0 and 255."""

    psnr: float
    ssim: float
    low: float
    high: float


def scores(reference: Image, layer: Image, region: Region) -> Scores:
    """Compare the plane of a layer with that of a reference.

    Parameters
    ----------
    reference, layer : Image
        Layers of one shape.
    region : Region
        The plane.

    Raises
    ------
    ImageError, UsageError
        If the shapes differ, or the plane is too small for SSIM.
    """
    from memnet_core.restoration.sample import sampled_blocks, sampled_planes
    from memnet_core.restoration.scaling import scaling_of

    clean, other = layer_planes(reference), layer_planes(layer)
    if clean.shape != other.shape:
        raise UsageError(
            f"{layer.name!r} has the shape {other.shape[:3]}, the reference "
            f"{reference.name!r} {clean.shape[:3]}; choose layers of one shape."
        )
    if min(clean.shape[1:3]) < _SMALLEST:
        raise ImageError(
            f"SSIM needs {_SMALLEST}×{_SMALLEST} px; {reference.name!r} is smaller."
        )
    channel = clean.channel(clean.numbers(region)[0])
    sample = sampled_blocks(clean, sampled_planes(clean, channel))
    values = scaling_of(sample, clean.dtype, "auto")
    first, second = (
        255 * values.forward(planes.plane(region).astype(np.float64))
        for planes in (clean, other)
    )
    channels = range(first.shape[-1])
    similarity = np.mean([ssim(first[..., c], second[..., c]) for c in channels])
    return Scores(psnr(first, second), float(similarity), values.low, values.high)


def right_part(layer: Image, fraction: float) -> tuple[Any, dict[str, Any], str]:
    """Return what of a layer lies right of a line, as layer data in its place.

    Parameters
    ----------
    layer : Image
        The layer; nothing is copied or computed.
    fraction : float
        Where the line is, in [0, 1) of the width.
    """
    planes = layer_planes(layer)
    axis = len(planes.region.slices) - 1
    column = min(int(fraction * planes.shape[2]), planes.shape[2] - 1)
    start = [0] * axis + [column]
    cut = (slice(None),) * axis + (slice(column, None),)
    attributes = twin_attributes(layer, f"{layer.name}, right part", start)
    return planes.data[cut], attributes, "image"
