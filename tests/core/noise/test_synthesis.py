"""Noise has the deviation that its map tells, whatever else it is like."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from memnet_core.noise.synthesis import Noise, add_noise, draw_noise
from memnet_core.training.data.gpu_degradations import add_noise as add_noise_to_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Made = tuple[NDArray[np.float64], NDArray[np.float64]]
    Make = Callable[[NDArray[np.uint8], Noise], Made]

VIGNETTE = (-1.0, -0.5, -0.2, 0.0)
HALVES = Noise(20, corners=(-0.7,) * 4, edge=0.4, ratio=2.0, is_upright=True)
KINDS = {
    "white": Noise(20),
    "blurred": Noise(20, 0.7, 0.7),
    "anisotropic": Noise(20, 0.4, 1.1),
    "photons": Noise(20, floor=0.02),
    "blurred photons": Noise(20, 0.9, 0.9, floor=0.1),
    "vignette": Noise(20, corners=VIGNETTE),
    "halves": HALVES,
    "halves of rows": HALVES._replace(is_upright=False),
    "rows": Noise(20, rows=0.4),
}
COUNT = 400
PATCH = 40


def ramp(*channels: int) -> NDArray[np.uint8]:
    """A patch of eight gray levels, 0 to 210, in columns."""
    row = np.repeat(np.arange(8) * 30, PATCH // 8).astype(np.uint8)
    plane = np.tile(row, (PATCH, 1))
    return (
        np.stack([plane // (n + 1) for n in range(*channels)], -1)
        if channels
        else plane
    )


def one_by_one(plane: NDArray[np.uint8], noise: Noise) -> Made:
    """Return the noise in many patches, and the map."""
    rng = np.random.default_rng(0)
    made = [add_noise(plane, noise, rng) for _ in range(COUNT)]
    return np.stack([noisy - plane for noisy, _ in made]), made[0][1]


def together(plane: NDArray[np.uint8], noise: Noise) -> Made:
    """Return the noise in a batch of patches, and the map."""
    planes = torch.from_numpy(np.moveaxis(np.atleast_3d(plane), -1, 0)).float()
    pixels = planes.expand(COUNT, -1, -1, -1)
    generator = torch.Generator().manual_seed(0)
    noisy, told = add_noise_to_batch(pixels, [noise] * COUNT, generator)
    added = (noisy - pixels).double().numpy().transpose(0, 2, 3, 1)
    return added.reshape(COUNT, *plane.shape), told[0, 0].double().numpy()


MAKERS = pytest.mark.parametrize("make", [one_by_one, together])


@MAKERS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "color"])
def test_deviation_of_noise_is_that_of_the_map(
    make: Make, kind: str, channels: tuple[int, ...]
) -> None:
    added, told = make(ramp(*channels), KINDS[kind])
    power = np.mean(added**2, axis=0)
    if channels:
        power = power.mean(axis=2)
    assert told.shape == (PATCH, PATCH)
    # 5 × 8 cells of 8 × 5 px, each of one gray level.
    cells = (PATCH // 8, 8, 8, PATCH // 8)
    measured = np.sqrt(power.reshape(cells).mean(axis=(1, 3)))
    expected = np.sqrt((told**2).reshape(cells).mean(axis=(1, 3)))
    np.testing.assert_allclose(measured, expected, rtol=0.05)
    assert abs(added.mean()) < 0.5


@MAKERS
@pytest.mark.parametrize("tone", [0, 10, 128, 255])
def test_map_of_a_flat_patch_without_variation_is_constant(
    make: Make, tone: int
) -> None:
    flat = np.full((PATCH, PATCH), tone, np.uint8)
    added, told = make(flat, Noise(15, 0.5, 0.5))
    np.testing.assert_allclose(told, 15, rtol=1e-6)
    assert added.std() == pytest.approx(15, rel=0.01)


@MAKERS
def test_variance_of_photon_noise_grows_in_proportion_to_the_signal(make: Make) -> None:
    added, told = make(ramp(), Noise(30, floor=0.1))
    signal = ramp()[0] / 210
    np.testing.assert_allclose(told[0] ** 2, 900 * (0.1 + 0.9 * signal), rtol=1e-4)
    variance = added.var(axis=(0, 1))
    np.testing.assert_allclose(variance, told[0] ** 2, rtol=0.1)


@MAKERS
@pytest.mark.parametrize("blur", [(0.0, 0.0), (0.5, 0.5), (1.1, 1.1), (0.4, 1.0)])
def test_neighbors_share_as_much_of_the_noise_as_the_blur_says(
    make: Make, blur: tuple[float, float]
) -> None:
    """A Gaussian of width s on white noise correlates pixels d apart by exp(-d²/4s²).

    Pixels sample it, so its spectrum ends at half a cycle a pixel.
    """
    added, _ = make(np.zeros((PATCH, PATCH), np.uint8), Noise(1, *blur))
    frequencies = np.linspace(-0.5, 0.5, 4001)
    for axis, width in ((1, blur[0]), (2, blur[1])):
        spectrum = np.exp(-4 * (math.pi * width * frequencies) ** 2)
        moved = np.moveaxis(added, axis, 0)
        for distance in (1, 2, 20):
            wave = np.cos(2 * math.pi * distance * frequencies)
            expected = np.average(wave, weights=spectrum)
            shared = np.mean(moved[distance:] * moved[:-distance])
            assert shared == pytest.approx(expected, abs=0.015)
    # Opposite borders have nothing in common.
    assert np.mean(added[:, 0] * added[:, -1]) == pytest.approx(0, abs=0.03)


@MAKERS
def test_rows_share_offsets_and_hot_pixels_are_bright(make: Make) -> None:
    flat = np.full((PATCH, PATCH), 90, np.uint8)
    added, _ = make(flat, Noise(10, rows=0.5))
    assert added.mean(axis=2).var() == pytest.approx(0.25 * 100, rel=0.15)
    assert added.mean(axis=1).var() < 5
    added, told = make(flat, Noise(10, hot=0.01))
    np.testing.assert_allclose(told, 10, rtol=1e-6)
    assert np.mean(added > 60) == pytest.approx(0.01 * math.exp(-1), rel=0.15)
    assert np.mean(added < -60) < 1e-5


@MAKERS
def test_misread_map_is_wrong_by_its_factor_and_the_noise_is_not(make: Make) -> None:
    misread = (math.log(1.3), 0.0, 0.0, -math.log(1.3))
    right = make(ramp(), Noise(20, floor=0.1, corners=VIGNETTE))
    wrong = make(ramp(), Noise(20, floor=0.1, corners=VIGNETTE, misread=misread))
    np.testing.assert_array_equal(right[0], wrong[0])
    factor = wrong[1] / right[1]
    corners = factor[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(corners, [1.3, 1, 1, 1 / 1.3], rtol=1e-5)
    assert (np.diff(factor, axis=1) < 0).all()


def test_drawn_noise_keeps_its_bounds_and_shares() -> None:
    drawn = [draw_noise(40, np.random.default_rng(seed)) for seed in range(4000)]
    shares: dict[str, tuple[Callable[[Noise], object], float]] = {
        "blurred": (lambda n: n.down > 0, 0.35),
        "anisotropic": (lambda n: n.down != n.across, 0.07),
        "photons": (lambda n: n.floor < 1, 0.3),
        "varying": (lambda n: np.ptp(n.gain(9, 9)) > 0, 0.15),
        "halves": (lambda n: n.ratio != 1, 0.075),
        "rows": (lambda n: n.rows > 0, 0.05),
        "hot": (lambda n: n.hot > 0, 0.05),
        "misread": (lambda n: any(n.misread), 0.2),
        "misread smoothly": (lambda n: len(set(n.misread)) > 1, 0.1),
        "white": (lambda n: n.is_white, 0.65 * 0.7 * 0.85 * 0.95**2),
    }
    for name, (has, share) in shares.items():
        assert np.mean([has(n) for n in drawn]) == pytest.approx(share, abs=0.025), name
    for noise in drawn:
        gain = noise.gain(32, 48)
        assert gain.shape == (32, 48)
        assert gain.max() <= 1.0001
        assert gain.min() > 0.33
        told = noise.misreading(32, 48)
        assert 1 / 1.3001 < told.min() <= told.max() < 1.3001
        assert all(0.35 <= w <= 1.1 for w in (noise.down, noise.across) if w)
    factors = [noise.misread[0] for noise in drawn if any(noise.misread)]
    assert np.mean(factors) == pytest.approx(0, abs=0.02)


def test_descriptions_follow_from_their_seed() -> None:
    seeds = range(50)
    first, again = (
        [draw_noise(9, np.random.default_rng(seed)) for seed in seeds] for _ in "ab"
    )
    assert first == again
    assert len(set(first)) > 30
    plane = ramp()
    made = [add_noise(plane, first[3], np.random.default_rng(s))[0] for s in (1, 1, 2)]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
