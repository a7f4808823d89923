"""Adapt a model to a source: read frames, train, validate, write the model file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from memnet_core._util.devices import describe_hardware, select_device
from memnet_core.adaptation.clips import Clip, clips_at, planned
from memnet_core.adaptation.holdout import (
    LossDrop,
    losses_of,
    motion,
    restored,
    sure_loss,
    trial_of,
)
from memnet_core.adaptation.loop import learned, patch_side
from memnet_core.adaptation.result import (
    AdaptResult,
    ExampleImages,
    ReadProgress,
    is_better,
)
from memnet_core.errors import ModelError, TrainingError, UsageError
from memnet_core.inference.plan import plan_restore
from memnet_core.model.card import TrainingSummary
from memnet_core.model.checkpoint import load_model, save_model
from memnet_core.model.flat_field import remove_fixed_pattern
from memnet_core.progress import GeneratorWithResult, Notice
from memnet_core.tasks import CORRELATED, Levels, find_task

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.adaptation.holdout import HeldOutClip
    from memnet_core.adaptation.loop import LoopResult
    from memnet_core.adaptation.objectives import Objective
    from memnet_core.adaptation.result import AdaptOptions, Event
    from memnet_core.inference.plan import RestorePlan
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.model.card import Card
    from memnet_core.model.network import MemNet
    from memnet_core.sources.protocols import PixelSource

__all__ = ["run_adaptation"]


def run_adaptation(
    source: PixelSource,
    series: NDArray[np.int64],
    settings: RestoreOptions,
    request: AdaptOptions,
) -> Generator[Event, None, AdaptResult]:
    """Adapt a model to a source; closing the generator cancels without writing.

    Parameters
    ----------
    source : Source
        Noisy frames.
    series : ndarray of int, shape (series, frames)
        Numbers of planes that follow each other.
    settings : RestoreOptions
        How they will be restored: model, noise, grain, device.
    request : AdaptOptions
        How to adapt.

    Yields
    ------
    Reading, Notice, Progress, StepDone, Retested
        What is read, then what `memnet_core.adaptation.loop.learned` tells.

    Returns
    -------
    AdaptResult
        What became of it; a file is written if the held-out loss falls.

    Raises
    ------
    MemnetError
        If the source, the model or the file does not serve.
    """
    request.check(series.shape[1])
    device = select_device(settings.device)
    decision = plan_restore(source, replace(settings, nearest=True))
    _check_noise(decision, request.objective)
    entry = decision.entry()
    model, card = load_model(entry.path)
    yield Notice(
        f"Adapting {card.name} ({card.serves}) on {device}: "
        f"{', '.join(decision.remarks)}."
    )
    clips, held_out = yield from _read(source, series, decision, request, card)
    _check_size(clips, held_out, card)
    generator = torch.Generator().manual_seed(request.seed)
    trials = [trial_of(clip, generator) for clip in held_out]
    moves = motion(model.to(device), trials, device)
    single = all(len(clip.frames) == 1 for clip in held_out)
    is_white = not any(channel.is_shared for channel in decision.channels)
    is_misled = (moves.is_sure and not request.despite_motion) or single
    result = GeneratorWithResult(
        learned(
            model,
            clips,
            trials,
            objective=request.objective,
            device=device,
            minutes=request.minutes,
            steps=request.steps,
            seed=request.seed,
        )
    )
    yield from result
    learnt = result.result
    levels = _levels(card, [channel.level for channel in decision.channels])
    kind = CORRELATED if card.grain == "correlated" else find_task(card.task)
    mended = remove_fixed_pattern(learnt.model, kind, levels).to(device)
    fall = LossDrop.between(learnt.before, losses_of(mended, trials, device))
    errors = None
    if is_misled and is_white:
        errors = LossDrop.between(
            *(sure_loss(m, trials, device, request.seed) for m in (model, mended))
        )
    exhibit = _exhibit(model, mended, trials, device)
    path = None
    if is_better(fall, errors, moves, despite_motion=request.despite_motion):
        path = request.file()
        _write(path, mended, card, levels, request, learnt, device)
    return AdaptResult(
        fall=fall,
        stein=errors,
        motion=moves,
        base=card.name,
        curve=learnt.curve,
        exhibit=exhibit,
        path=path,
    )


def _read(
    source: PixelSource,
    series: NDArray[np.int64],
    decision: RestorePlan,
    request: AdaptOptions,
    card: Card,
) -> Generator[ReadProgress, None, tuple[list[Clip], list[Clip]]]:
    """Read training and held-out clips."""
    rng = np.random.default_rng(request.seed)
    plan = planned(series, *source.shape[1:3], rng)
    spots = [*plan.training, *plan.held_out]
    fewest = 2 if request.objective == "noise2noise" else 1
    parts: tuple[list[Clip], list[Clip]] = ([], [])
    for done, spot in enumerate(spots):
        found = clips_at(source, decision, card.architecture.image_channels, spot)
        part = parts[done >= len(plan.training)]
        part += [clip for clip in found if len(clip.frames) >= fewest]
        yield ReadProgress(done + 1, len(spots))
    return parts


def _check_noise(decision: RestorePlan, objective: Objective) -> None:
    """Raise if the noise is absent or unsuitable for the objective."""
    if any(channel.scaling is None for channel in decision.channels):
        raise UsageError("A range for each plane does not go with adapting.")
    if any(channel.level <= 0 for channel in decision.channels):
        raise TrainingError("There is no noise to be seen, so nothing to adapt to.")
    shared = any(channel.is_shared for channel in decision.channels)
    if objective != "noise2noise" and shared:
        raise UsageError(
            f"Neighboring pixels share the noise, which {objective} would take for "
            "structure; learn from frames with noise2noise."
        )


def _check_size(clips: Sequence[Clip], held_out: Sequence[Clip], card: Card) -> None:
    """Raise if there are no clips, or if images are too small."""
    if not (clips and held_out):
        raise TrainingError(
            "There are too few frames with something in them; give a longer stack."
        )
    smallest = min(min(clip.frames.shape[-2:]) for clip in held_out)
    unshuffle = card.architecture.unshuffle
    if not patch_side(clips, unshuffle) or smallest < 8:
        raise TrainingError(
            "The images are too small to learn from; give some of at least 48 × 48 "
            "pixels."
        )


def _levels(card: Card, found: list[float]) -> Levels:
    """Return the levels that the adapted model covers."""
    known = card.levels.values
    if all(card.levels.covers(level) for level in found):
        return card.levels
    return Levels.between(min(*known, *found), max(*known, *found))


def _exhibit(
    model: MemNet, adapted: MemNet, trials: Sequence[HeldOutClip], device: torch.device
) -> ExampleImages:
    """Restore the first frame of the clip with the most contrast, before and after."""
    clip = max((trial.clip for trial in trials), key=lambda c: float(c.frames.std()))
    frame = clip.frames[:1]
    shown = [frame] + [
        restored(network, frame, clip.level, device) for network in (model, adapted)
    ]
    return ExampleImages(
        *(np.moveaxis(each[0].numpy(), 0, -1).squeeze() for each in shown)
    )


def _write(
    path: Path,
    model: MemNet,
    card: Card,
    levels: Levels,
    request: AdaptOptions,
    run: LoopResult,
    device: torch.device,
) -> None:
    """Write the model file."""
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
        name=request.name,
        task=card.task,
        levels=levels,
        grain=card.grain,
        adapted_to=request.data,
        version="1",
        license=card.license,
        description=(
            f"{card.name} {card.version}, adapted to {request.data} by "
            f"{request.objective} in {minutes:.1f} minutes. {card.description}"
        ),
        training=TrainingSummary(
            data=request.data,
            steps=run.steps,
            megapixels=round(run.megapixels, 1),
            minutes=round(minutes, 1),
            hardware=describe_hardware(device),
            command=request.command,
            started_from=card.name,
        ),
    )
