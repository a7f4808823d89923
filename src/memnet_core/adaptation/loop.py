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

from memnet_core.adaptation.clips import told
from memnet_core.adaptation.holdout import losses_of
from memnet_core.adaptation.objectives import (
    TrainingPair,
    noise2void,
    noisy_pairs,
)
from memnet_core.adaptation.result import HoldoutRetest, LossPoint
from memnet_core.training.events import StepDone, TrainingProgress
from memnet_core.training.losses import RunningMean, memnet_loss
from memnet_core.training.optim import (
    clip_gradients,
    diverged,
    learning_rate,
    make_optimizer,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from memnet_core.adaptation.clips import Clip
    from memnet_core.adaptation.holdout import HeldOutClip, Losses
    from memnet_core.adaptation.objectives import Objective
    from memnet_core.adaptation.result import Learning
    from memnet_core.model.network import MemNet

__all__ = ["LoopResult", "learned", "patch_side"]

_PATCH = 64
_BATCH = 4
_TESTS = 6
_TEST_SHARE = 0.2
"""Maximum share of the time spent in validation."""

_REPORT_EVERY = 2.0
"""Seconds between progress events."""

_SMALLEST = 16
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
        The network with the lowest held-out loss, on the CPU; the one that was begun
        with, if none was lower.
    before : Losses
        Held-out losses of the network that was begun with.
    curve : tuple of LossPoint
        All tests, the first one before learning.
    steps : int
        Steps taken.
    megapixels : float
        Of the patches that it saw.
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
    return side if side >= _SMALLEST else 0


def learned(
    model: MemNet,
    clips: Sequence[Clip],
    trials: Sequence[HeldOutClip],
    *,
    objective: Objective,
    device: torch.device,
    minutes: float | None,
    steps: int | None,
    seed: int,
) -> Generator[Learning, None, LoopResult]:
    """Train on clips with frozen BatchNorm statistics.

    Parameters
    ----------
    model : MemNet
        The initial network; it is not changed.
    clips : sequence of Clip
        Training clips, large enough for `patch_side`.
    trials : sequence of HeldOutClip
        Held-out clips.
    objective : str
        Training objective.
    device : torch.device
        Where to compute.
    minutes, steps
        Length of the training, one of the two; `minutes` include validation.
    seed : int
        Determines the patches.

    Yields
    ------
    Progress, StepDone, Retested
        The first test is that of the network as it was.

    Raises
    ------
    TrainingError
        If the loss is no longer finite.
    """
    side = patch_side(clips, model.architecture.unshuffle)
    pupil = _AdaptedNetwork(model, _Patches(clips, objective, side, seed), device)
    began = time.monotonic()
    before = losses_of(pupil.model, trials, device)
    lowest, best = before.mean, model
    count = _tests(minutes, time.monotonic() - began)
    curve = [LossPoint(0.0, math.nan, lowest)]
    yield HoldoutRetest(0, curve[0], is_best=True)
    began = clock = time.monotonic()
    reported, since, megapixels, fraction = RunningMean(), RunningMean(), 0.0, 0.0
    while fraction < 1:
        loss, target = pupil.step(fraction)
        now = time.monotonic()
        for meter in (reported, since):
            meter.add(loss, target, now - clock)
        megapixels += target[:, 0].numel() / 1e6
        minute, clock = (now - began) / 60, now
        fraction = minute / minutes if minutes else pupil.steps / (steps or 1)
        yield StepDone(pupil.steps)
        if fraction >= len(curve) / count:
            held_out = losses_of(pupil.model, trials, device).mean
            curve.append(LossPoint(minute, since.loss, held_out))
            yield HoldoutRetest(pupil.steps, curve[-1], is_best=held_out < lowest)
            if held_out < lowest:
                lowest, best = held_out, copy.deepcopy(pupil.model)
            since, clock = RunningMean(), time.monotonic()
        if reported.seconds >= _REPORT_EVERY:
            yield _progress(reported, pupil, minute, min(fraction, 1.0))
            reported = RunningMean()
    best = copy.deepcopy(best).cpu().eval()
    return LoopResult(best, before, tuple(curve), pupil.steps, megapixels)


def _tests(minutes: float | None, seconds: float) -> int:
    """Return the number of validations, given the seconds that one takes."""
    if minutes is None:
        return _TESTS
    return int(min(max(_TEST_SHARE * 60 * minutes / max(seconds, 1e-3), 1), _TESTS))


def _progress(
    meter: RunningMean, pupil: _AdaptedNetwork, minute: float, fraction: float
) -> TrainingProgress:
    return TrainingProgress(
        step=pupil.steps,
        minutes=minute,
        minutes_left=minute * (1 - fraction) / max(fraction, 1e-6),
        fraction=fraction,
        loss=meter.loss,
        learning_rate=pupil.rate,
        patches_per_second=meter.patches / meter.seconds,
        pixels_per_second=meter.pixels / meter.seconds,
    )


class _AdaptedNetwork:
    """A copy of a network with its optimizer.

    Attributes
    ----------
    model : MemNet
        On the device.
    steps : int
        Steps taken.
    rate : float
        Learning rate of the last one.
    """

    def __init__(self, model: MemNet, patches: _Patches, device: torch.device) -> None:
        self.model = copy.deepcopy(model).to(device)
        self.steps, self.rate = 0, 0.0
        self._patches = patches
        self._device = device
        self._recipe = _Optimization()
        self._optimizer = make_optimizer(self._recipe, self.model)

    def step(self, fraction: float) -> tuple[float, Tensor]:
        """Take a step; return its loss, in variances of the noise, and its targets.

        Raises
        ------
        TrainingError
            If the loss is no longer finite.
        """
        # Evaluation mode freezes BatchNorm: a few patches of one image do not have
        # the statistics of the image.
        self.model.eval()
        lesson, level = self._patches.lesson()
        shown, target, weight = (part.to(self._device) for part in lesson)
        prediction = self.model(self._told(shown, level))

        def error(output: Tensor, wanted: Tensor) -> Tensor:
            errors = (output - wanted).square().mean(1, keepdim=True)
            return (weight * errors).sum() / weight.sum()

        loss = memnet_loss(prediction, target, error)
        if not math.isfinite(float(loss.detach())):
            raise diverged(f"The loss is no longer finite at step {self.steps}")
        self.rate = learning_rate(self._recipe, self.steps, fraction, 0)
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate * group["share"]
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradients(self._recipe, self.model, self.rate)
        self._optimizer.step()
        self.steps += 1
        scale = level.to(self._device)
        with torch.no_grad():
            told_loss = error(prediction.output / scale, target / scale)
        return float(told_loss), target

    def _told(self, shown: Tensor, level: Tensor) -> Tensor:
        level_map = self.model.architecture.level_map
        return told(shown, level.to(shown.device), level_map=level_map)


class _Patches:
    """Draw batches of patches; clips are weighted by their size.

    Parameters
    ----------
    clips : sequence of Clip
        Clips to cut patches from.
    objective : str
        Objective that pairs them.
    side : int
        Height and width of patches.
    seed : int
        Seed of all random choices.
    """

    def __init__(
        self, clips: Sequence[Clip], objective: Objective, side: int, seed: int
    ) -> None:
        self._clips = clips
        self._objective = objective
        self._side = side
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator().manual_seed(seed)
        sizes = np.array([self._choices(clip) for clip in clips], np.float64)
        self._shares = sizes / sizes.sum()

    def lesson(self) -> tuple[TrainingPair, Tensor]:
        """Return the next batch and the noise level of each patch, (N, 1, 1, 1)."""
        chosen = self._rng.choice(len(self._clips), _BATCH, p=self._shares)
        drawn = [self._frames(self._clips[n]) for n in chosen]
        level = torch.tensor([self._clips[n].level for n in chosen])[
            :, None, None, None
        ]
        frames = torch.stack([pair[0] for pair in drawn])
        if self._objective == "noise2noise":
            return noisy_pairs(frames, torch.stack([pair[1] for pair in drawn])), level
        return noise2void(frames, self._generator), level

    def _choices(self, clip: Clip) -> int:
        """Return the number of usable frames times their pixels."""
        count, _, height, width = clip.frames.shape
        return (count - (self._objective == "noise2noise")) * height * width

    def _frames(self, clip: Clip) -> Tensor:
        """Cut a patch from one frame or two consecutive ones, flipped at random."""
        count, _, height, width = clip.frames.shape
        paired = self._objective == "noise2noise"
        side = self._side
        first, top, left, turn = (
            int(self._rng.integers(bound))
            for bound in (count - paired, height - side + 1, width - side + 1, 16)
        )
        patch = clip.frames[
            first : first + 1 + paired, :, top : top + side, left : left + side
        ]
        flipped = [axis for bit, axis in ((1, 0), (2, 2), (4, 3)) if turn & bit]
        return (patch.transpose(2, 3) if turn & 8 else patch).flip(flipped)
