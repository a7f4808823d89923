"""Open layers as the images that training reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from memnet_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_memnet.layers.source import LayerPlanes

__all__ = ["megapixels", "write_layers", "write_pair"]

_HELD_OUT = 8
"""Of so many planes one is not learned from, but validated on."""


def megapixels(layers: Sequence[LayerPlanes]) -> float:
    """Return how many pixels layers have, in millions."""
    return sum(math.prod(planes.shape[:3]) for planes in layers) / 1e6


def write_layers(folder: Path, layers: Sequence[LayerPlanes]) -> Path:
    """Write layers as TIFFs into a folder, which is made, and return it."""
    for number, planes in enumerate(layers):
        _write(folder / f"{number:03}.tif", _pixels(planes))
    return folder


def write_pair(
    folder: Path, noisy: LayerPlanes, partner: LayerPlanes, *, both_noisy: bool
) -> list[tuple[Path, Path]]:
    """Write two layers as pairs of TIFFs, from which ``--pairs`` learns.

    Parameters
    ----------
    folder : Path
        Where; it is made.
    noisy, partner : LayerPlanes
        The noisy layer, and the clean one of the same, or one more noisy one.
    both_noisy : bool
        Whether each is learned from the other.

    Returns
    -------
    list of (Path, Path)
        Folders of degraded images and their partners; where there are planes enough,
        a second pair of folders to validate on.

    Raises
    ------
    UsageError
        If the layers differ in shape.
    """
    if noisy.shape != partner.shape:
        sizes = (" × ".join(map(str, each.region.shape)) for each in (noisy, partner))
        raise UsageError(
            f"The two layers have {' and '.join(sizes)} pixels; pairs are of one shape."
        )
    stacks = _pixels(noisy), _pixels(partner)
    orders = [stacks, stacks[::-1]] if both_noisy else [stacks]
    count = len(stacks[0])
    is_held = np.arange(count) % _HELD_OUT == _HELD_OUT - 1
    parts = {"learn": ~is_held, "validate": is_held}
    folders = []
    for name, chosen in parts.items():
        if not chosen.any():
            continue
        pair = folder / f"{name} from", folder / f"{name} to"
        for number, order in enumerate(orders):
            for place, stack in zip(pair, order, strict=True):
                _write(place / f"{number:03}.tif", stack[chosen])
        folders.append(pair)
    return folders


def _pixels(planes: LayerPlanes) -> NDArray[np.generic]:
    """Return all planes, of shape (N, H, W, S)."""
    whole = planes.region.slices[-2:]
    return np.stack([planes.read(n, *whole) for n in range(planes.shape[0])])


def _write(path: Path, pixels: NDArray[np.generic]) -> None:
    from memnet_core.batch.output_dirs import make_folder
    from memnet_core.io import Image, save_image

    make_folder(path.parent)
    save_image(path, Image(pixels, "ZYXS"))
