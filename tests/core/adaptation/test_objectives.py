from __future__ import annotations

import pytest
import torch

from memnet_core.adaptation.objectives import noise2noise, noise2void


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_blind_spots_get_values_from_around_them_and_alone_count() -> None:
    frames = torch.arange(2 * 60 * 70.0).view(2, 1, 60, 70)
    pair = noise2void(frames, generator())
    blind = pair.weight.bool()
    assert torch.equal(pair.target, frames)
    assert torch.equal(pair.input[~blind], frames[~blind])
    assert blind.float().mean() == pytest.approx(0.02, rel=0.3)
    moved = (pair.input - frames)[blind].int()
    down = torch.round(moved / 70)
    across = moved - 70 * down
    assert torch.all(moved != 0)
    assert down.abs().max() == across.abs().max() == 2


def test_the_smallest_frames_have_blind_spots_too() -> None:
    frames = torch.arange(25.0).view(1, 1, 5, 5).repeat(200, 1, 1, 1)
    pair = noise2void(frames, generator())
    assert torch.all(pair.input[pair.weight > 0] != frames[pair.weight > 0])


def test_pairs_count_everywhere() -> None:
    frames, others = torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5)
    pair = noise2noise(frames, others)
    assert pair.input is frames
    assert pair.target is others
    assert torch.equal(pair.weight, torch.ones(2, 1, 4, 5))
