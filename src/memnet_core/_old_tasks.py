"""What restoration means for an image: from pixels to network planes and back.

The network predicts planes in [0, 1]. What it changes is added to the pixels in their
own unit, so that a network that changes nothing gives back every pixel exactly, and
colours that share one luminance keep their chroma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from memnet_core.bicubic import imresize
from memnet_core.engine import EventsWithResult, Restorer, TileDone
from memnet_core.errors import ImageError, LevelError
from memnet_core.pixels import (
    add_luminance,
    check_finite,
    full_range_luminance,
    to_dtype,
    without_alpha,
)
from memnet_core.tasks.deblock import QualityEstimate, estimate_quality
from memnet_core.tasks.denoise import estimate_sigma
from memnet_core.values import (
    PlaneSource,
    RangeChoice,
    ValueRange,
    stack_range,
    value_range,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from memnet_core.io.image import Image

__all__ = [
    "Channels",
    "LevelFound",
    "PlaneSink",
    "TaskSettings",
    "find_level",
    "find_stack_level",
    "image_sigma",
    "jpeg_quality",
    "plane_sigma",
    "restore_image",
    "restore_stack",
    "restored_shape",
]

Channels = Literal["luminance", "all"]
Tables = tuple[tuple[int, ...], ...]

_WELL_FITTING = 0.02


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What to do with the values of an image.

    Attributes
    ----------
    task : str
        ``deblock``, ``denoise`` or ``sr``.
    level : float, optional
        JPEG quality, noise deviation in grey levels of 255, or scale; None to find
        it out for each image.
    channels : str, optional
        ``luminance`` restores luminance and carries chroma; ``all`` restores every
        channel. The default is ``all`` for denoising, ``luminance`` for the others.
    value_range : str or (float, float)
        How values map to [0, 1]; see `memnet_core.values.value_range`.
    """

    task: str
    level: float | None = None
    channels: Channels | None = None
    value_range: RangeChoice = "dtype"

    @property
    def luminance_only(self) -> bool:
        """Whether chroma is carried."""
        default = "all" if self.task == "denoise" else "luminance"
        return (self.channels or default) == "luminance"

    @property
    def scale(self) -> int:
        """How many times higher and wider the result is."""
        return int(self.level or 1) if self.task == "sr" else 1


@dataclass(frozen=True)
class LevelFound:
    """The degradation level of an image, and how it was found."""

    level: float
    remark: str = ""


def find_level(image: Image, settings: TaskSettings) -> LevelFound:
    """Return the level that was given, or estimate that of an image.

    Raises
    ------
    LevelError
        If it cannot be found out.
    """

    def sigma() -> float:
        return image_sigma(image, settings.value_range)

    return _level(settings, sigma, image.metadata.jpeg_tables)


