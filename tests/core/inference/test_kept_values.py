"""What needs no restoration, or cannot be restored, stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from memnet_core import restore as restored
from memnet_core.errors import UsageError
from memnet_core.inference.engine import prepare
from memnet_core.inference.plan import plan_restore
from memnet_core.inference.runner import restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_image
from memnet_core.jpeg.coding import JpegCoding
from memnet_core.jpeg.dct_bounds import TO_YCC
from memnet_core.progress import Notice
from memnet_core.sources.protocols import ArraySink, ArraySource
from memnet_core.sources.regions import PixelRegion
from memnet_core.sources.wrappers import NaNFilled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.inference.plan import Prepared

    Prepare = Callable[..., Prepared]

TABLE = tuple(range(10, 74))


def run(
    stack: NDArray[Any], prepared: Prepared, region: PixelRegion | None = None
) -> tuple[NDArray[Any], list[str]]:
    result = np.zeros(prepared.result_shape(stack.shape), stack.dtype)
    events = list(restore(ArraySource(stack), ArraySink(result), prepared, region))
    return result, [event.text for event in events if isinstance(event, Notice)]


def scene(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(2).random(shape).astype(np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_stay_and_the_rest_is_restored(
    prepared_with: Prepare, bad: float
) -> None:
    clean = scene(1, 60, 50, 1)
    stack = clean.copy()
    stack[0, :9] = bad
    stack[0, 30, 20] = bad
    result, notices = run(stack, prepared_with())
    hole = ~np.isfinite(stack)
    np.testing.assert_array_equal(result[hole], stack[hole])
    assert np.isfinite(result[~hole]).all()
    assert np.mean(result[~hole] != stack[~hole]) > 0.9
    assert notices == ["Values that are NaN or infinite stay as they are."]


def test_a_region_beside_holes_is_that_part_of_the_whole(
    prepared_with: Prepare,
) -> None:
    stack = scene(1, 64, 64, 1)
    stack[0, 20:40, 25:60] = np.nan
    prepared = prepared_with(unshuffle=2)
    expected, _ = run(stack, prepared)
    rows, columns = slice(35, 50), slice(10, 31)
    found, _ = run(stack, prepared, PixelRegion([0], rows, columns))
    np.testing.assert_allclose(
        found[0, rows, columns], expected[0, rows, columns], atol=1e-6
    )


def test_holes_of_an_enlarged_image_keep_their_size(prepared_with: Prepare) -> None:
    stack = scene(1, 20, 20, 1)
    stack[0, 5, 6] = np.nan
    result, _ = run(stack, prepared_with(task="sr", level=2))
    hole = np.zeros((40, 40), bool)
    hole[10:12, 12:14] = True
    np.testing.assert_array_equal(np.isnan(result[0, ..., 0]), hole)


def test_holes_are_filled_from_what_is_around_them() -> None:
    stack = np.full((1, 40, 40, 1), 7.0)
    stack[0, 10:14, 10:14] = np.nan
    stack[0, 20:, 20:] = np.inf
    filled = NaNFilled(ArraySource(stack), -1.0).read(0, slice(0, 40), slice(0, 40))
    assert np.all(filled[:20] == 7)
    assert filled[25, 25, 0] == 7
    assert filled[39, 39, 0] == -1


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, np.nan])
@pytest.mark.parametrize(("task", "level"), [("denoise", 25), ("sr", 2)])
def test_a_plane_of_one_value_stays_and_that_is_said(
    prepared_with: Prepare, task: str, level: float, value: float
) -> None:
    stack = scene(2, 30, 30, 1)
    stack[1] = value
    prepared = prepared_with(task=task, level=level)
    result, notices = run(stack, prepared)
    assert np.array_equal(result[1], np.full_like(result[1], value), equal_nan=True)
    assert notices == ["1 of 2 planes hold one value; kept."]


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_bright_spots_keep_their_peaks_and_the_background_its_mean(dtype: str) -> None:
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:128, :128]
    offset = -300 if dtype == "int16" else 300
    clean = offset + 60 * np.sin(x / 15) * np.sin(y / 17)
    spots = [(30, 40), (70, 90), (100, 30)]
    for row, column in spots:
        clean += 2500 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.5**2))
    noisy = clean + rng.normal(0, 20, clean.shape)
    low, high = np.percentile(noisy, (0.1, 99.9))
    assert clean.max() > high + 300
    sigma = max(20 * 255 / (high - low), 5.0)
    pixels = noisy.astype(dtype) if dtype == "float32" else np.rint(noisy).astype(dtype)
    result = restored(pixels, "denoise", sigma, device="cpu").astype(float)
    for spot in spots:
        noise_there = noisy[spot] - clean[spot]
        kept = result[spot] - clean[spot]
        assert abs(kept) < 0.01 * 2500 + abs(noise_there)
    background = clean < offset + 200
    assert abs((result - clean)[background].mean()) < 0.05 * 20


def test_a_range_in_which_noise_exceeds_all_values_is_refused() -> None:
    stack = np.random.default_rng(0).normal(1000, 15, (1, 64, 64, 1)).astype(np.uint16)
    with pytest.raises(UsageError, match="choose range='auto'"):
        plan_restore(
            ArraySource(stack),
            RestoreOptions(task="denoise", level=30, value_range="dtype"),
        )


def test_sigma_is_said_in_values_of_the_image() -> None:
    stack = np.random.default_rng(0).integers(0, 2550, (1, 64, 64, 1)).astype(np.uint16)
    decision = plan_restore(
        ArraySource(stack),
        RestoreOptions(task="denoise", level=30, value_range=(0, 2550)),
    )
    assert "σ 30 of 255, 300 in values of the image" in decision.remarks


@pytest.mark.parametrize(
    ("peak", "gain", "black"), [(1, 2.17, 100), (2, 2.17, 100), (2, 1, 0), (1, 1, 0)]
)
def test_sums_of_few_photons_are_kept_in_whole_values(
    peak: float, gain: float, black: float
) -> None:
    rng, place = np.random.default_rng(0), np.linspace(0, 6 * np.pi, 192)
    means = peak * (0.1 + 0.9 * np.multiply.outer(np.sin(place), np.sin(place)) ** 4)
    counts = gain * (rng.poisson(means) + rng.normal(0, black / 60, means.shape))
    noisy = np.round(counts + black).astype(np.uint16)
    found = restored(noisy, "denoise", nearest=True)
    before, after = (float(pixels.mean()) - black for pixels in (noisy, found))
    assert after == pytest.approx(before, rel=0.04)


def noisy_phase() -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return a phase and what noise and wrapping leave of it, shape (96, 96)."""
    rng, phase = np.random.default_rng(4), np.add.outer(*2 * [np.arange(96) * 0.15])
    waves = np.exp(1j * phase) + rng.normal(0, 0.3, (2, 96, 96)).T @ (1, 1j)
    return phase, np.angle(waves).astype(np.float32)


