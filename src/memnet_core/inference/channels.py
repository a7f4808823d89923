"""Which planes of a colour image the network sees, and how its changes return."""

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
    "ColourMode",
    "add_chroma",
    "colour_mode",
    "from_planes",
    "select_input",
    "to_planes",
]

ColourMode = Literal["single", "luminance", "chroma", "each", "joint"]
"""One sample, or what becomes of three; ``single`` also serves gray pictures in colour,
whose every sample changes by the same. ``chroma`` restores luminance, and the chroma of
a JPEG at its own, lower resolution."""


def colour_mode(
    samples: int,
    channels: Channels | None,
    default: Channels,
    image_channels: int,
) -> ColourMode:
    """Return how pixels of 1 or 3 colour samples are restored.

    Parameters
    ----------
    samples : int
        Colour samples of a pixel, without alpha.
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
            "The model restores gray planes, not colours together; choose the channels "
            "'each' or 'luminance', or a model for colour."
        )
    return channels or ("joint" if image_channels == 3 else default)


def select_input(
    pixels: NDArray[Any], mode: ColourMode, image_channels: int
) -> NDArray[np.float64]:
    """Return the values of pixels of which the network sees something.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, S)
        Of any dtype, also with alpha.
    mode, image_channels
        As for `to_planes`.
    """
    colours = without_alpha(pixels).astype(np.float64)
    if mode == "single":
        colours = colours[..., :1]
    return to_planes(colours, mode, image_channels)


def to_planes(
    colours: NDArray[np.float64], mode: ColourMode, image_channels: int
) -> NDArray[np.float64]:
    """Return what the network sees of colours.

    Parameters
    ----------
    colours : ndarray, shape (h, w, 1 or 3)
        Values on any scale.
    mode : str
        How they are restored.
    image_channels : int
        Planes that the model restores together; one plane is shown to a model for
        colour as a gray picture.

    Returns
    -------
    ndarray, shape (P, image_channels, h, w)
        P images, on the same scale.
    """
    planes: NDArray[np.float64]
    if mode == "joint":
        planes = np.moveaxis(colours, -1, 0)
        return planes[None]
    if mode in ("luminance", "chroma"):
        planes = full_range_luminance(colours)[None]
    elif mode == "single":
        planes = colours[None, ..., 0]
    else:
        planes = np.moveaxis(colours, -1, 0)
    return np.repeat(planes[:, None], image_channels, axis=1)


def from_planes(
    colours: NDArray[np.float64], change: NDArray[Any], mode: ColourMode
) -> NDArray[np.float64]:
    """Return colours with the changes of the planes that were restored.

    Parameters
    ----------
    colours : ndarray, shape (h, w, 1 or 3)
        The colours that `to_planes` was given.
    change : ndarray, shape (P, image_channels, h, w)
        What is to be added to its planes; of ``chroma`` to luminance only.
    mode : str
        How they were restored.
    """
    planes = change[0] if mode == "joint" else change.mean(1)
    if mode in ("joint", "each"):
        changed: NDArray[np.float64] = colours + np.moveaxis(planes, 0, -1)
        return changed
    return add_luminance(colours, planes[0])


def add_chroma(
    colours: NDArray[np.float64], change: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return colours of another chroma and the same luminance.

    Parameters
    ----------
    colours : ndarray, shape (h, w, 3)
        Values on any scale.
    change : ndarray, shape (h, w, 2)
        What is to be added to the blue and the red difference.
    """
    changed = colours.copy()
    for n in range(2):
        changed += change[..., n, None] * FROM_YCC[n + 1]
    return changed