def find_stack_level(
    sample: PlaneSource, settings: TaskSettings, tables: Tables = ()
) -> LevelFound:
    """Return the level that was given, or estimate that of a stack.

    Parameters
    ----------
    sample : PlaneSource
        The stack, or planes that stand for it; noise is that of the middle one.
    settings : TaskSettings
        As for `restore_stack`.
    tables : tuple of tuple of int
        Quantisation tables of a JPEG, luminance first.

    Raises
    ------
    LevelError
        If it cannot be found out.
    """

    def sigma() -> float:
        values = stack_range(sample, settings.value_range)
        return plane_sigma(sample[sample.shape[0] // 2], values)

    return _level(settings, sigma, tables)


def _level(
    settings: TaskSettings, sigma: Callable[[], float], tables: Tables
) -> LevelFound:
    if settings.level is not None:
        return LevelFound(settings.level)
    if settings.task == "denoise":
        found = sigma()
        return LevelFound(round(found, 1), f"σ estimated as {found:.1f}")
    if settings.task == "deblock":
        if not tables:
            raise LevelError(
                "There are no JPEG quantisation tables to read q from; give the "
                "quality with --q."
            )
        estimate = estimate_quality(tables[0])
        remark = f"q {estimate.quality} by its quantisation table"
        if estimate.misfit > _WELL_FITTING:
            remark += f" (nearest: steps differ by {estimate.misfit:.0%})"
        return LevelFound(estimate.quality, remark)
    raise LevelError("The scale of super-resolution has to be given, with --scale.")


def jpeg_quality(image: Image) -> QualityEstimate | None:
    """Return the quality of the last JPEG compression, where the file tells."""
    tables = image.metadata.jpeg_tables
    return estimate_quality(tables[0]) if tables else None


def image_sigma(image: Image, choice: RangeChoice) -> float:
    """Return the estimated noise of the middle plane, in grey levels of 255."""
    stack = image.stack
    values = value_range(without_alpha(stack), choice)
    return plane_sigma(stack[len(stack) // 2], values)


def plane_sigma(pixels: NDArray[Any], values: ValueRange) -> float:
    """Return the estimated noise of (H, W, S) samples, in grey levels of 255."""
    colours = without_alpha(pixels).astype(np.float64)
    planes = values.normalized(np.moveaxis(colours, -1, 0))
    return float(np.mean([estimate_sigma(plane) for plane in planes]))


class PlaneSink(Protocol):
    """Where restored planes go, one by one; every array of shape (N, H, W, S) is."""

    def __setitem__(self, index: int, pixels: NDArray[Any], /) -> None: ...


def restored_shape(
    shape: tuple[int, ...], settings: TaskSettings
) -> tuple[int, int, int, int]:
    """Return the shape that a stack of shape (N, H, W, S) is restored to."""
    count, height, width, samples = shape
    return count, height * settings.scale, width * settings.scale, samples


def restore_stack(
    stack: PlaneSource,
    result: PlaneSink,
    restorer: Restorer,
    settings: TaskSettings,
    values: ValueRange | None,
) -> Generator[TileDone, None, None]:
    """Restore planes one by one, each read when its turn comes; closing cancels.

    Parameters
    ----------
    stack : PlaneSource
        Planes of bool, integer or float samples.
    result : PlaneSink
        Takes the planes, as soon as each is restored, in the dtype of the stack; it
        has to be of `restored_shape`.
    restorer : Restorer
        The engine with a model for the task.
    settings : TaskSettings
        For super-resolution `level` is the scale.
    values : ValueRange, optional
        What becomes 0 and 1; None for the percentiles of each plane.

    Yields
    ------
    TileDone
        After every tile, counted over all planes. The total changes where planes that
        are not in memory turn out to be gray pictures in colour.

    Raises
    ------
    ImageError
        If the planes are no image, or values are not finite.
    """
    if 0 in stack.shape or stack.dtype.kind not in "buif":
        raise ImageError(
            f"Pixels of type {stack.dtype} and shape {stack.shape} cannot be restored."
        )
    expected = _expected_planes(stack, settings)
    done = 0
    for index in range(stack.shape[0]):
        pixels = stack[index]
        check_finite(pixels)
        to_come = sum(expected[index + 1 :])
        count = _planes_to_restore(pixels, settings)
        limits = values or value_range(without_alpha(pixels), "percentile")
        events = EventsWithResult(
            _restore_plane(pixels, restorer, limits, settings.scale, count)
        )
        for event in events:
            done += 1
            later = event.total * to_come // count
            yield TileDone(done, done + event.total - event.done + later)
        result[index] = events.result


def restore_image(
    image: Image, restorer: Restorer, settings: TaskSettings
) -> Generator[TileDone, None, Image]:
    """Restore every plane of an image; closing the generator cancels.

    Parameters
    ----------
    image : Image
        Pixels of any bool, integer or float dtype.
    restorer : Restorer
        The engine with a model for the task.
    settings : TaskSettings
        For super-resolution `level` is the scale.

    Yields
    ------
    TileDone
        After every tile, counted over all planes.

    Returns
    -------
    Image
        Pixels of the same dtype, axes and metadata; `level` times the height and
        width for super-resolution.

    Raises
    ------
    ImageError
        If values are not finite or leave their range.
    """
    stack = image.stack
    result = np.empty(restored_shape(stack.shape, settings), stack.dtype)
    values = None
    if settings.value_range != "plane":
        values = value_range(without_alpha(stack), settings.value_range)
    yield from restore_stack(stack, result, restorer, settings, values)
    return image.with_stack(result, settings.scale)


def _expected_planes(stack: PlaneSource, settings: TaskSettings) -> list[int]:
    """Return how many planes of each the network will see, without reading any."""
    if isinstance(stack, np.ndarray):
        return [_planes_to_restore(pixels, settings) for pixels in stack]
    samples = stack.shape[-1]
    colour = samples >= 3 and not settings.luminance_only
    return [3 if colour else 1] * stack.shape[0]


def _planes_to_restore(pixels: NDArray[Any], settings: TaskSettings) -> int:
    """Return how many planes of (H, W, S) samples the network has to see."""
    colours = without_alpha(pixels)
    if colours.shape[-1] == 1 or settings.luminance_only:
        return 1
    is_gray = bool(np.all(colours[..., :1] == colours[..., 1:]))
    return 1 if is_gray else colours.shape[-1]


def _restore_plane(
    pixels: NDArray[Any],
    restorer: Restorer,
    values: ValueRange,
    scale: int,
    count: int,
) -> Generator[TileDone, None, NDArray[Any]]:
    """Restore (H, W, S) samples; alpha is carried, resized for super-resolution.

    One plane is the luminance, which is every channel of a gray picture.
    """
    base = pixels.astype(np.float64)
    if scale > 1:
        height, width = base.shape[:2]
        base = imresize(base, (height * scale, width * scale))
    colours = without_alpha(base)
    if count == 1 and colours.shape[-1] == 3:
        planes = full_range_luminance(colours)[None]
    else:
        planes = np.moveaxis(colours, -1, 0)
    normalized = values.normalized(planes)
    restored = yield from restorer.restore(normalized)
    change = (restored.astype(np.float64) - normalized) * values.span
    if count == 1:
        colours[...] = add_luminance(colours, change[0])
    else:
        colours += np.moveaxis(change, 0, -1)
    return to_dtype(base, pixels.dtype)
