"""Noise: added as training does it, and estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from memnet_core.errors import LevelError
from memnet_core.noise.correlation import estimate_sigma
from memnet_core.tasks import TASKS, Levels
from memnet_core.tasks.denoise import gaussian_noise

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize("sigma", [5, 15, 30, 50, 70])
def test_noise_is_estimated_within_a_twentieth(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(0, sigma / 255, (256, 256))
    noisy = (smooth_picture() + noise).astype(np.float32)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.05)


def test_texture_does_not_count_as_noise_where_there_are_quiet_parts() -> None:
    rng = np.random.default_rng(3)
    noisy = smooth_picture() + rng.normal(0, 5 / 255, (256, 256))
    noisy[:160] += rng.choice([-0.06, 0.06], (160, 256))
    assert estimate_sigma(noisy.astype(np.float32)) == pytest.approx(5, rel=0.07)


def test_parts_where_noise_is_cut_off_are_not_taken_for_quiet() -> None:
    rng = np.random.default_rng(4)
    clean = smooth_picture()
    clean[:100] = 0.01
    noisy = np.clip(clean + rng.normal(0, 20 / 255, (256, 256)), 0, 1)
    assert 16 < estimate_sigma(noisy.astype(np.float32)) < 21


@pytest.mark.parametrize(("sigma", "median"), [(3, 3.7), (5, 5.6), (10, 10.5)])
def test_noise_of_photographs_is_estimated(
    shared_data: Path, sigma: float, median: float
) -> None:
    files = sorted((shared_data / "bench").glob("Set*/*.*"))
    found = []
    for number, file in enumerate(files):
        with Image.open(file) as picture:
            plane = np.asarray(picture.convert("L"), np.float64)
        noise = gaussian_noise(plane, sigma, np.random.default_rng(number))
        found.append(estimate_sigma((noise / 255).astype(np.float32)))
    assert sigma < np.median(found) < median
    assert min(found) > 0.95 * sigma


def test_smooth_picture_has_hardly_any_noise() -> None:
    assert estimate_sigma(smooth_picture().astype(np.float32)) < 0.1


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (9, 2)], ids=str)
def test_black_picture_has_no_noise(shape: tuple[int, int]) -> None:
    assert estimate_sigma(np.zeros(shape, np.float32)) == 0


def test_noise_of_several_planes_is_their_mean() -> None:
    rng = np.random.default_rng(0)
    planes = [
        (0.5 + rng.normal(0, sigma / 255, (128, 128))).astype(np.float32)
        for sigma in (5, 10, 15)
    ]
    found = DENOISE.estimate(planes)
    assert found.level == pytest.approx(10, rel=0.05)
    assert found.level == round(found.level, 1)
    assert found.remark == f"σ estimated as {found.level}"


def test_noise_of_nothing_has_to_be_given() -> None:
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
