from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core.degradations import degrade
from memnet_core.errors import TrainingError
from memnet_core.training.data import TrainingImages, training_images
from memnet_core.training.samples import (
    GridPatches,
    RandomPatches,
    degraded_window,
    make_sampler,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

RNG = np.random.default_rng(5)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width), np.uint8)


def turns(plane: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.rot90(p, k) for p in (plane, plane.T) for k in range(4)]


@pytest.mark.parametrize(
    ("task", "level"), [("deblock", 30), ("sr", 2), ("sr", 3), ("sr", 4)]
)
@pytest.mark.parametrize("start", [(0, 0), (21, 42), (37, 5), (44, 60)])
def test_window_of_a_plane_is_that_of_the_plane_degraded_whole(
    task: str, level: float, start: tuple[int, int]
) -> None:
    plane = noise(73, 89)
    whole = plane[: 73 // 12 * 12, : 89 // 12 * 12] if task == "sr" else plane
    expected = degrade(whole, task, level, RNG)
    degraded, clean = degraded_window(whole, start, 16, task, level, RNG)
    window = np.s_[start[0] : start[0] + 16, start[1] : start[1] + 16]
    np.testing.assert_allclose(degraded, expected[window], atol=1e-9)
    np.testing.assert_array_equal(clean, plane[window])


def test_sample_is_a_function_of_seed_step_and_number(make_config: Make) -> None:
    images = training_images(make_config())
    first, again = (RandomPatches(make_config(seed=3), images) for _ in range(2))
    first.batch(0, 16, range(2))
    whole = first.batch(5, 16, range(4))
    for one, other in zip(whole, again.batch(5, 16, range(2, 4)), strict=True):
        assert one[2:].equal(other)
    assert not again.batch(6, 16, range(4))[1].equal(whole[1])
    other_seed = RandomPatches(make_config(seed=4), images)
    assert not other_seed.batch(5, 16, range(4))[1].equal(whole[1])


@pytest.mark.parametrize("task", ["deblock", "denoise", "sr"])
def test_batch_holds_degraded_and_clean_planes(make_config: Make, task: str) -> None:
    config = make_config(task=task)
    sampler = make_sampler(config, training_images(config))
    degraded, clean = sampler.batch(0, 16, range(3))
    assert degraded.shape == clean.shape == (3, 1, 16, 16)
    assert 0 <= float(clean.min()) < float(clean.max()) <= 1
    assert not degraded.equal(clean)


def test_patches_are_cropped_after_compression_at_any_block_phase(
    make_config: Make,
) -> None:
    plane = noise(24, 24)
    config = make_config(levels={"values": [30], "continuous": False})
    sampler = RandomPatches(config, TrainingImages([plane]))
    pairs = {
        clean[y : y + 16, x : x + 16].tobytes(): (
            degrade(np.ascontiguousarray(clean), "deblock", 30, RNG)[
                y : y + 16, x : x + 16
            ],
            (y, x),
        )
        for clean, y, x in product(turns(plane), range(8), range(8))
    }
    phases = set()
    for step in range(40):
        degraded, clean = (
            255 * t[0, 0].numpy() for t in sampler.batch(step, 16, range(1))
        )
        expected, phase = pairs[np.rint(clean).astype(np.uint8).tobytes()]
        np.testing.assert_array_equal(np.rint(degraded), expected)
        phases.add(phase)
    assert len(phases) > 20


def test_noise_of_a_batch_has_the_deviation_of_its_level(make_config: Make) -> None:
    config = make_config(task="denoise", levels={"values": [20], "continuous": False})
    sampler = RandomPatches(config, TrainingImages([np.full((64, 64), 99, np.uint8)]))
    degraded, clean = sampler.batch(0, 32, range(16))
    assert float((degraded - clean).std()) * 255 == pytest.approx(20, rel=0.03)


def test_pixels_of_the_small_image_begin_with_the_patch(make_config: Make) -> None:
    plane = noise(80, 80)
    config = make_config(task="sr", levels={"values": [2], "continuous": False})
    sampler = RandomPatches(config, TrainingImages([plane]))
    degraded, clean = (255 * t[0, 0].numpy() for t in sampler.batch(3, 16, range(1)))
    [(turned, y, x)] = [
        (turned, y, x)
        for turned in turns(plane)
        for y, x in product(range(65), range(65))
        if np.array_equal(turned[y : y + 16, x : x + 16], np.rint(clean))
    ]
    aligned = turned[y % 2 :, x % 2 :]
    aligned = aligned[: len(aligned) // 2 * 2, : aligned.shape[1] // 2 * 2]
    expected = degrade(aligned, "sr", 2, RNG)
    y, x = y // 2 * 2, x // 2 * 2
    np.testing.assert_allclose(degraded, expected[y : y + 16, x : x + 16], atol=1e-2)


def test_pairs_are_cropped_alike(make_config: Make) -> None:
    clean = noise(40, 50) // 2
    config = make_config(task="denoise")
    sampler = RandomPatches(config, TrainingImages([clean], [clean + 100]))
    degraded, target = sampler.batch(0, 16, range(4))
    assert float((degraded - target - 100 / 255).abs().max()) < 1e-6


def test_epoch_holds_every_patch_of_the_grid_once(make_config: Make) -> None:
    config = make_config(
        stride=21,
        phases=[{"until": 1, "patch": 31, "batch": 8}],
        levels={"values": [10, 20], "continuous": False},
    )
    plane = noise(60, 80)
    sampler = GridPatches(config, TrainingImages([plane]))
    assert sampler.steps_per_epoch == 2 * 3 * 8 * 2 // 8
    seen = []
    for step in range(sampler.steps_per_epoch):
        _, clean = sampler.batch(step, 31, range(8))
        seen += [np.rint(255 * c[0].numpy()).astype(np.uint8).tobytes() for c in clean]
    expected = [
        np.ascontiguousarray(turned[y : y + 31, x : x + 31]).tobytes()
        for turned in turns(plane)
        for y in range(0, turned.shape[0] - 30, 21)
        for x in range(0, turned.shape[1] - 30, 21)
    ]
    assert sorted(seen) == sorted(expected * 2)


def test_epochs_are_shuffled_anew(make_config: Make) -> None:
    config = make_config(stride=21, phases=[{"until": 1, "patch": 31, "batch": 8}])
    sampler = GridPatches(config, TrainingImages([noise(60, 80)]))
    first = sampler.batch(0, 31, range(8))[1]
    second = sampler.batch(sampler.steps_per_epoch, 31, range(8))[1]
    assert not first.equal(second)


@pytest.mark.parametrize(("stride", "least"), [(None, 104), (21, 111)])
def test_images_smaller_than_a_patch_are_refused(
    make_config: Make, stride: int | None, least: int
) -> None:
    config = make_config(stride=stride, phases=[{"until": 1, "patch": 96, "batch": 1}])
    with pytest.raises(TrainingError, match=f"at least {least} px"):
        make_sampler(config, training_images(config))
