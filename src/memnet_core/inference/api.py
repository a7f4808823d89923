"""The front door: one call for an array, an image or a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np

from memnet_core.errors import NothingToDo, UsageError
from memnet_core.inference.engine import prepare
from memnet_core.inference.provenance import provenance
from memnet_core.inference.runner import restore as run
from memnet_core.inference.settings import RestoreKeywords, options_from
from memnet_core.io import Image, ImageFile, in_memory, open_image
from memnet_core.progress import Progress
from memnet_core.sources.protocols import ArraySink
from memnet_core.tasks import AUTO

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["opened", "restore"]


@overload
def restore(
    what: NDArray[Any],
    task: str = ...,
    level: float | Literal["auto"] = ...,
    *,
    axes: str = ...,
    progress: Callable[[float], object] | None = ...,
    **settings: Unpack[RestoreKeywords],
) -> NDArray[Any]: ...


@overload
def restore(
    what: Image | Path | str,
    task: str = ...,
    level: float | Literal["auto"] = ...,
    *,
    axes: str = ...,
    scene: int | str | None = ...,
    progress: Callable[[float], object] | None = ...,
    **settings: Unpack[RestoreKeywords],
) -> Image: ...


def restore(
    what: NDArray[Any] | Image | Path | str,
    task: str = "denoise",
    level: float | Literal["auto"] = "auto",
    *,
    axes: str = "",
    scene: int | str | None = None,
    progress: Callable[[float], object] | None = None,
    **settings: Any,
) -> NDArray[Any] | Image:
    """Restore an array, an image or a file.

    Parameters
    ----------
    what : ndarray, Image, Path or str
        Pixels of any bool, integer or float dtype. The axes of an array are ``axes``,
        or else ``YX``; ``YXS`` where a third and last one has 3 or 4 color samples;
        or planes behind each other.
    task : str
        ``denoise``, ``deblock``, ``sr``, or ``auto`` for what the image needs: blocks
        of a JPEG are removed, then noise. One that needs nothing comes back as it is.
    level : float or ``auto``
        Noise deviation in gray levels of 255, JPEG quality, or scale; ``auto`` finds
        it out, which super-resolution cannot. Super-resolution removes blocks and
        noise first, unless ``clean=False``.
    axes : str
        Letters out of TZCYXS, one for each axis.
    scene : int or str, optional
        Which image of a file that holds several: its number from 0, or its name.
    progress : callable, optional
        Is called with the fraction that is done, in [0, 1].
    **settings
        The other fields of `memnet_core.inference.settings.RestoreOptions`. As at the
        command, the level may also be given as ``sigma``, ``q`` or ``scale``, and
        ``value_range`` as ``range``.

    Returns
    -------
    ndarray or Image
        An array for an array. Dtype, axes and metadata are kept; super-resolution makes
        Y and X larger.

    Raises
    ------
    UsageError
        If a setting or its value is not valid; the message lists what is.
    MemnetError
        If it cannot be read or restored, or no model serves.
    """
    asked = options_from(task, level, settings)
    with opened(what, axes, scene) as source:
        try:
            prepared = prepare(source, asked)
        except NothingToDo:
            if asked.task != AUTO:
                raise
            same = source.image()
            return same if isinstance(what, Image | Path | str) else same.pixels.copy()
        result = np.empty(prepared.result_shape(source.shape), source.dtype)
        for event in run(source, ArraySink(result), prepared):
            if progress and isinstance(event, Progress):
                progress(event.fraction)
        told = provenance(prepared.decision, asked, axes)
        source.metadata = replace(source.metadata, provenance=str(told))
        restored = source.image().with_stack(result, prepared.scale)
    return restored if isinstance(what, Image | Path | str) else restored.pixels


def opened(
    what: NDArray[Any] | Image | Path | str,
    axes: str = "",
    scene: int | str | None = None,
) -> ImageFile:
    """Return what is to be read, with its axes; use it in a ``with`` statement.

    Parameters
    ----------
    what, axes, scene
        As for `restore`.

    Raises
    ------
    MemnetError
        If it cannot be read, or is no image.
    """
    if isinstance(what, str | Path):
        return open_image(Path(what), axes, scene=scene)
    if isinstance(what, Image):
        return in_memory(Path("the image"), what, axes)
    array = np.asarray(what)
    return in_memory(Path("the array"), Image(array, axes or _axes_of(array)))


def _axes_of(array: NDArray[Any]) -> str:
    """Return the axes that an array of so many most probably has."""
    if array.ndim < 2:
        raise UsageError(
            f"An array of shape {array.shape} has no rows and columns to restore."
        )
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        return "YXS"
    if array.ndim > 5:
        raise UsageError(
            f"Name the {array.ndim} axes of the array, such as axes='TZCYX'."
        )
    return "TZC"[5 - array.ndim :] + "YX"