def off(found: NDArray[Any], phase: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.angle(np.exp(1j * (found - phase))) ** 2)))


def test_wrapped_phases_have_no_edges_where_they_jump() -> None:
    phase, noisy = noisy_phase()
    cyclic = restored(noisy, "denoise")
    assert off(cyclic, phase) < 0.4 * off(noisy, phase)
    assert np.abs(cyclic).max() <= np.float32(np.pi)
    linear = restored(noisy, "denoise", cyclic=False)
    assert off(linear, phase) > 2 * off(cyclic, phase)


def test_integers_come_around_where_that_is_asked_for() -> None:
    phase, noisy = noisy_phase()
    turns = (noisy / (2 * np.pi) * 256 % 256).astype(np.uint8)
    found = restored(turns, "denoise", cyclic=True)
    assert off((found + 0.5) * (2 * np.pi / 256), phase) < 0.4 * off(noisy, phase)


def test_a_region_of_cyclic_values_is_that_part_of_the_whole() -> None:
    _, noisy = noisy_phase()
    stack = noisy[None, ..., None]
    prepared = prepare(ArraySource(stack), RestoreOptions(task="denoise"))
    region = PixelRegion([0], slice(30, 51), slice(7, 60))
    part, _ = run(stack, prepared, region)
    all_of_it, _ = run(stack, prepared)
    np.testing.assert_array_equal(part[:, 30:51, 7:60], all_of_it[:, 30:51, 7:60])


