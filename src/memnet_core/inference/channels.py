"""Which planes of a color image the network sees, and how its changes return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from memnet_core.errors import UsageError
from memnet_core.image_ops.color import (
    add_luminance,
    full_range_luminance,
    without_alpha,
)
from memnet_core.jpeg.dct_bounds import FROM_YCC

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.inference.settings import Channels

__all__ = [
    "IMAGES",
    "ColorMode",
    "add_chroma",
    "color_mode",
    "from_planes",
    "select_input",
    "to_planes",
]

ColorMode = Literal["single", "luminance", "chroma", "each", "joint"]
"""One sample, or what becomes of three; ``single`` also serves gray pictures in color,
whose every sample changes by the same. ``chroma`` restores luminance, and the chroma of
a JPEG at its own, lower resolution."""


IMAGES: dict[ColorMode, int] = {"each": 3, "chroma": 2}
"""Images that the network sees of a plane, if more than one.

Both planes of chroma are half of one, or less.
"""


def color_mode(
    samples: int,
    channels: Channels | None,
    default: Channels,
    image_channels: int,
) -> ColorMode:
    """Return how pixels of 1 or 3 color samples are restored.

    Parameters
    ----------
    samples : int
        Color samples of a pixel, without alpha.
    channels : str, optional
        What the user chose.
    default : str
        What the task prefers with a model for gray planes.
    image_channels : int
        Planes that the model restores together.

    Raises
    ------
    UsageError
        If all channels are to be restored together by a model for gray planes.
    """
    if samples == 1:
        return "single"
    if channels == "joint" and image_channels == 1:
        raise UsageError(
            "The model restores gray planes, not colors together; choose the channels "
            "'each' or 'luminance', or a model for color."
        )
    return channels or ("joint" if image_channels == 3 else default)


def select_input(
    pixels: NDArray[Any], mode: ColorMode, image_channels: int
) -> NDArray[np.float64]:
    """Return the values of pixels of which the network sees something.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, S)
        Of any dtype, also with alpha.
    mode, image_channels
        As for `to_planes`.
    """
    colors = without_alpha(pixels).astype(np.float64)
    if mode == "single":
        colors = colors[..., :1]
    return to_planes(colors, mode, image_channels)


def to_planes(
    colors: NDArray[np.float64], mode: ColorMode, image_channels: int
) -> NDArray[np.float64]:
    """Return what the network sees of colors.

    Parameters
    ----------
    colors : ndarray, shape (h, w, 1 or 3)
        Values on any scale.
    mode : str
        How they are restored.
    image_channels : int
        Planes that the model restores together; one plane is shown to a model for
        color as a gray picture.

    Returns
    -------
    ndarray, shape (P, image_channels, h, w)
        P images, on the same scale.
    """
    planes: NDArray[np.float64]
    if mode == "joint":
        planes = np.moveaxis(colors, -1, 0)
        return planes[None]
    if mode in ("luminance", "chroma"):
        planes = full_range_luminance(colors)[None]
    elif mode == "single":
        planes = colors[None, ..., 0]
    else:
        planes = np.moveaxis(colors, -1, 0)
    return np.repeat(planes[:, None], image_channels, axis=1)


def from_planes(
    colors: NDArray[np.float64], change: NDArray[Any], mode: ColorMode
) -> NDArray[np.float64]:
    """Return colors with the changes of the planes that were restored.

    Parameters
    ----------
    colors : ndarray, shape (h, w, 1 or 3)
        The colors that `to_planes` was given.
    change : ndarray, shape (P, image_channels, h, w)
        What is to be added to its planes; of ``chroma`` to luminance only.
    mode : str
        How they were restored.
    """
    planes = change[0] if mode == "joint" else change.mean(1)
    if mode in ("joint", "each"):
        changed: NDArray[np.float64] = colors + np.moveaxis(planes, 0, -1)
        return changed
    return add_luminance(colors, planes[0])


def add_chroma(
    colors: NDArray[np.float64], change: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return colors of another chroma and the same luminance.

    Parameters
    ----------
    colors : ndarray, shape (h, w, 3)
        Values on any scale.
    change : ndarray, shape (h, w, 2)
        What is to be added to the blue and the red difference.
    """
    changed = colors.copy()
    for n in range(2):
        changed += change[..., n, None] * FROM_YCC[n + 1]
    return changed
