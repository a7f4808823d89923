"""Which values become 0 and 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.errors import ImageError, UsageError
from memnet_core.inference.scaling import (
    CyclicScaling,
    LinearScaling,
    cyclic_scaling_of,
    looks_cyclic,
    scaling_of,
)
from memnet_core.sources.protocols import ArraySource
from memnet_core.sources.sampling import sampled_blocks, sampled_planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]


def chosen(pixels: NDArray[Any], choice: Any) -> LinearScaling:
    return scaling_of([pixels.reshape(-1, 1, 1)], pixels.dtype, choice)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_range_over_what_their_type_holds(dtype: str) -> None:
    limits = np.iinfo(dtype)
    expected = LinearScaling(low=float(limits.min), high=float(limits.max))
    assert chosen(np.array([3, 5], dtype), "dtype") == expected


@pytest.mark.parametrize("dtype", ["bool", *FLOATS])
def test_bools_and_floats_range_from_0_to_1(dtype: str) -> None:
    assert chosen(np.array([0, 1], dtype), "dtype") == LinearScaling(low=0, high=1)
    assert chosen(np.array([1, 1], dtype), "dtype") == LinearScaling(low=0, high=1)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8"])
def test_narrow_types_are_taken_as_they_are_by_default(dtype: str) -> None:
    pixels = np.array([0, 1, 1], dtype)
    assert chosen(pixels, "auto") == chosen(pixels, "dtype")


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_wide_types_are_taken_by_what_they_hold_by_default(dtype: str) -> None:
    pixels = np.arange(100, 1101).astype(dtype)
    assert chosen(pixels, "auto") == chosen(pixels, "percentile")
    assert chosen(pixels, "auto") == LinearScaling(low=101, high=1099)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("values", [(-0.5, 1), (0, 1.5), (-2, 300)])
def test_floats_outside_0_to_1_need_another_choice(
    dtype: str, values: tuple[float, float]
) -> None:
    low, high = values
    with pytest.raises(
        ImageError, match=f"{dtype} values reach from {low:g} to {high:g}.*'auto'"
    ):
        chosen(np.array(values, dtype), "dtype")


def test_percentiles_of_a_constant_are_a_usable_range() -> None:
    assert chosen(np.full(25, 7, np.uint16), "percentile") == LinearScaling(
        low=7, high=8
    )


def test_given_values_are_the_range() -> None:
    assert chosen(np.array([0, 1]), (-3.5, 12.0)) == LinearScaling(low=-3.5, high=12)


def test_values_that_do_not_rise_are_refused() -> None:
    with pytest.raises(UsageError, match="5,5 does not rise"):
        chosen(np.array([0, 1]), (5.0, 5.0))


def test_scaling_survives_json() -> None:
    scaling = LinearScaling(low=-1.25, high=1e-3)
    assert LinearScaling.model_validate_json(scaling.model_dump_json()) == scaling


class Planes(ArraySource):
    """Planes in two channels that note what is read."""

    channels = 2

    def __init__(self, stack: NDArray[Any]) -> None:
        super().__init__(stack)
        self.planes: set[int] = set()
        self.pixels = 0

    def channel(self, plane: int) -> int:
        return plane % 2

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        window = super().read(plane, rows, columns)
        self.planes.add(plane)
        self.pixels += window.size
        return window


def test_sample_of_a_channel_is_of_its_planes_all_over_the_stack() -> None:
    source = Planes(np.zeros((100, 3, 4, 1), np.uint16))
    planes = sampled_planes(source, 1)
    assert len(planes) == 8
    assert all(plane % 2 for plane in planes)
    assert planes[0] < 20
    assert planes[-1] > 80
    sampled_blocks(source, planes)
    assert source.planes == set(planes)


def test_sample_of_a_large_plane_reaches_all_its_borders() -> None:
    pixels = np.zeros((1, 400, 3000, 1), np.uint16)
    pixels[0, :, :10] = 1000
    pixels[0, :, -10:] = 2000
    pixels[0, :10] = 3000
    pixels[0, -10:] = 4000
    source = Planes(pixels)
    blocks = sampled_blocks(source, [0], pixels=100_000)
    found = np.concatenate([block.ravel() for block in blocks])
    assert set(np.unique(found)) == {0, 1000, 2000, 3000, 4000}
    assert source.pixels <= 100_000


def test_sample_leaves_alpha_out() -> None:
    source = ArraySource(np.ones((1, 5, 6, 4), np.uint8))
    assert [block.shape for block in sampled_blocks(source, [0])] == [(5, 6, 3)]


def phases(noise: float = 0.2) -> NDArray[np.float32]:
    """Return wrapped phases of a slope with some noise, shape (96, 96, 1)."""
    slope = np.add.outer(np.arange(96) * 0.2, np.arange(96) * 0.1)
    slope += np.random.default_rng(3).normal(0, noise, slope.shape)
    wrapped: NDArray[np.float32] = np.angle(np.exp(1j * slope)).astype(np.float32)
    return wrapped[..., None]


def test_wrapped_phases_look_cyclic_also_beside_holes() -> None:
    holed = phases()
    holed[5:9, 5:9] = np.inf
    for pixels in (phases(), phases() + np.float32(np.pi), np.degrees(phases()), holed):
        assert looks_cyclic([pixels], pixels.dtype)


def test_what_only_fills_the_range_of_phases_does_not_look_cyclic() -> None:
    rng = np.random.default_rng(1)
    spread = rng.uniform(-np.pi, np.pi, (96, 96, 1)).astype(np.float32)
    masked = np.where(rng.random((96, 96, 1)) < 0.5, -np.pi, np.pi).astype(np.float32)
    smooth = np.sort(spread, axis=0)
    for pixels in (spread, masked, smooth, phases() / 2):
        assert not looks_cyclic([pixels], pixels.dtype)


def test_values_that_come_around_change_by_the_shorter_way() -> None:
    scaling = CyclicScaling(low=-180, high=180)
    values = np.array([[170.0, -175.0, 10.0]])
    after = scaling.forward(np.array([[-170.0, 175.0, 30.0]]))
    change = scaling.inverse_difference(values, after)
    np.testing.assert_allclose(change, [[20, -10, 20]], atol=1e-4)
    np.testing.assert_allclose(
        scaling.wrapped(values + change), [[-170, 175, 30]], atol=1e-4
    )


def test_cyclic_values_that_nothing_changed_stay_exactly() -> None:
    values = np.array([[-np.pi, np.pi, 0.1, -2.7]])
    scaling = CyclicScaling(low=-np.pi, high=np.pi)
    change = scaling.inverse_difference(values, scaling.forward(values))
    np.testing.assert_array_equal(scaling.wrapped(values + change), values)


def test_the_period_is_that_of_the_type_or_the_first_that_holds_the_values() -> None:
    def ends(values: NDArray[Any], choice: Any = "auto") -> tuple[float, float]:
        scaling = cyclic_scaling_of([values[..., None]], values.dtype, choice)
        return scaling.low, scaling.high

    assert ends(np.zeros((2, 2), np.uint8)) == (-0.5, 255.5)
    assert ends(np.array([[0.0, 6.1]])) == (0, 2 * np.pi)
    assert ends(np.array([[0.0, 350.0]])) == (0, 360)
    assert ends(np.array([[0.0, 350.0]]), (0, 400)) == (0, 400)
    with pytest.raises(UsageError, match="lie in no period"):
        ends(np.array([[0.0, 700.0]]))
