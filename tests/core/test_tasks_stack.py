"""Restoring planes that are read when their turn comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core._old_tasks import (
    TaskSettings,
    restore_image,
    restore_stack,
    restored_shape,
)
from memnet_core.engine import result_of
from memnet_core.errors import ImageError
from memnet_core.io import Image
from memnet_core.values import ValueRange, stack_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.engine import Restorer

    StubRestorer = Callable[[Callable[[NDArray[Any]], NDArray[Any]]], Restorer]

DENOISE = TaskSettings(task="denoise", level=30, value_range=(0.0, 255.0))


class LazyPlanes:
    """Planes that note when they are read."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self._pixels = pixels
        self.read: list[int] = []

    @property
    def shape(self) -> tuple[int, ...]:
        return self._pixels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._pixels.dtype

    def __getitem__(self, index: int) -> NDArray[Any]:
        self.read.append(index)
        plane: NDArray[Any] = self._pixels[index]
        return plane


def noise(*shape: int, dtype: str = "uint8") -> NDArray[Any]:
    pixels: NDArray[Any] = np.random.default_rng(0).integers(0, 256, shape)
    return pixels.astype(dtype)


def test_a_plane_is_read_after_the_one_before_it_is_done(
    stub_restorer: StubRestorer,
) -> None:
    stack = LazyPlanes(noise(3, 4, 5, 1))
    result = np.zeros(stack.shape, stack.dtype)
    work = restore_stack(
        stack, result, stub_restorer(lambda p: p), DENOISE, ValueRange(0, 255)
    )
    read = [(event.done, event.total, len(stack.read)) for event in work]
    assert read == [(1, 6, 1), (2, 6, 1), (3, 6, 2), (4, 6, 2), (5, 6, 3), (6, 6, 3)]
    np.testing.assert_array_equal(result, noise(3, 4, 5, 1))


@pytest.mark.parametrize("samples", [1, 3, 4])
@pytest.mark.parametrize("task", ["denoise", "sr"])
def test_lazy_planes_become_what_an_image_becomes(
    stub_restorer: StubRestorer, task: Any, samples: int
) -> None:
    pixels = noise(2, 6, 7, samples)
    settings = TaskSettings(task=task, level=2)
    restorer = stub_restorer(lambda planes: planes * 0.5 + 0.1)
    whole = result_of(restore_image(Image(pixels, "ZYXS"), restorer, settings))
    lazy = np.zeros(restored_shape(pixels.shape, settings), np.uint8)
    values = ValueRange(0, 255)
    result_of(restore_stack(LazyPlanes(pixels), lazy, restorer, settings, values))
    np.testing.assert_array_equal(lazy, whole.pixels)


def test_a_plane_that_is_not_finite_ends_the_work(stub_restorer: StubRestorer) -> None:
    pixels = noise(2, 4, 5, 1, dtype="float32")
    pixels[1, 0, 0] = np.nan
    stack = LazyPlanes(pixels)
    work = restore_stack(
        stack, pixels.copy(), stub_restorer(lambda p: p), DENOISE, ValueRange(0, 255)
    )
    with pytest.raises(ImageError, match="1 of 20 values are NaN"):
        result_of(work)


@pytest.mark.parametrize("choice", ["dtype", (3.0, 9.0)], ids=str)
def test_range_of_an_integer_stack_reads_no_plane(choice: Any) -> None:
    stack = LazyPlanes(noise(40, 4, 5, 1))
    values = stack_range(stack, choice)
    assert (values.low, values.high) == ((0, 255) if choice == "dtype" else choice)
    assert stack.read == []


def test_percentiles_of_a_stack_come_from_planes_all_over_it() -> None:
    pixels = np.repeat(np.arange(100, dtype=np.uint16), 12).reshape(100, 3, 4, 1)
    stack = LazyPlanes(pixels)
    values = stack_range(stack, "percentile")
    assert len(stack.read) == 16
    assert (values.low, values.high) == (0, 99)


def test_floats_of_a_stack_outside_0_to_1_need_a_choice() -> None:
    with pytest.raises(ImageError, match="reach from 0 to 2"):
        stack_range(LazyPlanes(np.array([[[[0.0], [2.0]]]])), "dtype")
