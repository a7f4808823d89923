"""Adapt a model: read frames, train, validate, write the model file if it is better."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from memnet_core._util.atomic_write import remove_abandoned
from memnet_core._util.devices import describe_hardware, select_device
from memnet_core.adaptation.clips import Clip, read_clips, series_along, split_frames
from memnet_core.adaptation.holdout import (
    LossDrop,
    detect_motion,
    held_out_losses,
    pair_clip,
    restore_frames,
    sure_loss,
)
from memnet_core.adaptation.loop import fine_tune, patch_side
from memnet_core.adaptation.result import (
    AdaptOptions,
    AdaptResult,
    ExampleImages,
    ReadProgress,
    is_better,
    model_name,
)
from memnet_core.errors import ModelError, TrainingError, UsageError
from memnet_core.inference.api import opened
from memnet_core.inference.plan import plan_restore
from memnet_core.inference.settings import options_from
from memnet_core.model.card import TrainingSummary
from memnet_core.model.checkpoint import load_model, save_model
from memnet_core.model.flat_field import remove_fixed_pattern
from memnet_core.progress import GeneratorWithResult, Notice
from memnet_core.tasks import CORRELATED, Levels, find_task

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from memnet_core.adaptation.holdout import HeldOutClip, Motion
    from memnet_core.adaptation.loop import LoopResult
    from memnet_core.adaptation.objectives import Objective
    from memnet_core.adaptation.result import Event
    from memnet_core.inference.plan import RestorePlan
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.io import Image, ImageFile
    from memnet_core.model.card import Card
    from memnet_core.model.network import MemNet
    from memnet_core.sources.protocols import PixelSource

__all__ = ["adapt", "run_adaptation"]

_FRAME_AXES = "TZ"
"""Axes whose planes may be repeated exposures of a scene, the most likely first."""


def adapt(
    what: NDArray[Any] | Image | Path | str,
    axis: str | None = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    name: str | None = None,
    out: Path | str | None = None,
    axes: str = "",
    scene: int | str | None = None,
    on_event: Callable[[Event], object] | None = None,
    **settings: Any,
) -> AdaptResult:
    """Adapt a denoising model to the noisy frames of a stack, without clean images.

    Parameters
    ----------
    what : ndarray, Image, Path or str
        The frames; `axes` names the axes of an array.
    axis : str, optional
        ``T`` or ``Z``, along which frames repeat a scene; by default the first that
        exists.
    minutes, steps
        Length of the training; give one of the two. The default is one minute.
    name : str, optional
        Name of the model; by default that of the file, and ``-adapted``.
    out : Path or str, optional
        Model file to write; by default one in the folder of your models.
    axes, scene
        As for `memnet_core.restore`.
    on_event : callable, optional
        Called with every event.
    **settings
        Other fields of `memnet_core.adaptation.result.AdaptOptions`: ``objective``,
        ``overwrite``, ``despite_motion``, ``seed``; and those of
        `memnet_core.restore` that apply to denoising, such as ``model``, ``noise``
        and ``device``.

    Returns
    -------
    AdaptResult
        Losses before and after, and the model file, if one was written.

    Raises
    ------
    MemnetError
        If the frames, the model or the output file cannot be used.
    """
    names = settings.keys() & {field.name for field in fields(AdaptOptions)}
    own = {name: settings.pop(name) for name in names}
    file = Path(out) if out is not None else None
    with opened(what, axes, scene) as source:
        options = AdaptOptions(
            minutes=1.0 if minutes is None and steps is None else minutes,
            steps=steps,
            name=name or (file.stem if file else model_name(source.path.stem)),
            data=source.path.name,
            out=file,
            **own,
        )
        restoring = options_from("denoise", keywords=settings)
        series = _frames_along(source, axis)
        events = GeneratorWithResult(run_adaptation(source, series, restoring, options))
        for event in events:
            if on_event:
                on_event(event)
    return events.result


def _frames_along(source: ImageFile, axis: str | None) -> NDArray[np.int64]:
    """Return the plane numbers of consecutive frames, shape (series, frames).

    Raises
    ------
    UsageError
        If the source has no such axis.
    """
    if axis is None:
        axis = next((a for a in _FRAME_AXES if a in source.leading), None)
    if axis is not None and (axis not in _FRAME_AXES or axis not in source.leading):
        raise UsageError(
            f"{source.path} has the axes {source.axes}; frames follow each other along "
            f"T or Z, not along {axis}. If the axes of the file are wrong, name them."
        )
    index = None if axis is None else source.leading.index(axis)
    return series_along(source.sizes[: len(source.leading)], index)


def run_adaptation(
    source: PixelSource,
    series: NDArray[np.int64],
    settings: RestoreOptions,
    options: AdaptOptions,
) -> Generator[Event, None, AdaptResult]:
    """Adapt a model to a source, and write it if it is better; yield events.

    Closing the generator cancels without writing.

    Parameters
    ----------
    source : PixelSource
        Noisy frames.
    series : ndarray of int, shape (series, frames)
        Plane numbers of consecutive frames.
    settings : RestoreOptions
        Model, noise and device, as frames will be restored.
    options : AdaptOptions
        Objective, length and output file.

    Raises
    ------
    MemnetError
        If the source, the model or the output file cannot be used.
    """
    remove_abandoned(options.file().parent)  # which may put a model back to its place
    options.check(series.shape[1])
    device = select_device(settings.device)
    # The nearest model is a start, even if it does not cover the noise.
    plan = plan_restore(source, replace(settings, nearest=True, cyclic=False))
    _check_noise(plan, options.objective)
    model, card = load_model(plan.entry().path)
    yield Notice(
        f"Adapting {card.name} ({card.serves}) on {device}: {', '.join(plan.remarks)}."
    )
    clips, held_out = yield from _read(source, series, plan, options, card)
    _check_size(clips, held_out, card)
    generator = torch.Generator().manual_seed(options.seed)
    pairs = [pair_clip(clip, generator) for clip in held_out]
    moves = detect_motion(model.to(device), pairs, device)
    loop = GeneratorWithResult(fine_tune(model, clips, pairs, options, device))
    yield from loop
    run = loop.result
    levels = _covering(card.levels, [channel.level for channel in plan.channels])
    kind = CORRELATED if card.grain == "correlated" else find_task(card.task)
    # Compared as it will be written, without a pattern on flat areas.
    adapted = remove_fixed_pattern(run.model, kind, levels).to(device)
    loss_drop = LossDrop.between(run.before, held_out_losses(adapted, pairs, device))
    sure_drop = None
    if _needs_sure(plan, held_out, moves, options):
        sure_drop = LossDrop.between(
            *(sure_loss(m, pairs, device, options.seed) for m in (model, adapted))
        )
    path = None
    if is_better(loss_drop, sure_drop, moves, despite_motion=options.despite_motion):
        path = _write(adapted, card, levels, options, run, device)
    return AdaptResult(
        loss_drop=loss_drop,
        sure_drop=sure_drop,
        motion=moves,
        base=card.name,
        curve=run.curve,
        examples=_examples(model, adapted, pairs, device),
        path=path,
    )


def _read(
    source: PixelSource,
    series: NDArray[np.int64],
    plan: RestorePlan,
    options: AdaptOptions,
    card: Card,
) -> Generator[ReadProgress, None, tuple[list[Clip], list[Clip]]]:
    """Read training and held-out clips."""
    split = split_frames(
        series, *source.shape[1:3], np.random.default_rng(options.seed)
    )
    windows = [*split.training, *split.held_out]
    fewest = 2 if options.objective == "noise2noise" else 1
    parts: tuple[list[Clip], list[Clip]] = ([], [])
    for done, window in enumerate(windows):
        clips = read_clips(source, plan, card.architecture.image_channels, window)
        part = parts[done >= len(split.training)]
        part += [clip for clip in clips if len(clip.frames) >= fewest]
        yield ReadProgress(done + 1, len(windows))
    return parts


def _check_noise(plan: RestorePlan, objective: Objective) -> None:
    """Raise if the noise is absent or unsuitable for the objective."""
    if any(channel.scaling is None for channel in plan.channels):
        raise UsageError(
            "Adapting needs one range for all planes; a range for each plane does "
            "not serve."
        )
    if any(channel.level <= 0 for channel in plan.channels):
        raise TrainingError("No noise was found in the frames: nothing to adapt to.")
    if objective != "noise2noise" and any(
        channel.is_shared for channel in plan.channels
    ):
        raise UsageError(
            f"Neighboring pixels share the noise, which {objective} would take for "
            "structure; learn from frames with noise2noise."
        )


def _check_size(clips: Sequence[Clip], held_out: Sequence[Clip], card: Card) -> None:
    """Raise if there are no clips, or if images are too small."""
    if not (clips and held_out):
        raise TrainingError("Too few frames are not constant; give a longer stack.")
    smallest = min(min(clip.frames.shape[-2:]) for clip in held_out)
    if not patch_side(clips, card.architecture.unshuffle) or smallest < 8:
        raise TrainingError(
            "The frames are too small; give frames of at least 48 × 48 pixels."
        )


def _needs_sure(
    plan: RestorePlan, held_out: Sequence[Clip], moves: Motion, options: AdaptOptions
) -> bool:
    """Whether Stein's estimate has to decide, and can.

    Between frames that move, and within a single one, the held-out loss rewards blur.
    Stein's estimate does not, but holds for white noise only.
    """
    is_single = all(len(clip.frames) == 1 for clip in held_out)
    is_misled = is_single or (moves.is_significant and not options.despite_motion)
    return is_misled and not any(channel.is_shared for channel in plan.channels)


def _covering(levels: Levels, found: list[float]) -> Levels:
    """Extend the levels of a model to those found."""
    if all(levels.covers(level) for level in found):
        return levels
    return Levels.between(min(*levels.values, *found), max(*levels.values, *found))


def _examples(
    model: MemNet, adapted: MemNet, pairs: Sequence[HeldOutClip], device: torch.device
) -> ExampleImages:
    """Restore the first frame of the clip with the most contrast, before and after."""
    clip = max((pair.clip for pair in pairs), key=lambda c: float(c.frames.std()))
    frame = clip.frames[:1]
    images = [frame] + [
        restore_frames(network, frame, clip.level, device)
        for network in (model, adapted)
    ]
    return ExampleImages(
        *(np.moveaxis(image[0].numpy(), 0, -1).squeeze() for image in images)
    )


def _write(
    model: MemNet,
    card: Card,
    levels: Levels,
    options: AdaptOptions,
    run: LoopResult,
    device: torch.device,
) -> Path:
    """Write the model file, and return its path."""
    path = options.file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"Cannot make the folder {path.parent}: {error.strerror}."
        ) from error
    minutes = run.curve[-1].minutes
    save_model(
        path,
        model,
        name=options.name,
        task=card.task,
        levels=levels,
        grain=card.grain,
        adapted_to=options.data,
        version="1",
        license=card.license,
        description=(
            f"{card.name} {card.version}, adapted to {options.data} by "
            f"{options.objective} in {minutes:.1f} minutes. {card.description}"
        ),
        training=TrainingSummary(
            data=options.data,
            steps=run.steps,
            megapixels=round(run.megapixels, 1),
            minutes=round(minutes, 1),
            hardware=describe_hardware(device),
            command=options.command,
            started_from=card.name,
        ),
    )
    return path
