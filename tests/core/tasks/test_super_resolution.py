"""Enlarging: what is lost by shrinking."""

from __future__ import annotations

import numpy as np
import pytest

from memnet_core.errors import LevelError
from memnet_core.image_ops.resize import imresize
from memnet_core.tasks import TASKS, Levels

SR = TASKS["sr"]


def test_degrading_shrinks_and_enlarges() -> None:
    plane = np.random.default_rng(0).integers(0, 256, (24, 36), np.uint8)
    small = imresize(plane.astype(np.float64), (8, 12))
    degraded = SR.degrade(plane, 3, np.random.default_rng(1))
    np.testing.assert_allclose(degraded, imresize(small, (24, 36)))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_degradation_reaches_no_further_than_it_says(scale: int) -> None:
    side, rng = 16 * scale, np.random.default_rng(0)
    plane = rng.uniform(0, 255, (side, side))
    other = plane.copy()
    middle = slice(side // 2, side // 2 + 1)
    other[middle, middle] += 200
    difference = SR.degrade(other, scale, rng) - SR.degrade(plane, scale, rng)
    rows = np.flatnonzero(np.abs(difference).max(1) > 1e-9)
    margin = SR.receptive_margin(scale)
    assert side // 2 - rows.min() <= margin
    assert rows.max() - side // 2 <= margin
    assert max(side // 2 - rows.min(), rows.max() - side // 2) > margin - 2 * scale


def test_sides_are_multiples_of_the_scale_and_as_much_is_shaved() -> None:
    assert [SR.multiple(n) for n in (2, 4)] == [2, 4]
    assert [SR.shave(n) for n in (2, 4)] == [2, 4]
    assert [SR.scale(n) for n in (2, 4)] == [2, 4]
    assert SR.rounded


def test_scale_has_to_be_given_and_is_one_of_a_list() -> None:
    with pytest.raises(LevelError, match="scale="):
        SR.estimate([])
    with pytest.raises(LevelError, match="one of a list, not of a range"):
        SR.check_levels(Levels.between(2, 4))
    SR.check_levels(Levels.listed(2, 4))


def test_value_of_the_level_map_rises_with_the_scale() -> None:
    assert [SR.level_map_value(n) for n in (2, 4)] == [0.5, 0.75]
