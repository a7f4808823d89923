from __future__ import annotations

import pytest
import torch

from memnet_core.adaptation.objectives import (
    neighbor_targets,
    noise2void,
    noisy_pairs,
    subsampled,
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_subsampled_pixels_touch_and_are_of_one_cell() -> None:
    places = torch.stack(
        torch.meshgrid(torch.arange(16), torch.arange(24), indexing="ij")
    )
    choice = torch.randint(8, (1, 8, 12), generator=generator())
    first, second = subsampled(places[None].float(), choice)
    apart = (first - second).abs().sum(1)
    assert first.shape == second.shape == (1, 2, 8, 12)
    assert torch.all(apart == 1)
    for part in (first, second):
        assert torch.equal(
            part[0] // 2, subsampled(places[None].float() // 2, choice)[0][0]
        )
    ways = set(map(tuple, (first - second)[0].flatten(1).T.int().tolist()))
    assert ways == {(0, 1), (1, 0), (0, -1), (-1, 0)}


def test_neighbors_are_told_by_each_other_and_kept_to_what_the_whole_says() -> None:
    frames = torch.rand(1, 1, 8, 8, generator=generator())
    restored = torch.rand(1, 1, 8, 8, generator=generator())
    choice = torch.randint(8, (1, 4, 4), generator=generator())
    plain = neighbor_targets(frames, choice)
    assert torch.equal(plain.target, subsampled(frames, choice)[1])
    target = neighbor_targets(frames, choice, restored).target
    # At γ = 1 the two squared errors are least where the sum of both derivatives is 0.
    y = target.clone().requires_grad_()
    first, second = subsampled(restored, choice)
    both = (y - plain.target) ** 2 + (y - plain.target - (first - second)) ** 2
    both.sum().backward()  # type: ignore[no-untyped-call]
    assert y.grad is not None
    assert y.grad.abs().max() < 1e-6


def test_blind_spots_get_values_from_around_them_and_alone_count() -> None:
    frames = torch.arange(2 * 60 * 70.0).view(2, 1, 60, 70)
    lesson = noise2void(frames, generator())
    blind = lesson.weight.bool()
    assert torch.equal(lesson.target, frames)
    assert torch.equal(lesson.shown[~blind], frames[~blind])
    assert blind.float().mean() == pytest.approx(0.02, rel=0.3)
    moved = (lesson.shown - frames)[blind].int()
    down = torch.round(moved / 70)
    across = moved - 70 * down
    assert torch.all(moved != 0)
    assert down.abs().max() == across.abs().max() == 2


def test_the_smallest_frames_have_blind_spots_too() -> None:
    frames = torch.arange(25.0).view(1, 1, 5, 5).repeat(200, 1, 1, 1)
    lesson = noise2void(frames, generator())
    assert torch.all(lesson.shown[lesson.weight > 0] != frames[lesson.weight > 0])


def test_pairs_count_everywhere() -> None:
    frames, others = torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5)
    lesson = noisy_pairs(frames, others)
    assert lesson.shown is frames
    assert lesson.target is others
    assert torch.equal(lesson.weight, torch.ones(2, 1, 4, 5))
