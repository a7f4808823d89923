"""JPEG: compression as training does it, and qualities found in tables."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from memnet_core.errors import LevelError
from memnet_core.jpeg.coding import (
    QualityEstimate,
    chroma_table,
    estimate_quality,
    luminance_table,
)
from memnet_core.tasks import TASKS, LevelFound, Levels
from memnet_core.tasks.deblock import jpeg, jpeg_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEBLOCK = TASKS["deblock"]


def smooth_plane(height: int, width: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin(rows / 5) + np.cos((columns + rows) / 7)
    noise = np.random.default_rng(3).normal(0, 8, waves.shape)
    plane: NDArray[np.uint8] = np.clip(128 + 50 * waves + noise, 0, 255).astype(
        np.uint8
    )
    return plane


def table_of(quality: int, mode: str = "L") -> list[int]:
    """Give the luminance table that Pillow writes."""
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        table: list[int] = image.quantization[0]  # type: ignore[attr-defined]
        return table


@pytest.mark.parametrize("quality", [1, 10, 20, 75, 100])
@pytest.mark.parametrize(
    "region", [np.s_[8:32, 16:40], np.s_[16:, :24], np.s_[40:, 8:]]
)
def test_jpeg_compresses_a_region_on_the_block_grid_as_in_the_whole(
    region: tuple[slice, slice], quality: int
) -> None:
    plane = smooth_plane(50, 61)
    alone = jpeg(np.ascontiguousarray(plane[region]), quality)
    np.testing.assert_array_equal(alone, jpeg(plane, quality)[region])


def test_jpeg_compresses_a_region_off_the_block_grid_differently() -> None:
    plane = smooth_plane(48, 48)
    region = np.s_[4:44, 4:44]
    assert not np.array_equal(jpeg(plane[region].copy(), 10), jpeg(plane, 10)[region])


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (8, 16), (33, 5)])
def test_jpeg_keeps_shape_and_type(shape: tuple[int, int]) -> None:
    plane = smooth_plane(*shape)
    before = plane.copy()
    compressed = jpeg(plane, 50)
    assert compressed.shape == shape
    assert compressed.dtype == np.uint8
    np.testing.assert_array_equal(plane, before)


def test_jpeg_file_has_tables_of_both_qualities() -> None:
    pixels = np.stack([smooth_plane(32, 32)] * 3, axis=-1)
    for chroma_quality in (None, 90):
        content = jpeg_file(pixels, 20, chroma_quality=chroma_quality)
        with Image.open(io.BytesIO(content)) as image:
            tables = image.quantization  # type: ignore[attr-defined]
        assert list(tables[0]) == luminance_table(20).tolist()
        assert list(tables[1]) == chroma_table(chroma_quality or 20).tolist()


def test_jpeg_errs_less_the_higher_the_quality() -> None:
    plane = smooth_plane(64, 64).astype(np.float64)
    errors = [
        np.mean((jpeg(plane.astype(np.uint8), quality) - plane) ** 2)
        for quality in (5, 10, 20, 40, 80, 95)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 10 * errors[-1]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_jpeg_keeps_black_gray_and_white(level: int) -> None:
    plane = np.full((13, 9), level, np.uint8)
    np.testing.assert_array_equal(jpeg(plane, 10), plane)


@pytest.mark.parametrize(("quality", "step"), [(10, 10), (20, 5), (50, 2)])
def test_jpeg_quality_is_on_the_scale_of_libjpeg(quality: int, step: int) -> None:
    """The DC coefficient, 8 times the level, is quantized by 16 at quality 50."""
    levels = np.arange(20, 236)
    flat = [jpeg(np.full((8, 8), level, np.uint8), quality) for level in levels]
    decoded = np.array([plane[0, 0] for plane in flat])
    assert all((plane == plane[0, 0]).all() for plane in flat)
    np.testing.assert_array_equal((decoded - 128.0) % step, 0)
    assert len(set(decoded.tolist())) == len({round((x - 128) / step) for x in levels})


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_quality_is_recovered_from_its_table(mode: str) -> None:
    estimates = {q: estimate_quality(table_of(q, mode)) for q in range(1, 101)}
    assert estimates == {q: QualityEstimate(q, 0.0) for q in range(1, 101)}


@pytest.mark.parametrize("quality", [5, 40, 85])
def test_perturbed_table_is_reported_as_nearest_with_its_misfit(quality: int) -> None:
    table = np.array(table_of(quality))
    perturbed = table.copy()
    perturbed[[3, 40]] += 1
    estimate = estimate_quality(perturbed.tolist())
    assert estimate.quality == quality
    assert estimate.misfit == pytest.approx((1 / table[3] + 1 / table[40]) / 64)


def test_table_of_another_kind_fits_badly() -> None:
    assert estimate_quality([16] * 64).misfit > 0.2


@pytest.mark.parametrize("quality", [1, 37, 100])
def test_quality_is_read_from_the_luminance_table(quality: int) -> None:
    tables = [luminance_table(q).tolist() for q in (quality, 99)]
    found = DEBLOCK.estimate(tables)
    assert found == LevelFound(quality, f"q {quality} by its quantization table")


def test_quality_of_a_table_of_another_kind_is_called_the_nearest() -> None:
    table = luminance_table(40)
    table[::4] += 3
    misfit = np.mean(np.abs(table - luminance_table(40)) / luminance_table(40))
    found = DEBLOCK.estimate([table.tolist()])
    assert found.level == 40
    assert found.remark == (
        f"q 40 by its quantization table (nearest: steps differ by {misfit:.0%})"
    )


def test_quality_of_what_is_no_jpeg_has_to_be_given() -> None:
    with pytest.raises(LevelError, match="quantization tables"):
        DEBLOCK.estimate([])


def test_degrading_rounds_clips_and_compresses() -> None:
    plane = 1.5 * smooth_plane(24, 32).astype(np.float64) - 40.3
    degraded = DEBLOCK.degrade(plane, 10, np.random.default_rng(0))
    pixels = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(degraded, jpeg(pixels, 10))
    assert degraded.dtype == np.float64


@pytest.mark.parametrize(("quality", "factor"), [(1, 50), (10, 5), (50, 1), (100, 0)])
def test_value_of_the_level_map_follows_the_steps(
    quality: float, factor: float
) -> None:
    assert DEBLOCK.level_map_value(quality) == pytest.approx(
        np.log1p(factor) / np.log(51)
    )


def test_qualities_are_drawn_on_a_log_scale() -> None:
    rng = np.random.default_rng(0)
    levels = Levels.between(5, 80)
    drawn = np.array([DEBLOCK.draw_level(levels, rng) for _ in range(4000)])
    assert set(drawn) <= set(range(5, 81))
    assert (drawn.min(), drawn.max()) == (5, 80)
    # A scale of equal ratios: as many from 5 to 20 as from 20 to 80.
    assert np.mean(drawn < 20) == pytest.approx(0.5, abs=0.03)
    assert np.mean(drawn < 10) == pytest.approx(0.25, abs=0.03)
