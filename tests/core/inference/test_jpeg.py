"""Color JPEGs through one network for all colors: regions, intervals, levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.inference.plan import plan_restore
from memnet_core.inference.runner import restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_image
from memnet_core.jpeg.coding import JpegCoding, chroma_table, luminance_table
from memnet_core.jpeg.dct_bounds import TO_YCC, dct_basis
from memnet_core.sources.protocols import ArraySink, ArraySource
from memnet_core.sources.regions import PixelRegion
from memnet_core.tasks.deblock import jpeg, jpeg_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.inference.plan import Prepared
    from memnet_core.model.network import MemNet

    Prepare = Callable[..., Prepared]

TOGETHER: dict[str, Any] = {
    "task": "deblock",
    "level": 20,
    "low": 0,
    "high": 255,
    "colors": "joint",
    "unshuffle": 2,
    "image_channels": 3,
    "level_map": True,
    "chroma_level": True,
    "batch_norm": False,
}
TABLES = tuple(luminance_table(20).tolist()), tuple(chroma_table(20).tolist())
SAMPLINGS = {
    "4:2:0": ((2, 2), (1, 1), (1, 1)),
    "4:2:2": ((2, 1), (1, 1), (1, 1)),
    "4:4:4": ((1, 1),) * 3,
}


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Waves of other colors, and noise."""
    y, x = np.mgrid[:height, :width]
    waves = [120 + 40 * np.sin(angle) for angle in (x / 5, y / 4, (x + y) / 7)]
    noise = np.random.default_rng(1).normal(0, 8, (height, width, 3))
    return (np.stack(waves, -1) + noise).clip(60, 195).astype(np.uint8)


def run(
    stack: NDArray[np.uint8], prepared: Prepared, region: PixelRegion | None = None
) -> NDArray[np.uint8]:
    result = np.full(stack.shape, 77, np.uint8)
    for _ in restore(ArraySource(stack), ArraySink(result), prepared, region):
        pass
    return result


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_region_of_a_color_jpeg_is_that_part_of_the_whole(
    prepared_with: Prepare, sampling: str, orientation: int
) -> None:
    stack = picture(69, 75)[None]
    coding = JpegCoding(TABLES, SAMPLINGS[sampling], orientation)
    prepared = prepared_with(**TOGETHER, coding=coding)
    expected = run(stack, prepared)
    assert not np.array_equal(expected, stack)
    for rows, columns in [
        (slice(0, 9), slice(3, 21)),
        (slice(33, 34), slice(0, 75)),
        (slice(51, 69), slice(60, 75)),
    ]:
        found = run(stack, prepared, PixelRegion([0], rows, columns))
        assert np.array_equal(found[0, rows, columns], expected[0, rows, columns])


def blocks(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the DCT coefficients of whole blocks, (n, 64)."""
    height, width = plane.shape
    split = plane.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    coefficients: NDArray[np.float64] = split.reshape(-1, 64) @ dct_basis().T
    return coefficients


@pytest.mark.parametrize("sampling", ["4:2:0", "4:4:4"])
def test_restored_color_jpeg_stays_within_its_intervals(
    prepared_with: Prepare, sampling: str
) -> None:
    clean = picture(64, 80)
    decoded = jpeg(clean, 20, subsampled=sampling == "4:2:0")
    coding = JpegCoding(TABLES, SAMPLINGS[sampling])
    restored = run(decoded[None], prepared_with(**TOGETHER, coding=coding))[0]
    free = run(decoded[None], prepared_with(**TOGETHER))[0]
    cell = 2 if sampling == "4:2:0" else 1
    for component in range(3):
        step = coding.steps(min(component, 1))
        size = 1 if component == 0 else cell
        planes = []
        for pixels in (clean, restored, free):
            plane = pixels.astype(np.float64) @ TO_YCC[component]
            plane -= 128 * (component == 0)
            planes.append(
                plane.reshape(64 // size, size, 80 // size, size).mean((1, 3))
            )
        encoded, held, unheld = map(blocks, planes)
        middle = np.rint(encoded / step) * step
        # 8-bit rounding of three colors adds some 2 gray levels to a coefficient, and
        # a few lie so close to the end of an interval that the encoder chose the next.
        inside = [np.mean(np.abs(c - middle) <= step / 2 + 3) for c in (held, unheld)]
        assert inside[0] > 0.995
        assert inside[1] < inside[0] - 0.005


@pytest.mark.parametrize(("level", "expected"), [(None, 70), (30, None)])
def test_quality_of_chroma_is_that_of_its_table(
    install: Callable[..., Path],
    tmp_path: Path,
    level: float | None,
    expected: float | None,
) -> None:
    install("together", 5, 98, image_channels=3, level_map=True, chroma_level=True)
    path = tmp_path / "colors.jpg"
    path.write_bytes(jpeg_file(picture(40, 48), 20, chroma_quality=70))
    settings = RestoreOptions(task="deblock", level=level)
    with open_image(path) as file:
        decision = plan_restore(file, settings)
    assert (decision.colors, decision.chroma_level) == ("joint", expected)


def test_network_is_told_both_qualities(
    prepared_with: Prepare, random_network: Callable[..., MemNet]
) -> None:
    prepared = prepared_with(**TOGETHER)
    results = []
    for chroma_level in (None, 20, 80):
        update = {"chroma_level": chroma_level}
        decision = prepared.decision.model_copy(update=update)
        changed = type(prepared)(decision, prepared.engine, prepared.entry)
        results.append(run(picture(32, 32)[None], changed))
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


@pytest.mark.parametrize("quality", [2, 4, 99, 100])
def test_nearest_level_serves_qualities_just_beyond_a_model(
    install: Callable[..., Path], tmp_path: Path, quality: int
) -> None:
    install("all", 5, 98)
    path = tmp_path / "colors.jpg"
    path.write_bytes(jpeg_file(picture(40, 48), quality))
    with open_image(path) as file:
        decision = plan_restore(file, RestoreOptions(task="deblock"))
    nearest = 5 if quality < 5 else 98
    assert decision.level == quality
    assert f"beyond q {nearest}, the nearest of the model" in decision.remarks
