"""The same plane of two files: a source and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.io.core.image_file import ImageFile

__all__ = ["less", "paired_planes"]


def paired_planes(
    before: ImageFile, after: ImageFile, plane: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a plane of an image, and the same one of another image, (H, W, S).

    Parameters
    ----------
    before, after : ImageFile
        Axes of the second may be in another order, and its colours an axis C.
    plane : int
        Number of the plane in the first.

    Raises
    ------
    ImageError
        If they do not have the same axes, or cannot be read.
    """
    if _sizes(before, before) != _sizes(after, before):
        first, second = (
            f"{'×'.join(map(str, file.sizes))} ({file.axes})"
            for file in (before, after)
        )
        raise ImageError(
            f"{after.path} is {second} and cannot be compared with {before.path}, "
            f"which is {first}.",
            path=after.path,
        )
    counts = before.sizes[: len(before.leading)]
    numbers = (int(i) for i in np.unravel_index(plane, counts))
    place = dict(zip(before.leading, numbers, strict=True))
    return _plane(before, place), _plane(after, place)


def less(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float32]:
    """Return what was taken from pixels; nothing from those that are not finite."""
    with np.errstate(invalid="ignore"):
        removed = before.astype(np.float64) - after.astype(np.float64)
    return np.where(np.isfinite(removed), removed, 0).astype(np.float32)


def _plane(file: ImageFile, place: dict[str, int]) -> NDArray[Any]:
    """Return the pixels at a place along some axes, (H, W, S)."""
    chosen = [place.get(axis) for axis in file.leading]
    leading = tuple(slice(None) if i is None else slice(i, i + 1) for i in chosen)
    _, height, width, _ = file.shape
    block = file.read_block(leading, slice(0, height), slice(0, width))
    # Of the axes that are not chosen, one may hold colours, the others one thing.
    planes = block.reshape(-1, *block.shape[-3:])
    return np.moveaxis(planes, 0, -1)[..., 0, :] if len(planes) > 1 else planes[0]


def _sizes(file: ImageFile, like: ImageFile) -> dict[str, int]:
    """Return the sizes above 1 by axis; colours are called as in another image."""
    sizes = {a: n for a, n in zip(file.axes, file.sizes, strict=True) if n > 1}
    if "S" in like.axes and "S" not in sizes and "C" not in like.axes:
        return {"S" if axis == "C" else axis: size for axis, size in sizes.items()}
    return sizes
