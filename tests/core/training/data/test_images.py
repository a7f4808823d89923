from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from memnet_core.errors import TrainingError
from memnet_core.image_ops.resize import imresize
from memnet_core.training.data.images import training_images, validation_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]


def test_large_images_also_serve_at_half_their_size(
    make_config: Make, clean_images: Path
) -> None:
    large = np.full((400, 500), 90, np.uint8)
    Image.fromarray(large).save(clean_images / "large.png")
    shapes = [plane.shape for plane in training_images(make_config()).clean]
    assert shapes == [(96, 96)] * 3 + [(400, 500), (200, 250)]


def test_paper_recipe_takes_images_as_they_are(
    make_config: Make, clean_images: Path
) -> None:
    large = np.full((400, 500), 90, np.uint8)
    Image.fromarray(large).save(clean_images / "large.png")
    config = make_config(recipe="paper")
    assert len(training_images(config).clean) == 4


def test_digest_tells_other_pixels(make_config: Make, clean_images: Path) -> None:
    before = training_images(make_config())
    assert training_images(make_config()).digest == before.digest
    pixels = np.array(Image.open(clean_images / "0.png"))
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(clean_images / "0.png")
    assert training_images(make_config()).digest != before.digest


def test_pairs_are_matched_by_name(
    make_config: Make, paired_images: tuple[Path, Path]
) -> None:
    config = make_config(
        data=(), pairs=paired_images, validation_pairs=paired_images, task="denoise"
    )
    images = training_images(config)
    assert images.degraded is not None
    assert len(images.clean) == 2
    for degraded, clean in zip(images.degraded, images.clean, strict=True):
        np.testing.assert_array_equal(degraded + 40, clean)
    assert validation_images(config) is not None


def test_small_partners_are_enlarged_by_interpolation(
    make_config: Make, paired_images: tuple[Path, Path]
) -> None:
    low, high = paired_images
    small = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    for index in range(2):
        Image.fromarray(small).save(low / f"{index}.png")
    config = make_config(
        data=(),
        pairs=(low, high),
        task="sr",
        levels={"values": [2], "continuous": False},
    )
    images = training_images(config)
    assert images.degraded is not None
    expected = imresize(small.astype(np.float64), (96, 96))
    np.testing.assert_allclose(images.degraded[0], expected, rtol=1e-5)


def test_image_without_a_partner_is_named(
    make_config: Make, paired_images: tuple[Path, Path]
) -> None:
    (paired_images[0] / "1.png").unlink()
    config = make_config(data=(), pairs=paired_images)
    with pytest.raises(TrainingError, match=r"1\.png is in one of"):
        training_images(config)


def test_partners_of_other_sizes_are_refused(
    make_config: Make, paired_images: tuple[Path, Path]
) -> None:
    Image.fromarray(np.zeros((90, 96), np.uint8)).save(paired_images[1] / "1.png")
    config = make_config(data=(), pairs=paired_images)
    with pytest.raises(TrainingError, match=r"1\.png has 90×96 px .* not 96×96 px"):
        training_images(config)
