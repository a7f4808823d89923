"""A JPEG of a JPEG bears the marks of both, and its batches are those of Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from memnet_core.image_ops.metrics import psnr
from memnet_core.tasks.deblock import jpeg
from memnet_core.training.data import gpu_degradations
from memnet_core.training.data.gpu_sampler import DevicePatches
from memnet_core.training.data.images import TrainingImages
from memnet_core.training.data.jpeg_histories import (
    JpegHistory,
    compress_twice,
    draw_history,
)
from memnet_core.training.data.sampler import RandomPatches

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

ONCE = JpegHistory(95, (0, 0), 1.0, (False, False))
SHIFTED = JpegHistory(80, (3, 6), 1.0, (False, True))
SHRUNK = JpegHistory(70, (5, 15), 0.6, (False, False))
ENLARGED = JpegHistory(90, (9, 1), 1.4, (True, False))


def scene(height: int, width: int, channels: int | None = None) -> NDArray[np.uint8]:
    """A picture with structure of many sizes."""
    rng = np.random.default_rng(height)
    mixed = np.zeros((height, width, channels or 1))
    for cell, strength in ((3, 15), (6, 25), (24, 60)):
        shape = (height // cell + 1, width // cell + 1, channels or 1)
        coarse = rng.uniform(-1, 1, shape).repeat(cell, 0).repeat(cell, 1)
        mixed += strength * coarse[:height, :width]
    pixels = np.clip(128 + mixed, 0, 255).astype(np.uint8)
    return pixels if channels else pixels[..., 0]


def edges_by_phase(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean step between columns, by their number modulo 8."""
    steps = np.abs(np.diff(plane, axis=1)).mean(axis=0)
    return np.array([steps[phase::8].mean() for phase in range(8)])


def test_blocks_of_the_first_grid_begin_where_the_shift_says() -> None:
    smooth = np.tile(np.linspace(20, 230, 128).astype(np.uint8), (128, 1))
    smooth = smooth + np.random.default_rng(0).integers(0, 6, smooth.shape, np.uint8)
    for across in (0, 3, 6, 11):
        history = JpegHistory(97, (0, across), 1.0, (False, False))
        degraded, clean = compress_twice(smooth, 8, history)
        np.testing.assert_array_equal(clean, smooth)
        phase = (7 - across) % 8  # of the step into a new block
        assert np.argmax(edges_by_phase(degraded)) == phase


@pytest.mark.parametrize("channels", [None, 3])
def test_last_compression_adds_to_the_first(channels: int | None) -> None:
    clean = scene(96, 112, channels)
    degraded, _ = compress_twice(clean, 20, ONCE)
    once = jpeg(clean, 20)
    assert psnr(clean, degraded) == pytest.approx(psnr(clean, once), abs=0.6)
    assert psnr(once, degraded) > psnr(clean, degraded) + 3
    assert psnr(clean, jpeg(clean, 95)) > psnr(clean, degraded) + 3


@pytest.mark.parametrize("history", [SHRUNK, ENLARGED])
def test_clean_picture_of_a_resized_one_is_resized_alike(history: JpegHistory) -> None:
    plane = scene(90, 100)
    degraded, clean = compress_twice(plane, 95, history._replace(quality=98))
    assert degraded.shape == clean.shape == plane.shape
    assert psnr(clean, degraded) > psnr(plane, degraded)
    assert psnr(clean, degraded) > 32


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("history", [ONCE, SHIFTED, SHRUNK, ENLARGED])
@pytest.mark.parametrize("quality", [10, 40, 69])
def test_batches_are_those_of_pillow_within_roundings(
    channels: int | None, history: JpegHistory, quality: int
) -> None:
    small = scene(20, 24, channels)
    image = Image.fromarray(small).resize((121, 90), Image.Resampling.BICUBIC)
    plane = np.array(image)
    expected, clean = compress_twice(plane, quality, history)
    other = history._replace(shift=(1, 2))
    planes = torch.from_numpy(np.moveaxis(np.atleast_3d(plane), -1, 0)).float()
    made, same = gpu_degradations.compress_twice(
        planes.expand(2, -1, -1, -1), [quality, quality], [history, other]
    )
    for batch, one in ((made, expected), (same, clean)):
        shown = batch[0].numpy().transpose(1, 2, 0).reshape(one.shape)
        assert np.abs(shown - one).mean() < 0.4
    assert not made[0].equal(made[1])


def test_histories_keep_their_bounds_and_follow_from_their_seed() -> None:
    rngs = (np.random.default_rng(seed) for seed in range(1500))
    drawn = [draw_history(30, is_color=True, rng=rng) for rng in rngs]
    again = draw_history(30, is_color=True, rng=np.random.default_rng(7))
    assert drawn[7] == again
    made = [history for history in drawn if history]
    assert len(made) == 1500
    qualities = [history.quality for history in made]
    assert (min(qualities), max(qualities)) == (31, 98)
    assert {history.shift[0] for history in made} == set(range(16))
    scales = [history.scale for history in made if history.scale != 1]
    assert len(scales) / 1500 == pytest.approx(0.25, abs=0.04)
    assert 0.5 <= min(scales) < 0.6 < 1.4 < max(scales) <= 1.5
    whole = np.mean([history.whole_chroma for history in made], axis=0)
    np.testing.assert_allclose(whole, 0.25, atol=0.05)
    gray = draw_history(30, is_color=False, rng=np.random.default_rng(7))
    assert gray is not None
    assert gray.whole_chroma == (False, False)
    assert draw_history(98, is_color=True, rng=np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("channels", "share"), [(None, 0.4), (3, 0.4 + 0.6 * 2 * 0.25 * 0.75)]
)
def test_share_of_samples_was_saved_twice_in_both_samplers(
    make_config: Make, channels: int | None, share: float
) -> None:
    """In color, the others may keep their chroma or lose it where it was not so."""
    settings = {
        "levels": {"values": [10], "continuous": False},
        "plain_share": 0,
        "border_share": 0.2,
        "luminance": "studio",
        "architecture": {"unshuffle": 1, "image_channels": channels or 1},
    }
    images = TrainingImages([scene(120, 130, channels)])
    config = make_config(**settings, history_share=0.4)
    degraded, clean = RandomPatches(config, images).batch(0, 16, range(60))
    made, same = DevicePatches(config, images, torch.device("cpu")).batch(
        0, 16, range(60)
    )
    assert 255 * float((degraded - made).abs().mean()) < 0.4
    torch.testing.assert_close(clean, same, rtol=0, atol=1e-4)
    plain = RandomPatches(make_config(**settings), images)
    once, _ = plain.batch(0, 16, range(60))
    differ = (once - degraded).abs().flatten(1).amax(1) > 0
    assert float(differ.float().mean()) == pytest.approx(share, abs=0.15)
