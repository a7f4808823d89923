"""Pairs beyond 8 bits: mapped as the degraded one is when it is restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from memnet_core.inference.scaling import AnscombeScaling
from memnet_core.training.data.images import TrainingImages, read_pairs, training_images
from memnet_core.training.data.sampler import RandomPatches
from memnet_core.training.loop import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

GAIN, BLACK = 4, 100
ELECTRONS = np.repeat(np.linspace(1, 60, 16), 16)[None].repeat(256, 0)
"""Steps of 16 columns, from 1 photo-electron to 60."""


def camera(seed: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(ELECTRONS) + rng.normal(0, 0.5, ELECTRONS.shape)
    return np.rint(BLACK + GAIN * counts).clip(0).astype(np.uint16)


def clean() -> NDArray[np.float32]:
    return (BLACK + GAIN * ELECTRONS).astype(np.float32)


def folders(
    tmp_path: Path, low: NDArray[np.generic], high: NDArray[np.generic]
) -> tuple[Path, Path]:
    for name, pixels in (("low", low), ("high", high)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", pixels)
    return tmp_path / "low", tmp_path / "high"


def denoising(
    make_config: Make, pairs: tuple[Path, Path], **more: object
) -> TrainingConfig:
    return make_config(data=(), pairs=pairs, task="denoise", **more)


def test_partner_is_mapped_by_the_range_of_the_degraded_one(
    make_config: Make, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(1000, 9000, (16, 16)), np.ones((16, 16)))
    noisy = picture + rng.normal(0, 900, picture.shape)
    pairs = folders(
        tmp_path, noisy.clip(0).astype(np.uint16), picture.astype(np.uint16)
    )
    (pair,) = read_pairs(*pairs, denoising(make_config, pairs))
    slope = np.polyfit(pair.clean.ravel(), pair.degraded.ravel(), 1)[0]
    assert slope == pytest.approx(1, abs=0.02)


def test_clean_partner_of_photons_is_where_the_mean_of_noisy_ones_is(
    make_config: Make, tmp_path: Path
) -> None:
    pairs = folders(tmp_path, camera(1), clean())
    (pair,) = read_pairs(*pairs, denoising(make_config, pairs))
    steps = [slice(16 * n, 16 * n + 16) for n in range(16)]
    bias = [pair.degraded[:, s].mean() - pair.clean[:, s].mean() for s in steps]
    noise = np.mean([pair.degraded[:, s].std() for s in steps[4:]])
    # 4096 pixels a step; a mean that is not stabilized lies 0.02 to 0.2 σ higher.
    assert np.abs(bias).max() < 0.06 * noise


def test_noise_of_photons_is_the_same_everywhere_in_both_of_two_noisy_images(
    make_config: Make, tmp_path: Path
) -> None:
    pairs = folders(tmp_path, camera(1), camera(2))
    (pair,) = read_pairs(*pairs, denoising(make_config, pairs))
    for plane in (pair.degraded, pair.clean):
        spread = [plane[:, 16 * n : 16 * n + 16].std() for n in (4, 9, 15)]
        assert max(spread) / min(spread) < 1.1
    assert pair.degraded.mean() == pytest.approx(pair.clean.mean(), abs=0.5)


def test_level_map_is_told_the_noise_of_each_image(
    make_config: Make, tmp_path: Path
) -> None:
    pairs = folders(tmp_path, camera(1), camera(2))
    shape = {
        "memory_blocks": 1,
        "recursions": 1,
        "channels": 4,
        "unshuffle": 1,
        "level_map": True,
    }
    config = denoising(make_config, pairs, architecture=shape)
    images = training_images(config)
    assert images.degraded is not None
    (level,) = images.levels
    flat = images.degraded[0][:, 128:144]
    assert level == pytest.approx(flat.std(), rel=0.1)
    degraded, _ = RandomPatches(config, images).batch(0, 16, range(2))
    assert degraded.shape == (2, 2, 16, 16)
    np.testing.assert_allclose(degraded[:, 1].numpy(), level / 255, rtol=1e-6)
    events = list(Trainer(config, "cpu").run())
    assert events


def test_levels_stay_with_their_images_where_small_ones_are_left_out() -> None:
    planes = [np.zeros((side, side), np.uint8) for side in (4, 40, 50)]
    images = TrainingImages(planes, planes, [1.0, 2.0, 3.0])
    assert images.fitted(16)[0].levels == [2.0, 3.0]


def test_forward_mean_is_what_the_unbiased_inverse_leads_back_from() -> None:
    scaling = AnscombeScaling(low=BLACK, high=500, gain=GAIN, black=BLACK, read_noise=2)
    values = np.array([BLACK, 102, 110, 150, 219, 221, 400.0])
    after = scaling.forward_mean(values)
    noisy = values + 7  # anything: the result is what the network says
    restored = noisy + scaling.inverse_difference(noisy, after)
    np.testing.assert_allclose(restored, values, atol=0.02 * GAIN)
