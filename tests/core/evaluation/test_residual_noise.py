"""What was removed: whether it is noise, by its strength, whiteness and structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage.filters import gaussian

from memnet_core import residual_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

blur: Any = gaussian


def clean() -> NDArray[np.float64]:
    y, x = np.mgrid[:160, :160]
    disks = (np.hypot(y % 40 - 20, x % 40 - 20) < 9).astype(float)
    return np.asarray(200 + 300 * blur(disks, 1.0))


def white(sigma: float) -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(0, sigma, (160, 160))


def test_noise_that_was_removed_is_white_and_as_strong_as_noise() -> None:
    found = residual_of(clean() + white(20), clean())
    assert found.removed.std() == pytest.approx(1, rel=0.07)
    assert max(abs(found.across), abs(found.down)) < found.chance
    assert abs(found.structure) < found.chance
    assert found.correlation.shape == (15, 15)
    assert found.correlation[7, 7] == pytest.approx(1)
    assert found.chance == pytest.approx(3 / 160)
    assert found.noise.startswith("σ 2")


def test_noise_of_photons_counts_the_same_in_bright_parts() -> None:
    electrons = (clean() - 195) / 4
    noisy = 100 + 4 * np.random.default_rng(2).poisson(electrons)
    found = residual_of(noisy, 100 + 4 * electrons)
    assert "values per photo-electron" in found.noise
    bright = electrons > 50
    for part in (bright, ~bright):
        assert found.removed[part].std() == pytest.approx(1, rel=0.15)


def test_structure_that_was_removed_is_told() -> None:
    blurred = blur(clean(), 1.5)
    found = residual_of(clean() + white(10), blurred)
    assert found.structure > 10 * found.chance
    assert min(found.across, found.down) > 10 * found.chance


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_that_were_removed_correlate_along_them(axis: int) -> None:
    rows = np.random.default_rng(3).normal(0, 20, 160)
    noise = white(10) + (rows[:, None] if axis == 0 else rows)
    found = residual_of(clean() + noise, clean())
    along, beside = (found.across, found.down)[:: 1 if axis == 0 else -1]
    assert along > 0.3
    assert abs(beside) < 0.2


def test_it_is_said_in_words() -> None:
    noise, strength, whiteness, structure = residual_of(
        clean() + white(20), clean()
    ).words()
    assert noise.startswith("noise: σ ")
    assert strength.startswith("strength: ")
    assert " across and " in whiteness
    assert structure.endswith("with details of the result")


def test_nothing_removed_and_values_that_are_not_finite_are_no_structure() -> None:
    noisy = clean() + white(20)
    found = residual_of(noisy, noisy)
    assert (found.across, found.down, found.structure) == (0, 0, 0)
    noisy[3, 4] = np.nan
    assert np.isfinite(residual_of(noisy, clean()).correlation).all()
