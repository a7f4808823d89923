"""Noise that neighbors share: told from white noise, and its strength."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage.filters import gaussian

from memnet_core.tasks import CORRELATED, estimate_correlation
from memnet_core.tasks.denoise import correlated_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

blur: Any = gaussian


def noisy(sigma: float, width: float, side: int = 320) -> NDArray[np.float32]:
    y, x = np.mgrid[:side, :side] / side
    picture = 0.5 + 0.3 * np.sin(3 * x) * np.cos(2 * y)
    noise = np.random.default_rng(4).standard_normal((side, side))
    if width:
        noise = blur(noise, width, mode="wrap")
    degraded = picture + sigma / 255 * noise / noise.std()
    return np.asarray(degraded, np.float32)


@pytest.mark.parametrize("sigma", [2, 10, 40])
def test_white_noise_is_white_and_as_strong_as_it_is(sigma: float) -> None:
    found = estimate_correlation([noisy(sigma, 0)])
    assert found.grain == "white"
    assert found.sigma == pytest.approx(sigma, rel=0.08)


@pytest.mark.parametrize("width", [0.55, 0.7, 1.1])
@pytest.mark.parametrize("sigma", [6, 25])
def test_blurred_noise_is_correlated_and_as_strong_as_a_pixel_has_it(
    sigma: float, width: float
) -> None:
    found = estimate_correlation([noisy(sigma, width)])
    assert found.grain == "correlated"
    assert found.sigma == pytest.approx(sigma, rel=0.12)


def test_texture_beside_quiet_parts_does_not_count() -> None:
    plane = noisy(8, 0)
    texture = np.random.default_rng(5).standard_normal((160, 320))
    plane[:160] += 0.2 * blur(texture, 1.5)
    found = estimate_correlation([plane])
    assert found.grain == "white"
    assert found.sigma == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize("shape", [(9, 200), (64, 64), (300, 300)], ids=str)
def test_black_and_tiny_pictures_have_no_noise(shape: tuple[int, int]) -> None:
    assert estimate_correlation([np.zeros(shape, np.float32)]) == ("white", 0.0)


def test_noise_to_train_on_has_unit_deviation_and_every_grain() -> None:
    rng = np.random.default_rng(0)
    drawn = [correlated_noise((64, 64), rng) for _ in range(60)]
    shared = [float(np.mean(n[:, 1:] * n[:, :-1])) for n in drawn]
    assert all(0.95 < n.std() < 1.3 for n in drawn)
    assert 5 < sum(value < 0.05 for value in shared) < 30
    assert max(shared) > 0.7


def test_degraded_picture_differs_by_noise_of_its_level() -> None:
    plane = np.full((96, 96, 3), 90, np.uint8)
    changes = [
        CORRELATED.degrade(plane, 20, np.random.default_rng(seed)) - 90
        for seed in range(12)
    ]
    assert np.median([change.std() for change in changes]) == pytest.approx(
        20, rel=0.05
    )
