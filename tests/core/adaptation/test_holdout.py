from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from memnet_core.adaptation.clips import Clip
from memnet_core.adaptation.holdout import (
    LossDrop,
    Losses,
    Motion,
    detect_motion,
    held_out_losses,
    pair_clip,
    sure_loss,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

CPU = torch.device("cpu")
SIGMA = 0.1


def network(function: Callable[[Tensor], Tensor]) -> Any:
    """Return a function as if it were a network."""

    class Network:
        architecture = SimpleNamespace(level_map=False)

        def eval(self) -> None: ...

        def __call__(self, shown: Tensor) -> Any:
            return SimpleNamespace(output=function(shown))

    return Network()


def blurred(shown: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(shown, (1, 1, 1, 1), mode="reflect"), 3, 1)


def scene(count: int, moved: float = 0, size: int = 128) -> Tensor:
    y, x = np.mgrid[:size, :size] / 5
    clean = [np.sin(x + moved * n) * np.cos(y) for n in range(count)]
    return torch.from_numpy(np.stack(clean)[:, None]).float()


def noisy(clean: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return clean + SIGMA * torch.randn(clean.shape, generator=generator)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_loss_between_frames_is_the_error_and_the_noise() -> None:
    clean = scene(3)
    trial = pair_clip(Clip(noisy(clean), SIGMA), generator())
    error = float((blurred(trial.clip.frames) - clean).square().mean()) / SIGMA**2
    found = held_out_losses(network(blurred), [trial], CPU)
    assert found.mean == pytest.approx(1 + error, rel=0.02)
    assert found.cells.size == 3 * 8 * 8


def test_the_noise_of_the_same_frame_is_no_target() -> None:
    trial = pair_clip(Clip(noisy(scene(2)), SIGMA), generator())
    assert held_out_losses(network(lambda x: x), [trial], CPU).mean == pytest.approx(
        2, rel=0.03
    )


def test_a_single_frame_is_tried_by_its_own_pixels() -> None:
    flat = noisy(torch.zeros(1, 1, 129, 131))
    trial = pair_clip(Clip(flat, SIGMA), generator())
    assert held_out_losses(
        network(torch.zeros_like), [trial], CPU
    ).mean == pytest.approx(1, rel=0.25)
    assert held_out_losses(network(lambda x: x), [trial], CPU).mean == pytest.approx(
        2, rel=0.25
    )


def test_stein_estimates_the_error_without_the_truth() -> None:
    clean = scene(1)
    trial = pair_clip(Clip(noisy(clean), SIGMA), generator())
    for function in (blurred, lambda x: x, lambda x: 0.5 * x):
        truth = float((function(trial.clip.frames) - clean).square().mean())
        found = sure_loss(network(function), [trial], CPU, seed=0).mean
        assert found == pytest.approx(truth / SIGMA**2, abs=0.05, rel=0.02)


def test_motion_is_seen_and_what_stays_is_not_taken_for_it() -> None:
    still, moving = (
        [pair_clip(Clip(noisy(scene(3, by)), SIGMA), generator())] for by in (0, 0.05)
    )
    assert not detect_motion(network(blurred), still, CPU).is_significant
    found = detect_motion(network(blurred), moving, CPU)
    assert found.is_significant
    expected = (scene(3, 0.05)[2] - scene(3, 0.05)[0]).square().mean()
    assert found.amount == pytest.approx(0.75 * float(expected) / SIGMA**2, rel=0.15)


def test_two_frames_do_not_tell_detect_motion() -> None:
    pair = pair_clip(Clip(noisy(scene(2, 1)), SIGMA), generator())
    assert detect_motion(network(blurred), [pair], CPU) == Motion(
        0.0, is_significant=False
    )


def test_a_fall_counts_only_beyond_chance() -> None:
    rng = np.random.default_rng(0)
    before = Losses(rng.normal(1, 0.1, 400))
    less = Losses(before.cells - rng.normal(0.01, 0.05, 400))
    chance = Losses(before.cells - rng.normal(0.001, 0.05, 400))
    assert LossDrop.between(before, less).is_significant
    assert not LossDrop.between(before, chance).is_significant
    assert not LossDrop.between(before, before).is_significant
    assert not LossDrop.between(less, before).is_significant
