from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from memnet_core.errors import TrainingError
from memnet_core.tasks import TASKS
from memnet_core.training.data.images import TrainingImages, training_images
from memnet_core.training.data.sampler import (
    GridPatches,
    RandomPatches,
    degraded_window,
    make_sampler,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    expected = TASKS[task].degrade(whole, level, RNG)
    degraded, clean = degraded_window(whole, start, 16, TASKS[task], level, RNG)
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


@pytest.mark.parametrize("task", ["deblock", "denoise", "sr"])
def test_batch_for_a_color_network_holds_colors_and_the_level(
    make_config: Make, tmp_path: Path, task: str
) -> None:
    folder = tmp_path / "color"
    folder.mkdir()
    Image.fromarray(
        np.random.default_rng(4).integers(0, 256, (96, 96, 3), np.uint8)
    ).save(folder / "a.png")
    config = make_config(
        task=task,
        data=[folder],
        plain_share=0,
        architecture={"memory_blocks": 1, "image_channels": 3, "level_map": True},
    )
    images = training_images(config)
    assert {plane.shape[2:] for plane in images.clean} == {(3,)}
    degraded, clean = make_sampler(config, images).batch(0, 16, range(6))
    assert (degraded.shape, clean.shape) == ((6, 4, 16, 16), (6, 3, 16, 16))
    assert not degraded[:, :3].equal(clean)
    assert all(len(level.unique()) == 1 for level in degraded[:, 3])
    # Colors differ, and each is degraded by itself.
    assert float((clean[:, 0] - clean[:, 2]).abs().mean()) > 0.02
    change = (degraded[:, :3] - clean).flatten(2)
    assert not change[:, 0].equal(change[:, 2])


@pytest.mark.parametrize("start", [(0, 0), (21, 42), (37, 5), (15, 63)])
def test_window_of_a_color_jpeg_is_that_of_the_picture_compressed_whole(
    start: tuple[int, int],
) -> None:
    smooth = np.stack([noise(80, 96).astype(float) for _ in range(3)], -1)
    picture = smooth.astype(np.uint8)
    picture[..., 1] = picture[::-1, :, 1]
    for seed in range(4):  # both kinds of chroma
        expected = TASKS["deblock"].degrade(picture, 20, np.random.default_rng(seed))
        degraded, _ = degraded_window(
            picture, start, 16, TASKS["deblock"], 20, np.random.default_rng(seed)
        )
        window = np.s_[start[0] : start[0] + 16, start[1] : start[1] + 16]
        np.testing.assert_array_equal(degraded, expected[window])


def test_patches_are_cropped_after_compression_at_any_block_phase(
    make_config: Make,
) -> None:
    plane = noise(36, 36)
    config = make_config(
        levels={"values": [30], "continuous": False},
        luminance="studio",
        plain_share=0,
    )
    sampler = RandomPatches(config, TrainingImages([plane]))
    pairs = {
        clean[y : y + 16, x : x + 16].tobytes(): (
            TASKS["deblock"].degrade(np.ascontiguousarray(clean), 30, RNG)[
                y : y + 16, x : x + 16
            ],
            (y, x),
        )
        for clean, y, x in product(turns(plane), range(2, 18), range(2, 18))
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
    config = make_config(
        task="sr",
        levels={"values": [2], "continuous": False},
        luminance="studio",
        plain_share=0,
    )
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
    expected = TASKS["sr"].degrade(aligned, 2, RNG)
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


@pytest.mark.parametrize(("stride", "side"), [(None, 212), (21, 192)])
def test_images_smaller_than_half_of_what_a_patch_needs_are_refused(
    make_config: Make, stride: int | None, side: int
) -> None:
    phases = [{"until": 1, "patch": 192, "batch": 1}]
    config = make_config(stride=stride, phases=phases)
    images = TrainingImages([noise(300, side // 2 - 1)])
    with pytest.raises(TrainingError, match=f"at least {side // 2} px, half"):
        make_sampler(config, images)
    make_sampler(config, TrainingImages([noise(300, side // 2)]))


def test_small_images_are_extended_and_tiny_ones_named(make_config: Make) -> None:
    phases = [{"until": 1, "patch": 64, "batch": 1}]
    config = make_config(task="denoise", phases=phases)
    sides = [(200, 200), (60, 90), (90, 32), (31, 200), (10, 10)]
    images = TrainingImages([noise(*shape) for shape in sides])
    sampler = RandomPatches(config, images)
    assert sampler.images == 3
    assert sampler.remark == (
        "2 of 5 images to train on are left out: they have a side of less than 32 px, "
        "half of the 64 px around a patch. 2 images to train on have a side of less "
        "than 64 px, and are extended by reflection."
    )
    assert RandomPatches(config, TrainingImages([noise(64, 64)])).remark == ""


def test_extended_images_are_reflected(make_config: Make) -> None:
    plane = noise(9, 30)
    pair = TrainingImages([plane], [plane // 2])
    fitted, _ = pair.fitted(16)
    assert fitted.degraded is not None
    for extended, original in (
        (fitted.clean[0], plane),
        (fitted.degraded[0], plane // 2),
    ):
        assert extended.shape == (16, 30)
        np.testing.assert_array_equal(extended[:9], original)
        np.testing.assert_array_equal(extended[9:], original[:1:-1])
    phases = [{"until": 1, "patch": 16, "batch": 1}]
    config = make_config(data=(), pairs=("a", "b"), task="denoise", phases=phases)
    degraded, clean = RandomPatches(config, pair).batch(0, 16, range(4))
    halves = np.floor(np.rint(255 * clean.numpy()) / 2)
    np.testing.assert_allclose(255 * degraded.numpy(), halves, atol=1e-3)


def test_grid_refuses_patches_of_another_size_than_its_own(make_config: Make) -> None:
    config = make_config(stride=21, phases=[{"until": 1, "patch": 31, "batch": 8}])
    sampler = GridPatches(config, TrainingImages([noise(60, 80)]))
    assert sampler.batch(0, 31, range(2))[1].shape == (2, 1, 31, 31)
    with pytest.raises(ValueError, match="patches of 31 px, not 16"):
        sampler.batch(0, 16, range(2))


@pytest.mark.parametrize("stride", [None, 21])
def test_level_map_holds_the_value_of_the_level(
    make_config: Make, stride: int | None
) -> None:
    settings: dict[str, Any] = {
        "stride": stride,
        "phases": [{"until": 1, "patch": 31, "batch": 8}],
        "levels": {"values": [10, 40], "continuous": False},
    }
    config, blind = (
        make_config(architecture={"unshuffle": 1, "level_map": told}, **settings)
        for told in (True, False)
    )
    images = TrainingImages([noise(80, 80)])
    degraded, clean = make_sampler(config, images).batch(0, 31, range(8))
    assert degraded.shape == (8, 2, 31, 31)
    expected = {np.float32(TASKS["deblock"].level_map_value(q)) for q in (10, 40)}
    found = [np.unique(plane.numpy()) for plane in degraded[:, 1]]
    assert all(len(values) == 1 for values in found)
    assert {values[0] for values in found} == expected
    without, same = make_sampler(blind, images).batch(0, 31, range(8))
    assert same.equal(clean)
    assert without.equal(degraded[:, :1])


def test_chroma_has_a_level_of_its_own_and_gray_pictures_none(
    make_config: Make,
) -> None:
    config = make_config(
        architecture={
            "unshuffle": 1,
            "level_map": True,
            "image_channels": 3,
            "chroma_level": True,
        },
        phases=[{"until": 1, "patch": 32, "batch": 8}],
    )
    images = TrainingImages([np.stack([noise(80, 80)] * 3, -1) // [1, 2, 3]])
    images.clean[0] = images.clean[0].astype(np.uint8)
    degraded, clean = make_sampler(config, images).batch(0, 32, range(200))
    assert degraded.shape == (200, 5, 32, 32)
    levels = degraded[:, 3:, 0, 0]
    assert 0.1 < float((levels[:, 0] != levels[:, 1]).float().mean()) < 0.3
    neutral = (clean[:, 0] == clean[:, 1]).all(-1).all(-1)
    assert 0.05 < float(neutral.float().mean()) < 0.3
    # A gray picture stays gray as a JPEG.
    assert degraded[neutral, 0].equal(degraded[neutral, 2])


def test_half_of_the_patches_are_in_studio_range_where_both_are_learned(
    make_config: Make,
) -> None:
    plane = np.zeros((64, 64), np.uint8)
    plane[:, 32:] = 255
    images = TrainingImages([plane])

    def lowest(**settings: object) -> list[int]:
        config = make_config(plain_share=0, **settings)
        _, clean = make_sampler(config, images).batch(0, 16, range(200))
        return [int(np.rint(255 * float(patch.min()))) for patch in clean]

    both = lowest(luminance="both")
    assert set(both) <= {0, 16, 235, 255}
    share = np.mean([value in (16, 235) for value in both])
    assert share == pytest.approx(0.5, abs=0.12)
    assert set(lowest(luminance="studio")) <= {0, 255}
    assert set(lowest(task="denoise", luminance="both")) <= {0, 255}


def test_share_of_plain_patches_is_that_of_the_setting(make_config: Make) -> None:
    images = TrainingImages([noise(64, 64)])
    config = make_config(plain_share=0.3, luminance="studio")
    _, clean = make_sampler(config, images).batch(0, 16, range(300))
    known = {turned.tobytes() for turned in _cells(images.clean[0])}
    pixels = np.rint(255 * clean.numpy()[:, 0]).astype(np.uint8)
    plain = [patch[:2, :2].tobytes() not in known for patch in pixels]
    assert np.mean(plain) == pytest.approx(0.3, abs=0.09)


def _cells(plane: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """All 2×2 cells of a plane, in all orientations."""
    return [
        np.ascontiguousarray(turned[y : y + 2, x : x + 2])
        for turned in turns(plane)
        for y in range(turned.shape[0] - 1)
        for x in range(turned.shape[1] - 1)
    ]


def test_share_of_dim_patches_is_that_of_the_setting(make_config: Make) -> None:
    images = TrainingImages([np.full((64, 64), 200, np.uint8)])
    config = make_config(
        task="denoise",
        levels={"values": [5], "continuous": False},
        dim_share=0.3,
        plain_share=0,
    )
    _, clean = make_sampler(config, images).batch(0, 16, range(300))
    dim = 255 * clean.numpy().max(axis=(1, 2, 3)) < 199
    assert np.mean(dim) == pytest.approx(0.3, abs=0.09)


def test_noise_of_a_correlated_grain_is_shared_by_neighbors(make_config: Make) -> None:
    levels = {"values": [40], "continuous": False}
    config = make_config(task="denoise", grain="correlated", levels=levels)
    images = TrainingImages([np.full((96, 96), 99, np.uint8)])
    degraded, clean = make_sampler(config, images).batch(0, 32, range(32))
    noise = 255 * (degraded - clean)
    shared = (noise[..., 1:] * noise[..., :-1]).mean(dim=(1, 2, 3)) / 40**2
    assert float(noise.std()) == pytest.approx(40, rel=0.1)
    assert float(shared.max()) > 0.5
    assert float(shared.min()) < 0.1


def test_flat_patches_have_the_noise_of_the_task(make_config: Make) -> None:
    config = make_config(
        task="denoise",
        noise="all",
        levels={"values": [25], "continuous": False},
        plain_share=1,
        architecture={"unshuffle": 1, "level_map": True},
    )
    images = TrainingImages([noise(64, 64)])
    degraded, clean = make_sampler(config, images).batch(0, 24, range(80))
    flat = clean.flatten(1).std(1) == 0
    assert int(flat.sum()) > 15
    added = (degraded[flat, 0] - clean[flat, 0]).flatten(1).std(1)
    told = degraded[flat, 1].square().flatten(1).mean(1).sqrt()
    assert float((added / told).min()) > 0.65
    assert float((added / told).median()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("task", "level"), [("deblock", 20), ("sr", 2), ("sr", 3)])
def test_share_of_patches_at_borders_has_nothing_beyond_them(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, task: str, level: int
) -> None:
    at: list[tuple[int, int]] = []

    def recorded(plane: Any, start: tuple[int, int], patch: int, *rest: Any) -> Any:
        ends = zip(start, plane.shape, strict=True)
        y, x = ((s + patch == n) - (s == 0) for s, n in ends)
        at.append((int(y), int(x)))
        return degraded_window(plane, start, patch, *rest)

    monkeypatch.setattr("memnet_core.training.data.sampler.degraded_window", recorded)
    for share in (0, 0.5):
        config = make_config(
            task=task,
            levels={"values": [level], "continuous": False},
            plain_share=0.2,
            border_share=share,
        )
        sampler = RandomPatches(config, TrainingImages([noise(90, 90)]))
        at.clear()
        degraded, clean = sampler.batch(0, 16, range(200))
        assert degraded.shape == clean.shape == (200, 1, 16, 16)
        # 16 px hold no whole number of pixels of a picture three times smaller, so
        # that there is no border behind them.
        behind = 8 if level != 3 else 3
        touching = share if behind == 8 else share * 5 / 8
        assert np.mean([place != (0, 0) for place in at]) == pytest.approx(
            touching, abs=0.1
        )
        assert len({*at} - {(0, 0)}) == (behind if share else 0)
