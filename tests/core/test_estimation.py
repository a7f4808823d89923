from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from memnet_core.estimation import QualityEstimate, estimate_quality, estimate_sigma

if TYPE_CHECKING:
    from numpy.typing import NDArray


def table_of(quality: int, mode: str = "L") -> list[int]:
    """Give the luminance table that Pillow writes."""
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        table: list[int] = image.quantization[0]  # type: ignore[attr-defined]
        return table


def smooth_picture() -> NDArray[np.float64]:
    y, x = np.mgrid[:256, :256] / 256
    picture: NDArray[np.float64] = 0.5 + 0.3 * np.sin(3 * x) * np.cos(2 * y)
    return picture


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_quality_is_recovered_from_its_table(mode: str) -> None:
    estimates = {q: estimate_quality(table_of(q, mode)) for q in range(1, 101)}
    assert estimates == {q: QualityEstimate(q, 0.0) for q in range(1, 101)}


@pytest.mark.parametrize("quality", [5, 40, 85])
def test_perturbed_table_is_reported_as_nearest_with_its_misfit(quality: int) -> None:
    table = np.array(table_of(quality))
    perturbed = table.copy()
    perturbed[[3, 40]] += 1
    estimate = estimate_quality(perturbed.tolist())
    assert estimate.quality == quality
    assert estimate.misfit == pytest.approx((1 / table[3] + 1 / table[40]) / 64)


def test_table_of_another_kind_fits_badly() -> None:
    assert estimate_quality([16] * 64).misfit > 0.2


@pytest.mark.parametrize("sigma", [5, 15, 30, 50, 70])
def test_noise_is_estimated_within_a_twentieth(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(0, sigma / 255, (256, 256))
    noisy = (smooth_picture() + noise).astype(np.float32)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.05)


def test_smooth_picture_has_hardly_any_noise() -> None:
    assert estimate_sigma(smooth_picture().astype(np.float32)) < 0.1


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (9, 2)], ids=str)
def test_black_picture_has_no_noise(shape: tuple[int, int]) -> None:
    assert estimate_sigma(np.zeros(shape, np.float32)) == 0
