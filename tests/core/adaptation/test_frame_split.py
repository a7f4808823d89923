from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memnet_core.adaptation.clips import planned, series_along


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def pairs(spots: list[Any]) -> set[tuple[int, int]]:
    return {pair for s in spots for pair in zip(s.planes, s.planes[1:], strict=False)}


def test_series_follow_the_axis_at_each_place_of_the_others() -> None:
    series = series_along((2, 3, 2), 1)
    assert series.tolist() == [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]
    assert series_along((2, 2), None).tolist() == [[0], [1], [2], [3]]
    assert series_along((), None).tolist() == [[0]]


@pytest.mark.parametrize("count", range(4, 60))
def test_no_frame_is_both_learned_from_and_held_out(count: int) -> None:
    plan = planned(np.arange(count)[None], 20, 20, rng())
    learned = {n for spot in plan.training for n in spot.planes}
    held = {n for spot in plan.held_out for n in spot.planes}
    assert learned | held == set(range(count))
    assert not learned & held
    assert pairs(plan.training)
    assert all(len(spot.planes) in (2, 3) for spot in plan.held_out)
    assert len(held) <= max(3, count / 4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_few_frames_a_part_of_the_area_is_held_out(count: int) -> None:
    plan = planned(np.arange(count)[None], 80, 30, rng())
    (learned,), (held,) = plan
    assert learned.planes == held.planes == tuple(range(count))
    assert (held.rows.start, held.rows.stop) == (60, 80)
    assert learned.rows.stop <= held.rows.start


def test_large_stacks_are_read_in_windows_of_bounded_size_all_over() -> None:
    plan = planned(np.arange(6000).reshape(6, 1000), 3000, 2000, rng())
    for spots, most in ((plan.training, 2**24), (plan.held_out, 2**18)):
        sizes = [
            len(s.planes)
            * (s.rows.stop - s.rows.start)
            * (s.columns.stop - s.columns.start)
            for s in spots
        ]
        assert 0.8 * most < sum(sizes) <= most
        assert all(s.rows.stop <= 3000 and s.columns.stop <= 2000 for s in spots)
    assert len({spot.rows.start for spot in plan.training}) > 32
    assert {spot.planes[0] // 1000 for spot in plan.training} == set(range(6))
    learned = {n for spot in plan.training for n in spot.planes}
    assert not learned & {n for spot in plan.held_out for n in spot.planes}
    assert all(len(spot.planes) > 1 for spot in plan.training)
