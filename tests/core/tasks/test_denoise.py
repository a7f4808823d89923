"""Noise: added as training does it, and estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core.errors import LevelError
from memnet_core.tasks import TASKS, Levels
from memnet_core.tasks.denoise import gaussian_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

DENOISE = TASKS["denoise"]


def smooth_picture() -> NDArray[np.float64]:
    y, x = np.mgrid[:256, :256] / 256
    picture: NDArray[np.float64] = 0.5 + 0.3 * np.sin(3 * x) * np.cos(2 * y)
    return picture


def test_noise_has_the_given_deviation_and_is_not_clipped() -> None:
    plane = np.tile([0.0, 255.0], (300, 150))
    noise = gaussian_noise(plane, 50, np.random.default_rng(5)) - plane
    assert noise.mean() == pytest.approx(0, abs=0.6)
    assert noise.std() == pytest.approx(50, rel=0.02)
    assert noise[:, 0::2].min() < -100
    assert noise[:, 1::2].max() > 100


def test_noise_is_reproducible_and_leaves_the_plane_alone() -> None:
    plane = np.zeros((6, 5))
    first, again = (
        gaussian_noise(plane, 30, np.random.default_rng(6)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert not plane.any()


def test_noise_deviation_is_in_no_file() -> None:
    with pytest.raises(LevelError, match="sigma="):
        DENOISE.estimate([])


def test_degrading_adds_noise_of_the_level_to_any_pixels() -> None:
    plane = np.full((200, 200), 250, np.uint8)
    degraded = DENOISE.degrade(plane, 20, np.random.default_rng(1))
    assert degraded.std() == pytest.approx(20, rel=0.02)
    assert degraded.mean() == pytest.approx(250, abs=0.5)


def test_value_of_the_level_map_is_the_deviation_where_white_is_one() -> None:
    assert DENOISE.level_map_value(51) == 0.2


def test_half_of_the_deviations_are_drawn_evenly_and_half_on_a_log_scale() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array(
        [DENOISE.draw_level(Levels.between(5, 80), rng) for _ in range(4000)]
    )
    assert 5 <= drawn.min() < drawn.max() <= 80
    assert np.mean(drawn < 20) == pytest.approx((0.5 + 0.2) / 2, abs=0.03)


def test_deviations_from_zero_are_drawn_evenly() -> None:
    rng = np.random.default_rng(0)
    drawn = [DENOISE.draw_level(Levels.between(0, 50), rng) for _ in range(2000)]
    assert np.mean(np.array(drawn) < 10) == pytest.approx(0.2, abs=0.03)
