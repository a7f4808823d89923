"""Training loop on noisy frames, as a generator of events; keeps the best network."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from memnet_core.adaptation.clips import append_level
from memnet_core.adaptation.holdout import held_out_losses
from memnet_core.adaptation.objectives import TrainingPair, noise2noise, noise2void
from memnet_core.adaptation.result import HoldoutRetest, LossPoint
from memnet_core.training.events import StepDone, TrainingProgress
from memnet_core.training.losses import RunningMean, memnet_loss
from memnet_core.training.optim import (
    backpropagate,
    clip_gradients,
    learning_rate,
    make_optimizer,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from memnet_core.adaptation.clips import Clip
    from memnet_core.adaptation.holdout import HeldOutClip, Losses
    from memnet_core.adaptation.result import AdaptOptions, LoopEvent
    from memnet_core.model.network import MemNet

__all__ = ["LoopResult", "fine_tune", "patch_side"]

_PATCH = 64
_BATCH = 4

_VALIDATIONS = 6
_VALIDATION_SHARE = 0.2
"""Maximum share of the time spent in validation."""

_REPORT_EVERY = 2.0
"""Seconds between progress events."""

_MIN_PATCH = 16
"""Minimum side of patches in pixels; smaller ones are dominated by zero padding."""


@dataclass(frozen=True)
class _Optimization:
    """Optimizer settings; see `memnet_core.training.config`."""

    optimizer: str = "muon"
    learning_rate: float = 6e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    decay_epochs: int = 1
    warmup_steps: int = 10
    clip_norm: float | None = 1.0
    clip_theta: float | None = None


@dataclass(frozen=True)
class LoopResult:
    """Result of the training loop.

    Attributes
    ----------
    model : MemNet
        The network with the lowest held-out loss, on the CPU; the initial one, if
        none was lower.
    before : Losses
        Held-out losses of the initial network.
    curve : tuple of LossPoint
        All validations, the first one before training.
    steps : int
        Steps taken.
    megapixels : float
        Megapixels of all patches.
    """

    model: MemNet
    before: Losses
    curve: tuple[LossPoint, ...]
    steps: int
    megapixels: float


def patch_side(clips: Sequence[Clip], unshuffle: int) -> int:
    """Return the side of patches that fit all clips, or 0 if a clip is too small."""
    smallest = min(min(clip.frames.shape[-2:]) for clip in clips)
    side = min(smallest, _PATCH) // unshuffle * unshuffle
    return side if side >= _MIN_PATCH else 0


def fine_tune(
    model: MemNet,
    clips: Sequence[Clip],
    held_out: Sequence[HeldOutClip],
    options: AdaptOptions,
    device: torch.device,
) -> Generator[LoopEvent, None, LoopResult]:
    """Train a copy of a network on clips, with frozen BatchNorm statistics.

    Parameters
    ----------
    model : MemNet
        The initial network; it is not changed.
    clips, held_out : sequence
        Clips for training, large enough for `patch_side`, and for validation.
    options : AdaptOptions
        Objective, length and seed. `minutes` include validation.
    device : torch.device
        Device to train on.

    Yields
    ------
    TrainingProgress, StepDone, HoldoutRetest
        The first validation is that of the initial network.

    Raises
    ------
    TrainingError
        If the loss is no longer finite.
    """
    minutes = options.minutes
    patches = _Patches(clips, options, patch_side(clips, model.architecture.unshuffle))
    trainee = _Trainee(model, patches, device)
    began = time.monotonic()
    before = held_out_losses(trainee.model, held_out, device)
    lowest, best = before.mean, model
    count = _validations(minutes, time.monotonic() - began)
    curve = [LossPoint(0.0, math.nan, lowest)]
    yield HoldoutRetest(0, curve[0], is_best=True)
    began = clock = time.monotonic()
    reported, since, megapixels, fraction = RunningMean(), RunningMean(), 0.0, 0.0
    while fraction < 1:
        loss, target = trainee.step(fraction)
        now = time.monotonic()
        for mean in (reported, since):
            mean.add(loss, target, now - clock)
        megapixels += target[:, 0].numel() / 1e6
        minute, clock = (now - began) / 60, now
        fraction = minute / minutes if minutes else trainee.steps / (options.steps or 1)
        yield StepDone(trainee.steps)
        if fraction >= len(curve) / count:
            loss = held_out_losses(trainee.model, held_out, device).mean
            curve.append(LossPoint(minute, since.loss, loss))
            yield HoldoutRetest(trainee.steps, curve[-1], is_best=loss < lowest)
            if loss < lowest:
                lowest, best = loss, copy.deepcopy(trainee.model)
            # Validation does not count as training time of the next step.
            since, clock = RunningMean(), time.monotonic()
        if reported.seconds >= _REPORT_EVERY:
            yield _progress(reported, trainee, minute, min(fraction, 1.0))
            reported = RunningMean()
    best = copy.deepcopy(best).cpu().eval()
    return LoopResult(best, before, tuple(curve), trainee.steps, megapixels)


def _validations(minutes: float | None, seconds: float) -> int:
    """Return the number of validations, given the seconds that one takes."""
    if minutes is None:
        return _VALIDATIONS
    affordable = _VALIDATION_SHARE * 60 * minutes / max(seconds, 1e-3)
    return int(min(max(affordable, 1), _VALIDATIONS))


def _progress(
    mean: RunningMean, trainee: _Trainee, minute: float, fraction: float
) -> TrainingProgress:
    return TrainingProgress(
        step=trainee.steps,
        minutes=minute,
        minutes_left=minute * (1 - fraction) / max(fraction, 1e-6),
        fraction=fraction,
        loss=mean.loss,
        learning_rate=trainee.rate,
        patches_per_second=mean.patches / mean.seconds,
        pixels_per_second=mean.pixels / mean.seconds,
    )


class _Trainee:
    """A copy of a network on the device, with its optimizer.

    `steps` counts the steps taken; `rate` is the learning rate of the last one.
    """

    def __init__(self, model: MemNet, patches: _Patches, device: torch.device) -> None:
        self.model = copy.deepcopy(model).to(device)
        self.steps, self.rate = 0, 0.0
        self._patches = patches
        self._device = device
        self._recipe = _Optimization()
        self._optimizer = make_optimizer(self._recipe, self.model)

    def step(self, fraction: float) -> tuple[float, Tensor]:
        """Take a step; return its loss in noise variances, and the targets.

        Raises
        ------
        TrainingError
            If the loss is no longer finite.
        """
        # Evaluation mode freezes BatchNorm: a few patches of one image do not have
        # the statistics of the image.
        self.model.eval()
        pair, level = self._patches.batch()
        frames, target, weight = (part.to(self._device) for part in pair)
        level = level.to(self._device)
        level_map = self.model.architecture.level_map
        prediction = self.model(append_level(frames, level, level_map=level_map))

        def weighted_mse(output: Tensor, target: Tensor) -> Tensor:
            errors = (output - target).square().mean(1, keepdim=True)
            return (weight * errors).sum() / weight.sum()

        loss = memnet_loss(prediction, target, weighted_mse)
        self.rate = learning_rate(self._recipe, self.steps, fraction, 0)
        backpropagate(self._optimizer, loss, self.rate, self.steps)
        clip_gradients(self._recipe, self.model, self.rate)
        self._optimizer.step()
        self.steps += 1
        with torch.no_grad():
            relative = weighted_mse(prediction.output / level, target / level)
        return float(relative), target


class _Patches:
    """Batches of random patches of `side` pixels; large clips are drawn more often."""

    def __init__(self, clips: Sequence[Clip], options: AdaptOptions, side: int) -> None:
        self._clips = clips
        self._paired = int(options.objective == "noise2noise")
        self._side = side
        self._rng = np.random.default_rng(options.seed)
        self._generator = torch.Generator().manual_seed(options.seed)
        # First frames of a pair (or single frames), times pixels.
        sizes = np.array(
            [c.frames[self._paired :, 0].numel() for c in clips], np.float64
        )
        self._shares = sizes / sizes.sum()

    def batch(self) -> tuple[TrainingPair, Tensor]:
        """Return the next batch and the noise level of each patch, (N, 1, 1, 1)."""
        chosen = self._rng.choice(len(self._clips), _BATCH, p=self._shares)
        drawn = [self._patch(self._clips[n]) for n in chosen]
        level = torch.tensor([self._clips[n].level for n in chosen]).view(-1, 1, 1, 1)
        frames = torch.stack([patch[0] for patch in drawn])
        if self._paired:
            others = torch.stack([patch[1] for patch in drawn])
            return noise2noise(frames, others), level
        return noise2void(frames, self._generator), level

    def _patch(self, clip: Clip) -> Tensor:
        """Cut a patch from one frame or two consecutive ones, flipped at random.

        The order of a pair is flipped, too: either frame may be the target.
        """
        count, _, height, width = clip.frames.shape
        paired, side = self._paired, self._side
        first, top, left, turn = (
            int(self._rng.integers(bound))
            for bound in (count - paired, height - side + 1, width - side + 1, 16)
        )
        patch = clip.frames[
            first : first + 1 + paired, :, top : top + side, left : left + side
        ]
        flipped = [axis for bit, axis in ((1, 0), (2, 2), (4, 3)) if turn & bit]
        return (patch.transpose(2, 3) if turn & 8 else patch).flip(flipped)
