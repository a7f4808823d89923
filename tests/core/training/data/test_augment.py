"""What photographs lack: flat areas, white and black, drawings."""

from __future__ import annotations

import numpy as np

from memnet_core.training.data.augment import dim_patch, studio_range, synthetic_patch


def test_studio_range_maps_black_and_white_to_16_and_235() -> None:
    plane = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mapped = studio_range(plane)
    assert mapped.dtype == np.uint8
    assert (mapped.min(), mapped.max()) == (16, 235)
    np.testing.assert_allclose(mapped, 16 + plane * (219 / 255.0), atol=0.5)


def test_plain_patches_are_flat_cut_off_or_drawn() -> None:
    ramp = np.tile(np.arange(40, 140, dtype=np.uint8), (100, 1))
    kinds = {"flat": 0, "cut": 0, "drawn": 0}
    for seed in range(90):
        patch = synthetic_patch(ramp, np.random.default_rng(seed))
        assert patch.shape == ramp.shape
        assert patch.dtype == np.uint8
        if len(np.unique(patch)) == 1:
            kinds["flat"] += 1
        elif (np.diff(patch.astype(int), axis=1) >= 0).all():
            kinds["cut"] += 1
        else:
            kinds["drawn"] += 1
    assert min(kinds.values()) > 8


def test_cut_patches_reach_white_or_black() -> None:
    ramp = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (8, 1))
    ends = set()
    for seed in range(60):
        patch = synthetic_patch(ramp, np.random.default_rng(seed))
        if len(np.unique(patch)) > 30 and (np.diff(patch.astype(int)) >= 0).all():
            ends |= {end for end in (0, 255) if np.mean(patch == end) > 0.1}
    assert ends == {0, 255}


def test_plain_patches_of_a_color_network_are_colored_and_gray() -> None:
    photo = np.random.default_rng(2).integers(0, 256, (40, 48, 3), np.uint8)
    flat = set()
    for seed in range(120):
        patch = synthetic_patch(photo, np.random.default_rng(seed))
        assert patch.shape == photo.shape
        if len(tones := np.unique(patch.reshape(-1, 3), axis=0)) == 1:
            flat.add(len(np.unique(tones)) > 1)
    assert flat == {True, False}


def test_plain_patch_depends_on_its_random_numbers_alone() -> None:
    plane = np.zeros((20, 24), np.uint8)
    for seed in range(6):
        one, other = (synthetic_patch(plane, np.random.default_rng(seed)) for _ in "ab")
        np.testing.assert_array_equal(one, other)
    assert not plane.any()


def test_dim_patches_are_darker_and_keep_the_order_of_brightness() -> None:
    plane = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rng = np.random.default_rng(2)
    dimmed = [dim_patch(plane, rng).astype(int).ravel() for _ in range(40)]
    assert all(np.all(np.diff(values) >= 0) for values in dimmed)
    assert np.median([values.mean() for values in dimmed]) < 100
    assert min(values.max() - values.min() for values in dimmed) < 60


def test_flat_patches_are_exactly_flat_and_a_quarter_of_the_plain_ones() -> None:
    photo = np.random.default_rng(3).integers(0, 256, (32, 32), np.uint8)
    made = [synthetic_patch(photo, np.random.default_rng(seed)) for seed in range(400)]
    flat = [int(patch[0, 0]) for patch in made if np.ptp(patch) == 0]
    assert 0.2 < len(flat) / len(made) < 0.45
    assert 0.2 < np.mean(np.isin(flat, (0, 255))) < 0.95
    assert len(set(flat)) > 20
