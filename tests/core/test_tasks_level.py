"""How the degradation level of an image is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core._old_tasks import LevelFound, TaskSettings, find_level, jpeg_quality
from memnet_core.errors import LevelError
from memnet_core.estimation import QualityEstimate, luminance_table
from memnet_core.io.image import Image, Metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.model.file import Task

BLACK = Image(np.zeros((8, 8), np.uint8), "YX")


def with_table(table: NDArray[np.int64]) -> Image:
    other = luminance_table(99)
    tables = tuple(tuple(t.tolist()) for t in (table, other))
    return Image(BLACK.pixels, "YX", Metadata(jpeg_tables=tables))


def noisy(*shape: int, sigma: float) -> NDArray[np.float64]:
    """Give a gray picture with noise of `sigma` in grey levels of 255."""
    return np.random.default_rng(0).normal(0.5, sigma / 255, shape)


@pytest.mark.parametrize("level", [0, 7.5, 30])
@pytest.mark.parametrize("task", ["denoise", "deblock", "sr"])
def test_given_level_is_taken_as_it_is(task: Task, level: float) -> None:
    image = with_table(luminance_table(10))
    found = find_level(image, TaskSettings(task=task, level=level))
    assert found == LevelFound(level)


@pytest.mark.parametrize("quality", [1, 37, 100])
def test_quality_is_read_from_the_luminance_table(quality: int) -> None:
    image = with_table(luminance_table(quality))
    found = find_level(image, TaskSettings(task="deblock"))
    assert found == LevelFound(quality, f"q {quality} by its quantisation table")
    assert jpeg_quality(image) == QualityEstimate(quality, 0)


def test_quality_of_a_table_of_another_kind_is_called_the_nearest() -> None:
    table = luminance_table(40)
    table[::4] += 3
    found = find_level(with_table(table), TaskSettings(task="deblock"))
    misfit = np.mean(np.abs(table - luminance_table(40)) / luminance_table(40))
    assert found.level == 40
    assert found.remark == (
        f"q 40 by its quantisation table (nearest: steps differ by {misfit:.0%})"
    )


@pytest.mark.parametrize(("task", "option"), [("deblock", "--q"), ("sr", "--scale")])
def test_level_that_cannot_be_found_has_to_be_given(task: Task, option: str) -> None:
    assert jpeg_quality(BLACK) is None
    with pytest.raises(LevelError, match=option):
        find_level(BLACK, TaskSettings(task=task))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("sigma", [10, 25])
def test_noise_is_estimated_on_the_range_of_the_type(sigma: float, dtype: str) -> None:
    span = 1 if dtype == "float32" else np.iinfo(dtype).max
    pixels = (noisy(128, 128, sigma=sigma) * span).astype(dtype)
    found = find_level(Image(pixels, "YX"), TaskSettings(task="denoise"))
    assert found.level == pytest.approx(sigma, rel=0.05)
    assert found.level == round(found.level, 1)
    assert found.remark == f"σ estimated as {found.level}"


def test_noise_is_estimated_on_a_given_range() -> None:
    image = Image(1000 * noisy(128, 128, sigma=20), "YX")
    settings = TaskSettings(task="denoise", value_range=(0.0, 2000.0))
    assert find_level(image, settings).level == pytest.approx(10, rel=0.05)


def test_noise_of_a_stack_is_that_of_its_middle_plane() -> None:
    pixels = np.stack([noisy(128, 128, sigma=sigma) for sigma in (5, 15, 30)])
    found = find_level(Image(pixels, "ZYX"), TaskSettings(task="denoise"))
    assert found.level == pytest.approx(15, rel=0.05)


def test_noise_of_colours_is_averaged_without_alpha() -> None:
    pixels = np.stack([noisy(128, 128, sigma=sigma) for sigma in (5, 10, 15, 30)], -1)
    found = find_level(Image(pixels, "YXS"), TaskSettings(task="denoise"))
    assert found.level == pytest.approx(10, rel=0.05)
