"""Chroma of a JPEG at the resolution at which it was coded."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from memnet_core.jpeg.chroma import SubsampledChroma
from memnet_core.jpeg.coding import JpegCoding
from memnet_core.jpeg.dct_bounds import TO_YCC
from memnet_core.sources.protocols import ArraySource

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLING = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}
DCT = np.array(
    [
        [
            np.cos(np.pi * (2 * x + 1) * k / 16) * (0.5 if k else 8**-0.5)
            for x in range(8)
        ]
        for k in range(8)
    ]
)


def colors(height: int, width: int) -> NDArray[np.uint8]:
    """Return smooth colors that are neither black nor white."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 5 + y / 9), np.cos(y / 7), np.sin((x - y) / 11)]
    return np.stack([128 + 70 * wave for wave in waves], axis=-1).astype(np.uint8)


def compressed(
    pixels: NDArray[np.uint8], subsampling: str, quality: int, orientation: int = 1
) -> tuple[NDArray[np.uint8], JpegCoding]:
    """Return what a decoder gives of a JPEG of some pixels, and how it was coded."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(
        buffer, "JPEG", quality=quality, subsampling=subsampling, exif=exif
    )
    with Image.open(buffer) as opened:
        image: Any = opened
        tables = image.quantization
        turned = np.asarray(ImageOps.exif_transpose(image))
    used = tuple(tuple(tables[n]) for n in (0, 1, 1))
    sampling = (SAMPLING[subsampling], (1, 1), (1, 1))
    return turned, JpegCoding(used, sampling, orientation)


def means(pixels: NDArray[Any], high: int, wide: int) -> NDArray[np.float64]:
    """Return blue and red difference as an encoder makes samples of whole cells."""
    chroma = pixels.astype(np.float64) @ TO_YCC[1:].T
    height, width, _ = chroma.shape
    split = chroma.reshape(height // high, high, width // wide, wide, 2)
    cells: NDArray[np.float64] = split.mean((1, 3))
    return cells


def coefficients(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients of whole blocks of samples, (n, 8, 8)."""
    height, width = samples.shape
    blocks = samples.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    found: NDArray[np.float64] = DCT @ blocks.reshape(-1, 8, 8) @ DCT.T
    return found


