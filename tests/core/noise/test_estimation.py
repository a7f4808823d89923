"""The line of the noise, found in simulated cameras of which it is known."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core.noise.estimation import estimate_noise_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.noise.estimation import PoissonGaussianNoise

GAIN, BLACK, READ_NOISE = 2.17, 100.0, 1.6


@cache
def scene(side: int = 512) -> NDArray[np.float64]:
    """Give bright spots of all sizes on dark ground, edges among them, in [0, 1]."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side]
    picture = np.full((side, side), 0.02)
    for _ in range(60):
        row, column = rng.uniform(0, side, 2)
        radius, height = rng.uniform(2, side / 8), rng.uniform(0.1, 0.6)
        distance = np.hypot(y - row, x - column) / radius
        picture += height / (1 + distance**4)
    scaled: NDArray[np.float64] = picture / picture.max()
    return scaled


def photographed(electrons: float, seed: int = 0) -> NDArray[np.uint16]:
    """Photograph the scene with an sCMOS camera; so many electrons at its peak."""
    rng = np.random.default_rng(seed)
    counted = rng.poisson(scene() * electrons)
    read = counted + rng.normal(0, READ_NOISE, counted.shape)
    return np.rint(BLACK + GAIN * read).astype(np.uint16)[..., None]


def found(*pixels: NDArray[np.generic]) -> PoissonGaussianNoise:
    line = estimate_noise_model(pixels)
    assert line is not None
    return line


@pytest.mark.parametrize("electrons", [3, 10, 30, 100, 300, 1000])
def test_gain_and_dark_noise_are_those_of_the_camera(electrons: float) -> None:
    line = found(photographed(electrons))
    assert line.gain == pytest.approx(GAIN, rel=0.15)
    assert line.deviation(BLACK) == pytest.approx(GAIN * READ_NOISE, rel=0.25)
    assert line.is_clear


def test_several_planes_make_the_line_surer() -> None:
    one = found(photographed(10))
    planes = found(*(photographed(10, seed) for seed in range(4)))
    assert planes.error < 0.7 * one.error
    assert planes.gain == pytest.approx(GAIN, rel=0.06)


def test_hot_pixels_do_not_mislead() -> None:
    pixels = photographed(30)
    hot = np.random.default_rng(1).random(pixels.shape) < 0.001
    pixels[hot] = 4000
    assert found(pixels).gain == pytest.approx(GAIN, rel=0.15)


def test_saturated_pixels_do_not_mislead() -> None:
    pixels = np.minimum(photographed(100), 230)
    assert np.mean(pixels == 230) > 0.02
    assert found(pixels).gain == pytest.approx(GAIN, rel=0.15)


def test_what_no_camera_saw_does_not_count() -> None:
    line = found(photographed(30))
    padded = photographed(30)
    padded[:100], padded[:, -70:] = 0, 0
    assert found(padded).gain == pytest.approx(line.gain, rel=0.1)
    assert found(padded).dark == pytest.approx(line.dark, rel=0.1)
    holes = photographed(30).astype(np.float32)
    holes[:100], holes[40:200, 300:400] = np.nan, np.inf
    assert found(holes).gain == pytest.approx(line.gain, rel=0.1)


@pytest.mark.parametrize("sigma", [2, 20])
def test_noise_that_is_the_same_everywhere_has_no_clear_slope(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, (512, 512))
    line = found((1000 * scene() + noise)[..., None])
    assert not line.is_clear
    assert line.deviation(300) == pytest.approx(sigma, rel=0.1)


def test_line_is_said_in_words() -> None:
    told = str(found(photographed(100)))
    assert re.fullmatch(
        r"2\.\d values per photo-electron, σ 5\.\d to 2\d from dark to bright", told
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (15, 200, 1), (64, 64, 1)], ids=str)
def test_too_few_pixels_and_none_with_noise_have_no_line(shape: tuple[int]) -> None:
    assert estimate_noise_model([np.full(shape, 7, np.uint16)]) is None
    assert estimate_noise_model([np.full(shape, np.nan)]) is None
    assert estimate_noise_model([]) is None
