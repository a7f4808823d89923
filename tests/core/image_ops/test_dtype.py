from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memnet_core.image_ops.dtype import to_dtype

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
WIDE_INTEGERS = ["uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]


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
