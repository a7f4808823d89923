"""Adapt a model to an array, an image or a file in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memnet_core.adaptation.clips import series_along
from memnet_core.adaptation.result import AdaptOptions, model_name
from memnet_core.adaptation.runner import run_adaptation
from memnet_core.errors import UsageError
from memnet_core.inference.api import opened
from memnet_core.inference.settings import RestoreOptions
from memnet_core.progress import GeneratorWithResult

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.adaptation.objectives import Objective
    from memnet_core.adaptation.result import AdaptResult, Event
    from memnet_core.io import Image, ImageFile

__all__ = ["adapt", "frames_of"]

_OF_FRAMES = "TZ"
"""Axes whose planes may be repeated exposures of a scene, the most likely first."""


def adapt(
    what: NDArray[Any] | Image | Path | str,
    axis: str | None = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    objective: Objective = "noise2noise",
    name: str | None = None,
    out: Path | str | None = None,
    overwrite: bool = False,
    despite_motion: bool = False,
    seed: int = 0,
    axes: str = "",
    scene: int | str | None = None,
    command: str = "",
    told: Callable[[Event], object] | None = None,
    **settings: Any,
) -> AdaptResult:
    """Adapt a denoising model to the noisy frames of a stack, without clean images.

    Parameters
    ----------
    what : ndarray, Image, Path or str
        The frames; the axes of an array are named by ``axes``.
    axis : str, optional
        ``T`` or ``Z``, along which frames repeat a scene; by default the first that
        exists.
    minutes, steps
        Length of the training; give one of the two. The default is one minute.
    objective : str
        ``noise2noise`` between frames, or ``noise2void`` for a single image, which
        gains little.
    name : str, optional
        Name of the model; by default that of the file, and ``-adapted``.
    out : Path or str, optional
        Model file to write; by default one in the folder of your models.
    overwrite : bool
        Whether to replace an existing model file.
    despite_motion : bool
        Whether the held-out loss alone decides, even if frames move.
    seed : int
        Seed of all random choices.
    axes, scene
        As for `memnet_core.restore`.
    command : str
        Command to record in the model card.
    told : callable, optional
        Called with every event.
    **settings
        Of the other fields of `memnet_core.inference.settings.RestoreOptions` those
        that go with denoising: ``model``, ``noise``, ``device``.

    Returns
    -------
    AdaptResult
        Losses before and after, and the model file, if one was written.

    Raises
    ------
    MemnetError
        If the frames, the model or the file does not serve.
    """
    file = Path(out) if out is not None else None
    asked = RestoreOptions(task="denoise", **settings)
    with opened(what, axes, scene) as source:
        request = AdaptOptions(
            objective=objective,
            minutes=1.0 if minutes is None and steps is None else minutes,
            steps=steps,
            seed=seed,
            name=name or (file.stem if file else model_name(source.path.stem)),
            data=source.path.name,
            out=file,
            overwrite=overwrite,
            despite_motion=despite_motion,
            command=command,
        )
        series = frames_of(source, axis)
        events = GeneratorWithResult(run_adaptation(source, series, asked, request))
        for event in events:
            if told:
                told(event)
    return events.result


def frames_of(source: ImageFile, axis: str | None) -> NDArray[np.int64]:
    """Return indices of consecutive planes, shape (series, frames).

    Raises
    ------
    UsageError
        If the source has no such axis.
    """
    if axis is None:
        axis = next((a for a in _OF_FRAMES if a in source.leading), None)
    if axis is not None and (axis not in _OF_FRAMES or axis not in source.leading):
        raise UsageError(
            f"{source.path} has the axes {source.axes}; frames follow each other along "
            f"T or Z, not along {axis}. If the file tells its axes wrongly, name them."
        )
    place = None if axis is None else source.leading.index(axis)
    return series_along(source.sizes[: len(source.leading)], place)
