"""PSNR and SSIM of layers against a reference; no Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memnet_core.errors import ImageError, UsageError
from memnet_core.image_ops.metrics import psnr, ssim
from napari_memnet.layers.difference import shared_windows
from napari_memnet.layers.result_store import LARGEST_PLANE
from napari_memnet.layers.source import layer_planes
from napari_memnet.layers.view import current_index

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari.layers import Image
    from napari.viewer import Viewer

    from memnet_core.inference.scaling import LinearScaling
    from napari_memnet.layers.source import LayerSource

    _Window = tuple[LayerSource, int, tuple[slice, slice]]

__all__ = ["Scores", "Stack", "plane_at", "scores", "scores_along", "stack_of"]

_SMALLEST = 11


@dataclass(frozen=True)
class Scores:
    """PSNR in dB and SSIM of one plane, and the values that count as 0 and 255.

    Width and height are those of what was compared, in pixels.
    """

    psnr: float
    ssim: float
    low: float
    high: float
    width: int
    height: int


def scores(
    reference: Image, plane: int, layers: Sequence[tuple[Image, int | None]]
) -> tuple[Scores | None, ...]:
    """Score planes of layers against a reference, where all of them overlap.

    Parameters
    ----------
    reference : Image
        The clean image.
    plane : int
        Its plane.
    layers : sequence of (Image, int or None)
        What is scored, such as one restored slice of a stack, and its plane, which
        lies at the same place; None if it has none there.

    Raises
    ------
    ImageError, UsageError
        If the shapes differ, or what they share is too small for SSIM.
    """
    clean = layer_planes(reference)
    windows = _windows(reference, [layer for layer, _ in layers])
    values = _values(clean, clean.channel(plane))
    whole = clean, plane, windows[0]
    return tuple(
        None
        if number is None
        else _scored(values, whole, (layer_planes(layer), number, window))
        for (layer, number), window in zip(layers, windows[1:], strict=True)
    )


def plane_at(viewer: Viewer, layer: Image, world: Sequence[float]) -> int | None:
    """Return the plane of a layer at a point of the world, if it has one there."""
    point = np.array(viewer.dims.point, np.float64)[-layer.ndim :]
    shared = min(len(point), len(world))
    point[-shared:] = world[-shared:]
    at = np.rint(np.asarray(layer.world_to_data(point)))[:-2].astype(int)
    sizes = layer_planes(layer).region.shape[:-2]
    if any(not 0 <= i < size for i, size in zip(at, sizes, strict=True)):
        return None
    return int(np.ravel_multi_index(tuple(at), sizes)) if sizes else 0


@dataclass(frozen=True)
class Stack:
    """Slices of a clean image, and those of other layers at their places.

    Attributes
    ----------
    clean : LayerSource
        The clean image.
    axis : int
        The axis along which slices lie.
    places : tuple of int
        Number of the plane of the clean image for each slice.
    others : tuple of (LayerSource, tuple of int or None)
        Of each layer that is scored the planes; None where it has none.
    windows : tuple of (slice, slice)
        What all of them show: of the clean image, then of each layer.
    """

    clean: LayerSource
    axis: int
    places: tuple[int, ...]
    others: tuple[tuple[LayerSource, tuple[int | None, ...]], ...]
    windows: tuple[tuple[slice, slice], ...]


def stack_of(viewer: Viewer, reference: Image, layers: Sequence[Image]) -> Stack:
    """Return the slices along the longest axis, where the other sliders are.

    Parameters
    ----------
    viewer : Viewer
        Its sliders.
    reference : Image
        The clean image.
    layers : sequence of Image
        What is scored.

    Raises
    ------
    ImageError, UsageError
        As `scores`; also if there is but one slice.
    """
    clean = layer_planes(reference)
    sizes = clean.region.shape[:-2]
    if max(sizes, default=1) < 2:
        raise UsageError(f"{reference.name!r} has no slices besides the one shown.")
    axis = sizes.index(max(sizes))
    shown = current_index(viewer, reference)
    points = []
    for position in range(sizes[axis]):
        index = (*shown[:axis], position, *shown[axis + 1 :])
        points.append((index[:-2], reference.data_to_world(index)))
    windows = _windows(reference, layers)
    others = tuple(
        (
            layer_planes(layer),
            tuple(plane_at(viewer, layer, world) for _, world in points),
        )
        for layer in layers
    )
    numbers = tuple(int(np.ravel_multi_index(at, sizes)) for at, _ in points)
    return Stack(clean, axis, numbers, others, tuple(windows))


def scores_along(
    stack: Stack,
) -> Generator[tuple[int, tuple[Scores | None, ...]], None, None]:
    """Score one slice after the other.

    Yields
    ------
    int, tuple of (Scores or None)
        The slice, and what each layer scores there.
    """
    known: dict[int, LinearScaling] = {}
    for position, number in enumerate(stack.places):
        channel = stack.clean.channel(number)
        if channel not in known:
            known[channel] = _values(stack.clean, channel)
        whole = stack.clean, number, stack.windows[0]
        yield (
            position,
            tuple(
                None
                if (other := places[position]) is None
                else _scored(known[channel], whole, (planes, other, window))
                for (planes, places), window in zip(
                    stack.others, stack.windows[1:], strict=True
                )
            ),
        )


def _windows(reference: Image, layers: Sequence[Image]) -> list[tuple[slice, slice]]:
    """Return the overlap of all layers, if it can be scored."""
    windows = shared_windows(reference, layers)
    rows, columns = windows[0]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if min(height, width) < _SMALLEST:
        raise ImageError(
            f"SSIM needs {_SMALLEST}×{_SMALLEST} px; {width}×{height} px of "
            f"{reference.name!r} are compared."
        )
    if height * width > LARGEST_PLANE:
        raise UsageError(
            f"The planes of {reference.name!r} are too large to be scored; restore "
            "what is seen, which is scored where it lies."
        )
    return windows


def _values(clean: LayerSource, channel: int) -> LinearScaling:
    """Return the intensity range that is scaled to 0-255."""
    from memnet_core.inference.scaling import scaling_of
    from memnet_core.sources.sampling import sampled_blocks, sampled_planes

    sample = sampled_blocks(clean, sampled_planes(clean, channel))
    return scaling_of(sample, clean.dtype, "auto")


def _scored(values: LinearScaling, clean: _Window, scored: _Window) -> Scores:
    """Compute PSNR and SSIM of a window against the clean one."""
    first, second = (
        255 * values.forward(planes.read(number, *window).astype(np.float64))
        for planes, number, window in (clean, scored)
    )
    channels = range(first.shape[-1])
    similarity = np.mean([ssim(first[..., c], second[..., c]) for c in channels])
    height, width = first.shape[:2]
    return Scores(
        psnr(first, second), float(similarity), values.low, values.high, width, height
    )
