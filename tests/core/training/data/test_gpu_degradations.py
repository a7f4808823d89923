"""Degradations of batches: those of the tasks, within stated differences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from memnet_core.image_ops.resize import imresize, resize_matrix
from memnet_core.jpeg.coding import chroma_table
from memnet_core.tasks import CORRELATED, TASKS
from memnet_core.tasks.deblock import jpeg as jpeg_of_pillow
from memnet_core.tasks.denoise import NoiseKind
from memnet_core.training.data.gpu_degradations import (
    DEGRADATIONS,
    bicubic,
    correlated_noise,
    gaussian_noise,
    jpeg,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = Path(__file__).parents[4] / "examples"
QUALITIES = [1, 5, 10, 20, 30, 50, 75, 90, 95, 100]


def photo(name: str, height: int, width: int, mode: str) -> NDArray[np.uint8]:
    """A crop of a photograph, made smaller to be free of the blocks that it came in."""
    with Image.open(EXAMPLES / f"{name}.jpg") as image:
        small = image.convert(mode).resize((212, 201), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(small)[40 : 40 + height, 33 : 33 + width])


def planes(*pictures: NDArray[np.uint8]) -> torch.Tensor:
    stacked = np.stack([np.atleast_3d(picture) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("side", [(96, 128), (68, 84), (67, 75)], ids=str)
@pytest.mark.parametrize(
    ("mode", "is_whole"), [("L", False), ("RGB", False), ("RGB", True)]
)
def test_jpeg_is_that_of_pillow_but_for_some_roundings(
    side: tuple[int, int], mode: str, is_whole: bool
) -> None:
    for name in ("astronaut", "coffee"):
        picture = photo(name, *side, mode)
        many = planes(*[picture] * len(QUALITIES))
        made = jpeg(many, QUALITIES, [is_whole] * len(QUALITIES))
        assert made.shape == many.shape
        for quality, pixels in zip(QUALITIES, made, strict=True):
            expected = jpeg_of_pillow(picture, quality, subsampled=not is_whole)
            difference = (pixels - planes(expected)[0]).abs()
            # Measured: up to 0.142 on average, a block in fifty by one step.
            assert float(difference.mean()) < 0.15, (name, quality)
            assert float((difference > 1).float().mean()) < 0.04, (name, quality)
            assert float(difference.max()) < 30, (name, quality)


def test_samples_of_a_batch_have_qualities_and_chroma_of_their_own() -> None:
    pictures = [photo(name, 64, 80, "RGB") for name in ("coffee", "chelsea", "coffee")]
    kinds = list(zip((10, 80, 40), (True, False, True), strict=True))
    together = jpeg(planes(*pictures), [10, 80, 40], [True, False, True])
    for picture, (quality, is_whole), made in zip(
        pictures, kinds, together, strict=True
    ):
        assert made.equal(jpeg(planes(picture), [quality], [is_whole])[0])


def test_flat_and_white_pictures_stay_so() -> None:
    flat = planes(*(np.full((24, 24), tone, np.uint8) for tone in (0, 16, 255)))
    made = jpeg(flat, [10, 10, 10])
    assert made[[0, 2]].equal(flat[[0, 2]])
    assert float(made[1].std()) == 0


def test_chroma_table_is_that_of_pillow(tmp_path: Path) -> None:
    for quality in (1, 10, 50, 51, 90, 100):
        file = tmp_path / f"{quality}.jpg"
        Image.new("RGB", (16, 16)).save(file, quality=quality)
        with Image.open(file) as image:
            tables = image.quantization  # type: ignore[attr-defined]
        assert list(chroma_table(quality)) == tables[1]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_bicubic_is_that_of_matlab(scale: int, mode: str) -> None:
    picture = photo("camera", 72, 96, mode)
    expected = TASKS["sr"].degrade(picture, scale, np.random.default_rng(0))
    made = bicubic(planes(picture), scale)[0].permute(1, 2, 0).reshape(expected.shape)
    np.testing.assert_allclose(made, expected, atol=1e-3)


@pytest.mark.parametrize(("old", "new"), [(24, 8), (8, 24), (30, 20), (5, 5)])
def test_matrix_of_bicubic_resizes_an_axis(old: int, new: int) -> None:
    image = np.random.default_rng(3).uniform(0, 255, (old, 7))
    expected = imresize(image, (new, 7))
    np.testing.assert_allclose(resize_matrix(old, new) @ image, expected, atol=1e-9)


def test_noise_has_the_deviation_of_each_sample_and_is_not_clipped() -> None:
    pixels = torch.full((3, 1, 128, 128), 250.0)
    generator = torch.Generator().manual_seed(1)
    noise = gaussian_noise(pixels, (5, 25, 0), generator) - pixels
    deviations = noise.flatten(1).std(1)
    torch.testing.assert_close(
        deviations[:2], torch.tensor([5.0, 25]), rtol=0.03, atol=0
    )
    assert not noise[2].any()
    assert abs(float(noise[1].mean())) < 0.8
    assert float((pixels + noise).max()) > 300
    again = gaussian_noise(pixels, (5, 25, 0), generator.manual_seed(1)) - pixels
    assert again.equal(noise)


def test_correlated_noise_is_that_of_the_cpu() -> None:
    kinds = [
        NoiseKind(0, 0, 0, 0),
        NoiseKind(0.6, 0.6, 0, 0),
        NoiseKind(0.4, 1, 0.4, 0),
        NoiseKind(0, 0, 0, 0.003),
    ]
    pixels = torch.full((4, 3, 96, 128), 100.0)
    noise = (
        correlated_noise(
            pixels, (20, 20, 10, 10), kinds, torch.Generator().manual_seed(2)
        )
        - pixels
    )
    deviations = noise.flatten(1).std(1)
    torch.testing.assert_close(
        deviations[:3], torch.tensor([20.0, 20, 10]), rtol=0.03, atol=0
    )
    across, down = (
        (noise * noise.roll(1, axis)).flatten(1).mean(1) / deviations.square()
        for axis in (3, 2)
    )
    # A Gaussian blur of s pixels leaves neighbors with exp(-1/(4 s^2)) in common.
    blurred = np.exp(-1 / (4 * 0.6**2))
    for neighbors in (across, down):
        assert abs(float(neighbors[0])) < 0.02
        assert float(neighbors[1]) == pytest.approx(blurred, abs=0.03)
    assert float(across[2]) > float(down[2]) + 0.4
    offsets = noise[2].mean((0, 2)) / 10
    assert float(offsets.std()) == pytest.approx(0.4, rel=0.25)
    is_hot = noise[3] > 60
    assert 0 < float(is_hot.float().mean()) < 0.003
    assert not (noise[0] > 120).any()


def test_every_task_is_learned_from_device_batches() -> None:
    assert set(DEGRADATIONS) >= {type(task) for task in (*TASKS.values(), CORRELATED)}
