from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memnet_core.errors import ImageError
from memnet_core.pixels import to_dtype
from memnet_core.values import RangeChoice, ValueRange, value_range

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
WIDE_INTEGERS = ["uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", INTEGERS + WIDE_INTEGERS)
def test_integers_range_over_what_their_type_holds(dtype: str) -> None:
    limits = np.iinfo(dtype)
    pixels = np.array([3, 5], dtype)
    assert value_range(pixels, "dtype") == ValueRange(
        float(limits.min), float(limits.max)
    )


@pytest.mark.parametrize("dtype", ["bool", *FLOATS])
def test_bools_and_floats_range_from_0_to_1(dtype: str) -> None:
    assert value_range(np.array([0, 1], dtype), "dtype") == ValueRange(0, 1)
    assert value_range(np.array([1, 1], dtype), "dtype") == ValueRange(0, 1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("values", [(-0.5, 1), (0, 1.5), (-2, 300)])
def test_floats_outside_0_to_1_need_a_choice(
    dtype: str, values: tuple[float, float]
) -> None:
    low, high = values
    with pytest.raises(
        ImageError, match=f"{dtype} values reach from {low:g} to {high:g}.*percentile"
    ):
        value_range(np.array(values, dtype), "dtype")


@pytest.mark.parametrize("choice", ["dtype", "percentile", (0.0, 1.0)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_refused(
    bad: float, dtype: str, choice: RangeChoice
) -> None:
    pixels = np.array([[0.1, bad, 0.2], [bad, 0.3, 1]], dtype)
    with pytest.raises(ImageError, match="2 of 6 values are NaN or infinite"):
        value_range(pixels, choice)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_percentiles_leave_out_a_thousandth_at_each_end(dtype: str) -> None:
    pixels = np.random.default_rng(0).permutation(1001).astype(dtype).reshape(7, 143)
    values = value_range(pixels, "percentile")
    assert (values.low, values.high) == pytest.approx((1, 999))


def test_percentiles_of_a_constant_are_a_usable_range() -> None:
    values = value_range(np.full((5, 5), 7, np.uint16), "percentile")
    assert (values.low, values.high) == (7, 8)


def test_percentiles_of_a_large_image_come_from_all_over_it() -> None:
    pixels = np.repeat(np.arange(250, dtype=np.uint8), 40_000).reshape(4000, 2500)
    values = value_range(pixels, "percentile")
    assert (values.low, values.high) == (0, 249)


def test_percentiles_of_a_large_image_come_from_every_channel() -> None:
    pixels = np.zeros((2000, 2000, 3), np.uint8)
    pixels[..., 2] = 200
    values = value_range(pixels, "percentile")
    assert (values.low, values.high) == (0, 200)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_given_values_are_the_range(dtype: str) -> None:
    pixels = np.array([0, 1], dtype)
    assert value_range(pixels, (-3.5, 12.0)) == ValueRange(-3.5, 12.0)


def test_normalizing_is_linear_and_does_not_clip() -> None:
    normalized = ValueRange(-10, 30).normalized(np.array([-30.0, -10, 10, 30, 70]))
    assert normalized.dtype == np.float32
    np.testing.assert_array_equal(normalized, [-0.5, 0, 0.5, 1, 2])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_rounded_and_clipped(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([-1e30, limits.min - 0.6, 5.4, 5.6, limits.max + 0.6, 1e30])
    converted = to_dtype(values, np.dtype(dtype))
    assert converted.dtype == dtype
    assert converted.tolist() == [limits.min] * 2 + [5, 6] + [limits.max] * 2


@pytest.mark.parametrize("dtype", WIDE_INTEGERS)
def test_wide_integers_are_clipped_without_overflow(dtype: str) -> None:
    assert to_dtype(np.array([1e30]), np.dtype(dtype))[0] > 9e18


def test_bools_are_true_from_one_half() -> None:
    converted = to_dtype(np.array([-1, 0, 0.49, 0.5, 1, 2]), np.dtype(bool))
    assert converted.dtype == bool
    assert converted.tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_are_not_clipped(dtype: str) -> None:
    values = np.array([-2.5, 0.25, 300])
    converted = to_dtype(values, np.dtype(dtype))
    assert converted.dtype == dtype
    np.testing.assert_array_equal(converted, values)


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS, *FLOATS])
def test_conversion_to_float64_and_back_is_exact(dtype: str) -> None:
    limits: Any = np.iinfo(dtype) if dtype in INTEGERS else None
    ends = [limits.min, limits.max] if limits else [0, 1]
    pixels = np.array([*ends, 0.1, 0.7], dtype)
    converted = to_dtype(pixels.astype(np.float64), pixels.dtype)
    np.testing.assert_array_equal(converted, pixels)