def test_cyclic_values_are_said_and_refused_where_they_cannot_be_restored() -> None:
    _, noisy = noisy_phase()
    source = ArraySource(noisy[None, ..., None])
    said = plan_restore(source, RestoreOptions(task="denoise")).remarks
    assert any("restored as sine and cosine" in remark for remark in said)
    said = plan_restore(source, RestoreOptions(task="sr", level=2)).remarks
    assert any("jumps are taken for edges" in remark for remark in said)
    with pytest.raises(UsageError, match="cyclic=True excludes task='sr'"):
        plan_restore(source, RestoreOptions(task="sr", level=2, cyclic=True))
    with pytest.raises(UsageError, match="images of one channel"):
        restored(np.zeros((32, 32, 3), np.float32), "denoise", cyclic=True)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(
    ("colors", "sampling"),
    [
        ("single", ((1, 1),)),
        ("luminance", ((1, 1),) * 3),
        ("each", ((1, 1),) * 3),
        ("each", ((2, 2), (1, 1), (1, 1))),
        ("chroma", ((2, 2), (1, 1), (1, 1))),
        ("chroma", ((2, 1), (1, 1), (1, 1))),
    ],
)
def test_a_region_of_a_jpeg_is_that_part_of_the_whole(
    prepared_with: Prepare, orientation: int, colors: Any, sampling: Any
) -> None:
    stack = np.random.default_rng(1).integers(30, 220, (1, 69, 75, len(sampling)))
    stack = stack.astype(np.uint8)
    coding = JpegCoding((TABLE,), sampling, orientation)
    prepared = prepared_with(
        task="deblock",
        level=20,
        low=0,
        high=255,
        colors=colors,
        unshuffle=2,
        coding=coding,
    )
    expected, _ = run(stack, prepared)
    for rows, columns in [
        (slice(0, 9), slice(3, 21)),
        (slice(33, 34), slice(0, 75)),
        (slice(51, 69), slice(60, 75)),
    ]:
        found, _ = run(stack, prepared, PixelRegion([0], rows, columns))
        assert np.array_equal(found[0, rows, columns], expected[0, rows, columns])


def test_a_jpeg_file_is_not_contradicted_unless_that_is_asked_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "chart.jpg"
    y, x = np.mgrid[:64, :80]
    clean = np.where((x // 20 + y // 16) % 2 == 0, 60, 200)
    clean = (clean + np.random.default_rng(0).normal(0, 12, clean.shape)).astype(
        np.uint8
    )
    Image.fromarray(clean).save(path, quality=75)
    errors = []
    with open_image(path) as source:
        for consistency in (True, False):
            prepared = prepare(
                source,
                RestoreOptions(task="deblock", device="cpu", consistency=consistency),
            )
            result = np.zeros(source.shape, np.uint8)
            for _ in restore(source, ArraySink(result), prepared):
                pass
            errors.append(np.mean((result[0, ..., 0] - clean.astype(float)) ** 2))
    assert errors[0] < errors[1]


def test_color_blotches_of_a_jpeg_go(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :80]
    inside = (x - 40) ** 2 + (y - 32) ** 2 < 400
    clean = np.where(inside[..., None], (190, 60, 80), (70, 120, 150)).astype(np.uint8)
    Image.fromarray(clean).save(tmp_path / "disc.jpg", quality=10)
    errors = []
    for channels in ("luminance", None):
        result = restored(
            tmp_path / "disc.jpg", "deblock", channels=channels, device="cpu"
        )
        chroma = (result.pixels - clean.astype(float)) @ TO_YCC[1:].T
        errors.append(np.mean(chroma**2))
    assert errors[1] < 0.9 * errors[0]
