"""The noise as it is read of pictures of which it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from skimage.filters import gaussian

from memnet_core.inference.noise_map import (
    NoiseCurve,
    NoiseMap,
    Readings,
    readings_of,
)
from memnet_core.noise.file import shipped_noise_network
from memnet_core.noise.network import noise_map

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

NETWORK = shipped_noise_network()


def smooth(height: int = 256, width: int = 256) -> NDArray[np.float64]:
    y, x = np.mgrid[:height, :width]
    picture: NDArray[np.float64] = 0.5 + 0.3 * np.sin(x / 40) * np.cos(y / 60)
    return picture


def noisy(sigma: float, clean: NDArray[np.float64], seed: int = 0) -> Plane:
    noise = np.random.default_rng(seed).normal(0, sigma / 255, clean.shape)
    return (clean + noise).astype(np.float32)


def level(*planes: Plane) -> float:
    read = readings_of(NETWORK, planes)
    return read.level(read.curve())


@pytest.mark.parametrize("sigma", [3, 5, 15, 30, 50, 70])
def test_noise_is_read_within_a_sixth(sigma: float) -> None:
    assert level(noisy(sigma, smooth())) == pytest.approx(sigma, rel=1 / 6)


def test_texture_hardly_counts_where_there_are_quiet_parts() -> None:
    clean = smooth()
    clean[:100] += 0.1 * np.sin(np.arange(256) * 1.3)
    assert level(noisy(5, clean)) == pytest.approx(5, rel=0.2)


def test_smooth_pictures_have_no_noise() -> None:
    rounded = np.rint(255 * smooth()) / 255
    assert level(rounded.astype(np.float32)) < 0.5


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (9, 2)], ids=str)
def test_black_pictures_have_no_noise(shape: tuple[int, int]) -> None:
    assert level(np.zeros(shape, np.float32)) == 0


@pytest.mark.parametrize(("sigma", "most"), [(3, 4.5), (10, 12)])
def test_noise_of_photographs_is_read(
    shared_data: Path, sigma: float, most: float
) -> None:
    found = []
    for number, file in enumerate(sorted((shared_data / "bench/Set12").glob("*.png"))):
        with Image.open(file) as picture:
            clean = np.asarray(picture.convert("L"), np.float64) / 255
        found.append(level(noisy(sigma, clean, number)))
    assert 0.9 * sigma < np.median(found) < most


def test_noise_that_grows_is_a_curve_that_rises() -> None:
    clean = np.tile(np.linspace(0.1, 0.9, 512), (512, 1))
    noise = np.random.default_rng(0).normal(0, 0.1 * clean)
    curve = readings_of(NETWORK, [(clean + noise).astype(np.float32)]).curve()
    means = np.array([50.0, 100.0, 200.0])
    np.testing.assert_allclose(curve(means), 0.1 * means, rtol=0.2)
    assert NoiseCurve.model_validate_json(curve.model_dump_json()) == curve


@pytest.mark.parametrize(("blur", "shared"), [(0.0, False), (0.6, True)])
def test_shared_noise_is_told_by_its_finest_details(blur: float, shared: bool) -> None:
    noise = np.random.default_rng(0).normal(0, 1, (256, 256))
    blurred = gaussian(noise, blur, mode="wrap")  # type: ignore[no-untyped-call]
    spread = blurred if blur else noise
    plane = (smooth() + 10 / 255 * spread / spread.std()).astype(np.float32)
    diagonal = plane[::2, ::2] - plane[::2, 1::2] - plane[1::2, ::2] + plane[1::2, 1::2]
    finest = 255 * float(diagonal.std()) / 2
    read = readings_of(NETWORK, [plane])
    assert read.is_shared(lambda means: np.full_like(means, finest)) is shared
    assert not Readings(np.empty(0), np.empty(0)).is_shared(np.ones_like)


def mapped(plane: Plane, columns: slice | None = None) -> NoiseMap:
    height, width = plane.shape
    curve = readings_of(NETWORK, [plane]).curve()
    found = NoiseMap(
        lambda rows: plane[None, None, rows, found.seen],
        (height, width),
        columns or slice(0, width),
        NETWORK,
        curve,
    )
    return found


def test_noise_is_where_it_is() -> None:
    clean = smooth(384, 400)
    plane = noisy(4, clean)
    plane[200:] = noisy(16, clean)[200:]
    sigma = mapped(plane).sigma(slice(0, 384))[0, 0]
    assert sigma.shape == plane.shape
    assert sigma[:100].mean() < 0.6 * sigma[300:].mean()


def test_what_reads_as_clean_is_told_as_clean() -> None:
    plane = noisy(20, smooth(384, 256))
    plane[-64:] = 0.5
    plane[-40:-24, 40:200:6] = 1
    alone = noise_map(NETWORK, plane)[-6:-2, 4:26]
    told = mapped(plane).sigma(slice(336, 368))[0, 0, :, 48:200]
    assert told.max() < max(1.6 * alone.max(), 3)


def test_windows_hold_what_the_whole_holds() -> None:
    plane = noisy(12, smooth(421, 390))
    plane[100:180, 200:280] = 0.25
    whole = mapped(plane)
    sigma = whole.sigma(slice(0, 421))
    still = whole.still(slice(0, 421), slice(0, 390))
    for columns in (slice(0, 390), slice(131, 200), slice(250, 390)):
        part = mapped(plane, columns)
        for rows in (slice(0, 50), slice(50, 261), slice(261, 421)):
            np.testing.assert_array_equal(part.sigma(rows), sigma[..., rows, columns])
            np.testing.assert_array_equal(
                part.still(rows, columns), still[rows, columns]
            )


def test_areas_of_one_value_are_still() -> None:
    plane = noisy(12, smooth())
    plane[64:128, 96:160] = 0.25
    plane[200:208, 200:208] = 0.75  # as large as a cell: by chance, at few photons
    plane[61:64, 96:160] = 0.25
    still = mapped(plane).still(slice(0, 256), slice(0, 256))
    expected = np.zeros(plane.shape, bool)
    expected[61:128, 96:160] = True
    np.testing.assert_array_equal(still, expected)