@pytest.mark.parametrize("quality", [10, 75, 90])
@pytest.mark.parametrize("subsampling", SAMPLING)
def test_samples_are_those_of_the_file(subsampling: str, quality: int) -> None:
    clean = colors(96, 112)
    pixels, coding = compressed(clean, subsampling, quality)
    chroma = SubsampledChroma(ArraySource(pixels[None]), coding)
    down, across = (coding.cell(axis) for axis in (0, 1))
    assert chroma.shape == (96 // down, 112 // across)
    found = chroma.read(0, slice(0, chroma.shape[0]), slice(0, chroma.shape[1]))
    encoded = means(clean, down, across)
    for n in range(2):
        steps = coding.steps(n + 1).reshape(8, 8)
        multiples = np.rint(coefficients(found[..., n]) / steps)
        expected = np.rint(coefficients(encoded[..., n]) / steps)
        assert np.abs(multiples).max() > 2
        # The encoder rounds samples; of small steps more values lie at the ends.
        assert np.mean(multiples != expected) < (0.03 if quality == 90 else 0.01)


@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("subsampling", SAMPLING)
def test_samples_do_not_depend_on_the_window(
    subsampling: str, orientation: int
) -> None:
    pixels, coding = compressed(colors(69, 75), subsampling, 30, orientation)
    chroma = SubsampledChroma(ArraySource(pixels[None]), coding)
    height, width = chroma.shape
    whole = chroma.read(0, slice(0, height), slice(0, width))
    large = chroma.upsample(whole, slice(0, len(pixels)), slice(0, pixels.shape[1]))
    for rows, columns in [
        (slice(0, 1), slice(0, width)),
        (slice(9, 20), slice(30, 31)),
        (slice(height - 3, height), slice(width - 9, width)),
    ]:
        part = chroma.read(0, rows, columns)
        assert np.array_equal(part, whole[rows, columns])
    for rows, columns in [(slice(0, 3), slice(7, 40)), (slice(50, 69), slice(3, 69))]:
        cells = chroma.sample_window(rows, columns, 1)
        part = chroma.upsample(whole[cells], rows, columns)
        assert np.array_equal(part, large[rows, columns])


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("subsampling", SAMPLING)
def test_samples_enlarged_are_the_pixels(subsampling: str, orientation: int) -> None:
    pixels, coding = compressed(colors(64, 80), subsampling, 50, orientation)
    chroma = SubsampledChroma(ArraySource(pixels[None]), coding)
    samples = chroma.read(0, *(slice(0, length) for length in chroma.shape))
    height, width, _ = pixels.shape
    found = chroma.upsample(samples, slice(0, height), slice(0, width))
    seen = pixels.astype(np.float64) @ TO_YCC[1:].T
    assert np.abs(found - seen).max() < 2.5
    assert np.abs(found - seen).mean() < 0.4


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("subsampling", SAMPLING)
def test_restored_chroma_stays_in_the_intervals(
    subsampling: str, orientation: int
) -> None:
    pixels, coding = compressed(colors(64, 80), subsampling, 40, orientation)
    chroma = SubsampledChroma(ArraySource(pixels[None]), coding)
    down, across = (coding.cell(axis) for axis in (0, 1))
    before = chroma.read(0, *(slice(0, length) for length in chroma.shape))
    rng = np.random.default_rng(0)
    changed = pixels + rng.normal(0, 25, pixels.shape)
    rows, columns = (slice(0, length) for length in pixels.shape[:2])
    held = chroma.project_to_bounds(0, changed, rows, columns)
    left = inside = 0.0
    for n in range(2):
        steps = coding.steps(n + 1).reshape(8, 8)
        multiples = np.rint(coefficients(before[..., n]) / steps)
        for result in (changed, held):
            found = coefficients(means(result, down, across)[..., n])
            left, inside = inside, np.abs(found / steps - multiples).max()
        assert left > 0.6
        assert inside <= 0.5
    luminance = (held - changed) @ TO_YCC[0]
    assert np.abs(luminance).max() < 1e-9


def test_white_and_black_stay() -> None:
    clean = np.zeros((64, 64, 3), np.uint8)
    clean[:, 32:] = 255
    clean[32:, 16:48] = colors(32, 32)
    pixels, coding = compressed(clean, "4:2:0", 60)
    chroma = SubsampledChroma(ArraySource(pixels[None]), coding)
    changed = pixels + np.random.default_rng(0).normal(0, 9, pixels.shape)
    held = chroma.project_to_bounds(0, changed, slice(0, 64), slice(0, 64))
    before, after = (np.abs(means(result, 2, 2)) for result in (changed, held))
    assert before[:8].max() > 1
    assert after[:8].max() < 1e-3
    assert after[24:, 8:24].max() > 20


@pytest.mark.parametrize("quality", [20, 75])
@pytest.mark.parametrize("subsampling", SAMPLING)
def test_the_picture_that_was_compressed_is_hardly_moved(
    subsampling: str, quality: int
) -> None:
    clean = np.clip(2.2 * (colors(96, 112) - 128.0) + 128, 0, 255).astype(np.uint8)
    pixels, coding = compressed(clean, subsampling, quality)
    assert ((pixels == 0) | (pixels == 255)).any(axis=-1).mean() > 0.05
    chroma = SubsampledChroma(ArraySource(pixels[None]), coding)
    held = chroma.project_to_bounds(0, clean.astype(float), slice(0, 96), slice(0, 112))
    assert np.abs(pixels - clean.astype(float)).mean() > 0.5
    assert np.abs(held - clean).mean() < 0.1


def test_other_decoders_are_found_out() -> None:
    noise = np.random.default_rng(0).integers(60, 190, (64, 64, 3)).astype(np.uint8)
    clean = noise.repeat(2, 0).repeat(2, 1)
    pixels, coding = compressed(clean, "4:2:0", 90)
    assert SubsampledChroma(ArraySource(pixels[None]), coding).is_explained()
    assert not SubsampledChroma(ArraySource(clean[None]), coding).is_explained()
