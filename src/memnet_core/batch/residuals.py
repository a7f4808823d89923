"""What was removed: sources less their results, written beside these."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError
from memnet_core.io import create_scenes, open_image, open_scenes
from memnet_core.io.core.image_file import ImageFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.batch.jobs import Job

__all__ = ["difference", "paired_planes", "residual_path", "write_residual"]


def paired_planes(
    before: ImageFile, after: ImageFile, plane: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a plane of an image, and the same one of another image, (H, W, S).

    Parameters
    ----------
    before, after : ImageFile
        Axes of the second may be in another order, and its colors an axis C.
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


def difference(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float32]:
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
    # Of the axes that are not chosen, one may hold colors, the others one thing.
    planes = block.reshape(-1, *block.shape[-3:])
    return np.moveaxis(planes, 0, -1)[..., 0, :] if len(planes) > 1 else planes[0]


def _sizes(file: ImageFile, like: ImageFile) -> dict[str, int]:
    """Return the sizes above 1 by axis; colors are called as in another image."""
    sizes = {a: n for a, n in zip(file.axes, file.sizes, strict=True) if n > 1}
    if "S" in like.axes and "S" not in sizes and "C" not in like.axes:
        return {"S" if axis == "C" else axis: size for axis, size in sizes.items()}
    return sizes


def residual_path(output: Path) -> Path:
    """Return where the residual of a result goes: beside it, as TIFF."""
    stem = output.stem if output.suffix.lower() in (".tif", ".tiff") else output.name
    return output.with_name(f"{stem}.residual.tif")


def write_residual(job: Job) -> Path:
    """Write what was taken from the source of a job, in its values, as float32.

    What is written already and younger than the result stays.

    Parameters
    ----------
    job : Job
        Its result is complete.

    Returns
    -------
    Path
        The residual.

    Raises
    ------
    ImageError
        If source or result cannot be read, do not have the same pixels, or the
        residual cannot be written.
    """
    path = residual_path(job.output)
    if path.exists() and os.path.getmtime(path) >= os.path.getmtime(job.output):
        return path
    with ExitStack() as opened:
        pairs = list(_pairs(job, opened))
        likes = [_like(before) for before, _ in pairs]
        sinks = opened.enter_context(create_scenes(path, likes))
        for (before, after), sink in zip(pairs, sinks, strict=True):
            _, height, width, _ = before.shape
            for plane in range(before.shape[0]):
                removed = difference(*paired_planes(before, after, plane))
                sink.write(plane, slice(0, height), slice(0, width), removed)
    return path


def _like(before: ImageFile) -> ImageFile:
    """Return an image of zeros with axes and calibration of another one."""
    known = before.metadata
    kept = replace(
        known,
        native=None,
        stated=known.calibration,
        tags=None,
        png_chunks=(),
        dropped=(),
        provenance="",
    )
    zeros = np.broadcast_to(np.float32(0), before.sizes)
    return ImageFile(
        before.path, zeros, before.axes, format=before.format, metadata=kept
    )


def _pairs(job: Job, opened: ExitStack) -> Iterator[tuple[ImageFile, ImageFile]]:
    """Open all images of a source, and of its result."""
    if job.scene is not None or job.by_shards:
        before = open_image(job.source, job.axes, scene=job.scene)
        yield opened.enter_context(before), opened.enter_context(open_image(job.output))
        return
    sources = opened.enter_context(open_scenes(job.source))
    results = opened.enter_context(open_scenes(job.output))
    if len(sources) != len(results):
        raise ImageError(
            f"{job.output} holds {len(results)} images, {job.source} "
            f"{len(sources)}; there is no residual.",
            path=job.output,
        )
    for number in range(len(sources)):
        yield (
            opened.enter_context(sources.open(number, job.axes)),
            opened.enter_context(results.open(number, "")),
        )
