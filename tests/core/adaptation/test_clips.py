from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.adaptation.clips import (
    FrameWindow,
    read_clips,
    series_along,
    split_frames,
)
from memnet_core.inference.analysis import ChannelParams
from memnet_core.inference.api import opened
from memnet_core.inference.plan import RestorePlan
from memnet_core.inference.scaling import AnscombeScaling, LinearScaling

if TYPE_CHECKING:
    from memnet_core.inference.channels import ColorMode

ROWS, COLUMNS = slice(1, 9), slice(2, 14)


def restore_plan(*channels: ChannelParams, colors: ColorMode = "single") -> RestorePlan:
    return RestorePlan(
        task="denoise",
        model="some",
        checksum="0" * 64,
        channels=channels
        or (ChannelParams(level=51, scaling=LinearScaling(low=100, high=300)),),
        colors=colors,
    )


def test_clips_hold_what_the_network_sees_and_the_deviation_of_the_noise() -> None:
    pixels = np.random.default_rng(0).integers(0, 400, (4, 10, 16)).astype(np.uint16)
    with opened(pixels, "TYX") as source:
        (clip,) = read_clips(
            source, restore_plan(), 1, FrameWindow((1, 2, 3), ROWS, COLUMNS)
        )
    assert clip.level == pytest.approx(0.2)
    seen = (pixels[1:, ROWS, COLUMNS] - 100.0) / 200
    expected = seen.clip(-0.8, 1.8)  # four deviations beyond black and white
    np.testing.assert_allclose(clip.frames[:, 0], expected, atol=1e-6)


def test_channels_have_their_own_scaling() -> None:
    pixels = np.random.default_rng(0).poisson(50, (2, 2, 10, 16)).astype(np.float32)
    even = AnscombeScaling(low=0, high=80, gain=1, black=0, read_noise=1)
    channels = [
        ChannelParams(level=10, scaling=LinearScaling(low=0, high=100)),
        ChannelParams(level=even.level, scaling=even),
    ]
    with opened(pixels, "TCYX") as source:
        found = [
            read_clips(
                source, restore_plan(*channels), 1, FrameWindow(planes, ROWS, COLUMNS)
            )[0]
            for planes in ((0, 2), (1, 3))
        ]
    assert found[0].level == pytest.approx(10 / 255)
    assert float((found[1].frames[0] - found[1].frames[1]).std()) == pytest.approx(
        2**0.5 * even.level / 255, rel=0.15
    )


def test_frames_of_one_value_divide_what_is_around_them() -> None:
    pixels = np.random.default_rng(0).random((7, 10, 16))
    pixels[[2, 6]] = 0.5
    pixels[4, 3, 5] = np.nan
    with opened(pixels, "TYX") as source:
        clips = read_clips(
            source, restore_plan(), 1, FrameWindow(tuple(range(7)), ROWS, COLUMNS)
        )
    assert [len(clip.frames) for clip in clips] == [2, 3]
    assert all(clip.frames.isfinite().all() for clip in clips)


def test_colors_are_clips_of_their_own_or_planes_of_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 10, 16, 3)).astype(np.uint8)
    spot = FrameWindow((0, 1, 2), ROWS, COLUMNS)
    with opened(pixels, "TYXS") as source:
        each = read_clips(source, restore_plan(colors="each"), 1, spot)
        (joint,) = read_clips(source, restore_plan(colors="joint"), 3, spot)
    assert [tuple(clip.frames.shape) for clip in each] == [(3, 1, 8, 12)] * 3
    assert joint.frames.shape == (3, 3, 8, 12)
    np.testing.assert_array_equal(joint.frames[:, 1], each[1].frames[:, 0])


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
    plan = split_frames(np.arange(count)[None], 20, 20, rng())
    learned = {n for spot in plan.training for n in spot.planes}
    held = {n for spot in plan.held_out for n in spot.planes}
    assert learned | held == set(range(count))
    assert not learned & held
    assert pairs(plan.training)
    assert all(len(spot.planes) in (2, 3) for spot in plan.held_out)
    assert len(held) <= max(3, count / 4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_few_frames_a_part_of_the_area_is_held_out(count: int) -> None:
    plan = split_frames(np.arange(count)[None], 80, 30, rng())
    (learned,), (held,) = plan
    assert learned.planes == held.planes == tuple(range(count))
    assert (held.rows.start, held.rows.stop) == (60, 80)
    assert learned.rows.stop <= held.rows.start


def test_large_stacks_are_read_in_windows_of_bounded_size_all_over() -> None:
    plan = split_frames(np.arange(6000).reshape(6, 1000), 3000, 2000, rng())
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
