"""Scores of the unrestored inputs, as published: the protocol is the field's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from memnet_core.image_ops.color import rgb2ycbcr_luminance
from memnet_core.image_ops.metrics import psnr, ssim
from memnet_core.image_ops.resize import imresize, modcrop
from memnet_core.tasks.deblock import jpeg

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def luminances(folder: Path) -> list[NDArray[np.uint8]]:
    planes = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            pixels = np.asarray(image)
        planes.append(pixels if pixels.ndim == 2 else rgb2ycbcr_luminance(pixels))
    return planes


def bicubic(clean: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Shrink and magnify, and round what comes out."""
    height, width = clean.shape
    small = imresize(clean.astype(np.float64), (height // scale, width // scale))
    large = imresize(small, (height, width))
    return np.clip(np.floor(large + 0.5), 0, 255).astype(np.uint8)


def mean_scores(
    pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
) -> tuple[float, float]:
    scores = [(psnr(clean, image), ssim(clean, image)) for clean, image in pairs]
    mean_psnr, mean_ssim = np.mean(scores, axis=0)
    return float(mean_psnr), float(mean_ssim)


def assert_published(
    scores: tuple[float, float], published: tuple[float, float]
) -> None:
    assert scores[0] == pytest.approx(published[0], abs=0.01)
    assert scores[1] == pytest.approx(published[1], abs=0.0002)


@pytest.mark.parametrize(
    ("quality", "published"), [(10, (27.82, 0.7595)), (20, (30.12, 0.8344))]
)
def test_jpeg_of_classic5_scores_as_published(
    shared_data: Path, quality: int, published: tuple[float, float]
) -> None:
    planes = luminances(shared_data / "bench" / "classic5")
    pairs = [(plane, jpeg(plane, quality)) for plane in planes]
    assert len(pairs) == 5
    assert_published(mean_scores(pairs), published)


@pytest.mark.parametrize(
    ("scale", "published"),
    [(2, (33.66, 0.9299)), (3, (30.39, 0.8682)), (4, (28.42, 0.8104))],
)
def test_bicubic_of_set5_scores_as_published(
    shared_data: Path, scale: int, published: tuple[float, float]
) -> None:
    shaved = np.s_[scale:-scale, scale:-scale]
    planes = luminances(shared_data / "bench" / "Set5")
    cropped = [modcrop(plane, scale) for plane in planes]
    pairs = [(plane[shaved], bicubic(plane, scale)[shaved]) for plane in cropped]
    assert len(pairs) == 5
    assert_published(mean_scores(pairs), published)
