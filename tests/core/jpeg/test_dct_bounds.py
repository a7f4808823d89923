"""What a JPEG file says of its pixels, against what Pillow's encoder does."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from memnet_core.jpeg.coding import BLOCK, JpegCoding
from memnet_core.jpeg.dct_bounds import estimate_dct_bounds, project_colors_to_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE = ((0, 0), (0, 0))


_K = np.arange(BLOCK)
_BASIS = np.cos(np.pi * (2 * _K + 1) * _K[:, None] / 16) / 2
_BASIS[0] /= np.sqrt(2)


def dct(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Return the coefficients of whole blocks by the definition of the transform."""
    height, width = plane.shape
    blocks = plane.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    return np.asarray(_BASIS @ blocks @ _BASIS.T)


def scene(seed: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Return shapes and texture that stay clear of black and white."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    plane = 120 + 40 * np.sin(x / rng.uniform(3, 15) + y / rng.uniform(3, 15))
    plane[(y - 30) ** 2 + (x - 50) ** 2 < rng.uniform(50, 500)] += 30
    plane += rng.normal(0, 4, plane.shape)
    levels: NDArray[np.uint8] = np.clip(np.rint(plane), 40, 215).astype(np.uint8)
    return levels


def compressed(
    pixels: NDArray[np.uint8], **options: Any
) -> tuple[NDArray[np.float64], tuple[tuple[int, ...], ...]]:
    """Return decoded pixels of shape (h, w, S) and the tables of the components."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    buffer.seek(0)
    with JpegImageFile(buffer) as image:
        tables = tuple(tuple(image.quantization[c[3]]) for c in image.layer)
        decoded = np.asarray(image, np.float64)
    return decoded.reshape(*decoded.shape[:2], -1), tables


def restored(decoded: NDArray[Any], seed: int = 1, size: float = 12) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return np.asarray(decoded + rng.normal(0, size, decoded.shape))


def multiples(plane: NDArray[Any], table: tuple[int, ...]) -> NDArray[Any]:
    return np.asarray(np.rint(dct(plane - 128) / np.reshape(table, (8, 8))))


@pytest.mark.parametrize("quality", [5, 10, 20, 30, 40, 50, 60, 70, 75])
def test_compressing_the_result_again_gives_the_coefficients_of_the_file(
    quality: int,
) -> None:
    for seed in range(8):
        clean = scene(seed)
        decoded, tables = compressed(clean, quality=quality)
        exact = dct(clean - 128.0) / np.reshape(tables[0], (8, 8))
        # Pillow's transform is one of integers: it rounds ties and near ties otherwise.
        sure = np.abs(np.abs(exact - np.rint(exact)) - 0.5) > 0.03
        result = project_colors_to_bounds(
            decoded, restored(decoded), JpegCoding(tables), WHOLE
        )
        found = multiples(result[..., 0], tables[0])
        assert np.array_equal(found[sure], np.rint(exact)[sure])


@pytest.mark.parametrize(("quality", "share"), [(85, 0.01), (90, 0.02), (95, 0.05)])
def test_fine_steps_are_recovered_but_for_what_rounding_hides(
    quality: int, share: float
) -> None:
    wrong = []
    for seed in range(8):
        clean = scene(seed)
        decoded, tables = compressed(clean, quality=quality)
        result = project_colors_to_bounds(
            decoded, restored(decoded), JpegCoding(tables), WHOLE
        )
        exact = multiples(clean.astype(float), tables[0])
        wrong.append(np.mean(multiples(result[..., 0], tables[0]) != exact))
    assert np.mean(wrong) < share


def test_pillow_writes_the_same_file_again_from_the_rounded_result() -> None:
    clean = scene(3)
    decoded, tables = compressed(clean, quality=10)
    result = project_colors_to_bounds(
        decoded, restored(decoded, size=4), JpegCoding(tables), WHOLE
    )
    rounded = np.rint(result[..., 0]).astype(np.uint8)
    again, _ = compressed(rounded, qtables=[list(tables[0])])
    differing = multiples(again[..., 0], tables[0]) != multiples(
        decoded[..., 0], tables[0]
    )
    # Rounding to 8 bits moves coefficients by 0.3 on average: few leave steps of 50.
    assert differing.mean() < 0.005


def test_doing_it_twice_changes_nothing_more() -> None:
    decoded, tables = compressed(scene(2), quality=30)
    coding = JpegCoding(tables)
    once = project_colors_to_bounds(decoded, restored(decoded), coding, WHOLE)
    twice = project_colors_to_bounds(decoded, once, coding, WHOLE)
    np.testing.assert_allclose(twice, once, atol=1e-9)


def test_what_contradicts_nothing_stays() -> None:
    clean = scene(4)
    decoded, tables = compressed(clean, quality=20)
    slight = decoded + 0.2 * (clean[..., None] - decoded)
    result = project_colors_to_bounds(decoded, slight, JpegCoding(tables), WHOLE)
    np.testing.assert_allclose(result, slight, atol=0.1)


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_stay(value: int) -> None:
    decoded, tables = compressed(np.full((24, 24), value, np.uint8), quality=10)
    result = project_colors_to_bounds(
        decoded, np.abs(decoded - 3), JpegCoding(tables), WHOLE
    )
    np.testing.assert_array_equal(result, decoded)


def test_intervals_of_clipped_blocks_hold_coefficients_that_explain_them() -> None:
    steps = np.full(64, 16.0)
    true = np.zeros((8, 8))
    true[:2, :2] = [[58 * 16, 4 * 16], [-4 * 16, 16]]
    basis = _BASIS.T @ true @ _BASIS
    assert (basis > 127.5).any()
    seen = np.clip(np.rint(basis), -128, 127).reshape(1, 64)
    high = np.where(seen >= 127, np.inf, seen + 0.5)
    lowest, highest = estimate_dct_bounds(seen - 0.5, high, steps)
    found = ((lowest + highest) / 2).reshape(8, 8)
    decoded = np.clip(np.rint(_BASIS.T @ found @ _BASIS), -128, 127)
    np.testing.assert_allclose(decoded.ravel(), seen[0], atol=0.5)
    np.testing.assert_allclose(highest - lowest, 16, rtol=0.01)


@pytest.mark.parametrize("shape", [(61, 90), (8, 5), (3, 3), (65, 64)])
def test_sides_that_are_no_multiple_of_the_block(shape: tuple[int, int]) -> None:
    clean = scene(1, 72, 96)[: shape[0], : shape[1]]
    decoded, tables = compressed(np.ascontiguousarray(clean), quality=25)
    coding = JpegCoding(tables)
    height, width = shape
    missing = (
        coding.missing(slice(0, height), height, 0),
        coding.missing(slice(0, width), width, 1),
    )
    made = restored(decoded)
    result = project_colors_to_bounds(decoded, made, coding, missing)
    assert result.shape == decoded.shape
    assert np.mean((result - decoded) ** 2) < np.mean((made - decoded) ** 2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_grid_turns_with_the_pixels(orientation: int) -> None:
    from memnet_core.io.core.orientation import apply_orientation

    decoded, tables = compressed(scene(6, 45, 61), quality=30)
    made = restored(decoded)
    straight = JpegCoding(tables)
    turned = JpegCoding(tables, orientation=orientation)

    def held(coding: JpegCoding, before: NDArray[Any], after: NDArray[Any]) -> Any:
        height, width = before.shape[:2]
        missing = (
            coding.missing(slice(0, height), height, 0),
            coding.missing(slice(0, width), width, 1),
        )
        return project_colors_to_bounds(before, after, coding, missing)

    expected = apply_orientation(held(straight, decoded, made), orientation, 0, 1)
    found = held(
        turned,
        apply_orientation(decoded, orientation, 0, 1),
        apply_orientation(made, orientation, 0, 1),
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_parts_are_widened_to_blocks_of_the_grid() -> None:
    straight, flipped = (
        JpegCoding(((1,) * 64,)),
        JpegCoding(((1,) * 64,), orientation=3),
    )
    assert straight.aligned(slice(9, 23), 45, 0) == slice(8, 24)
    assert straight.aligned(slice(41, 42), 45, 0) == slice(40, 45)
    assert flipped.aligned(slice(9, 23), 45, 0) == slice(5, 29)
    assert flipped.aligned(slice(0, 2), 45, 1) == slice(0, 5)
    assert flipped.missing(slice(0, 5), 45, 1) == (3, 0)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_luminance_of_colors_is_held_and_chroma_kept(subsampling: str) -> None:
    clean = np.stack([scene(1), scene(2), scene(3)], axis=-1)
    decoded, tables = compressed(clean, quality=40, subsampling=subsampling)
    coding = JpegCoding(tables, ((1, 1),) * 3)
    made = decoded + restored(np.zeros(decoded.shape[:2]))[..., None]
    result = project_colors_to_bounds(decoded, made, coding, WHOLE)
    weights = [0.299, 0.587, 0.114]
    held, seen = result @ weights, np.rint(decoded @ weights)
    unclipped = ((decoded > 0) & (decoded < 255)).all(axis=-1)
    assert unclipped.all()
    np.testing.assert_array_equal(
        multiples(held, tables[0]), multiples(seen, tables[0])
    )
    chroma = [0.5, -0.418688, -0.081312]
    np.testing.assert_allclose(result @ chroma, decoded @ chroma, atol=1e-6)


@pytest.mark.parametrize(("gray", "share", "step"), [(120, 0.6, 4), (125, 0.1, 3)])
def test_coefficients_that_count_as_found_explain_pixels_that_were_not_clipped(
    gray: int, share: float, step: int
) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(-2, 3, (300, 8, 8)) * (rng.random((300, 8, 8)) < share)
    true[:, 0, 0] = np.rint(8 * gray / step)
    seen = np.clip(np.rint(_BASIS.T @ (true * step) @ _BASIS), -128, 127)
    seen = seen.reshape(-1, 64)
    is_clipped = seen >= 127
    high = np.where(is_clipped, np.inf, seen + 0.5)
    lowest, highest = estimate_dct_bounds(seen - 0.5, high, np.full(64, float(step)))
    # Where none are found, the interval is made wide enough for the pixels, too.
    is_found = np.isclose(highest - lowest, step, rtol=0.01).all(axis=1)
    assert is_found.sum() > 100
    found = (lowest + highest)[is_found].reshape(-1, 8, 8) / 2
    decoded = (_BASIS.T @ found @ _BASIS).reshape(-1, 64)
    off = np.abs(decoded - seen[is_found])[~is_clipped[is_found]]
    # They would be rounded to other levels if they were further off.
    assert off.max() < 0.7
