from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core.image_ops.metrics import psnr, ssim

if TYPE_CHECKING:
    from numpy.typing import NDArray


def plane(seed: int = 8) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0, 255, (24, 31))


@pytest.mark.parametrize(
    ("error", "decibels"), [(255, 0), (25.5, 20), (1, 48.1308), (-1, 48.1308)]
)
def test_psnr_of_a_constant_error(error: float, decibels: float) -> None:
    assert psnr(plane(), plane() + error) == pytest.approx(decibels, abs=1e-4)


def test_psnr_averages_squared_errors_over_pixels() -> None:
    image = np.zeros((10, 10))
    image[3, 4] = 255
    assert psnr(np.zeros((10, 10)), image) == pytest.approx(20)


def test_psnr_of_equal_images_is_infinite() -> None:
    assert psnr(plane(), plane()) == math.inf


def test_psnr_of_eight_bit_images_does_not_wrap_around() -> None:
    dark, bright = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert psnr(dark, bright) == pytest.approx(0)
    assert psnr(bright, dark) == pytest.approx(0)


def test_ssim_of_equal_images_is_one() -> None:
    assert ssim(plane(), plane()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [(0, 255), (100, 110), (30, 60)])
def test_ssim_of_constant_images_is_the_luminance_term(
    first: float, second: float
) -> None:
    c1 = (0.01 * 255) ** 2
    expected = (2 * first * second + c1) / (first**2 + second**2 + c1)
    similarity = ssim(np.full((16, 16), first), np.full((16, 16), second))
    assert similarity == pytest.approx(expected, rel=1e-9)


def test_ssim_is_that_of_a_gaussian_window_of_eleven_pixels() -> None:
    first, second = plane(8)[:11, :11], plane(9)[:11, :11]
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2

    def mean(values: NDArray[np.float64]) -> float:
        return float((window * values).sum())

    a, b = mean(first), mean(second)
    covariance = mean(first * second) - a * b
    variances = mean(first**2) - a**2 + mean(second**2) - b**2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * a * b + c1) * (2 * covariance + c2)
    expected /= (a**2 + b**2 + c1) * (variances + c2)
    assert ssim(first, second) == pytest.approx(expected, rel=1e-9)


def test_ssim_is_symmetric_and_falls_with_noise() -> None:
    little, much = plane() + 0.1 * plane(9), plane() + 0.5 * plane(9)
    assert ssim(plane(), much) == pytest.approx(ssim(much, plane()))
    assert ssim(plane(), much) < ssim(plane(), little) < 1


def test_ssim_takes_eight_bit_images() -> None:
    first, second = plane(8).astype(np.uint8), plane(9).astype(np.uint8)
    in_float = ssim(first.astype(np.float64), second.astype(np.float64))
    assert ssim(first, second) == pytest.approx(in_float, rel=1e-12)
