"""Planes averaged with those before and after them, where these show the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage import transform
from skimage.filters import gaussian

from memnet_core import restore
from memnet_core.inference.engine import prepare
from memnet_core.inference.plan import RestorePlan, plan_restore
from memnet_core.inference.runner import restore as run
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import Image, in_memory
from memnet_core.sources.frame_average import TemporalAverage, averaged
from memnet_core.sources.prefetch import prefetched
from memnet_core.sources.protocols import ArraySink, ArraySource
from memnet_core.sources.regions import PixelRegion

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.io import ImageFile

    Install = Callable[..., Path]

GAIN, BLACK, READ = 2.0, 100.0, 3.0
NOISE = (GAIN, READ**2 - GAIN * BLACK)
blur: Any = gaussian


def scene(side: int = 128) -> NDArray[np.float64]:
    rng = np.random.default_rng(3)
    drawn = np.zeros((side, side))
    for _ in range(60):
        y, x = rng.integers(4, side - 8, 2)
        drawn[y : y + 4, x : x + 4] = rng.uniform(0.3, 1)
    return np.asarray(40 * blur(drawn, 1.2) + 0.5)


def moved(plane: NDArray[np.float64], down: float, across: float) -> Any:
    made: Any = transform
    back = made.AffineTransform(translation=(-across, -down))
    return made.warp(plane, back, order=3, mode="reflect", clip=False)


def photographed(electrons: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, READ, electrons.shape)
    return np.rint(BLACK + GAIN * rng.poisson(np.maximum(electrons, 0)) + noise)


def movie(*moves: tuple[float, float]) -> NDArray[np.float64]:
    frames = [moved(scene(), *move) for move in moves]
    return np.stack([photographed(frame, n) for n, frame in enumerate(frames)])


def of_three(frames: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    first, plane, last = frames[..., None]
    mean, count = averaged(plane, [first, last], *NOISE)
    return mean[..., 0], count


def error(plane: NDArray[np.float64]) -> float:
    return float(np.std((plane - BLACK - GAIN * scene())[8:-8, 8:-8]))


@pytest.mark.parametrize("step", [0.0, 0.7, 2.3])
def test_what_stands_still_or_drifts_loses_noise(step: float) -> None:
    frames = movie((-step, step), (0, 0), (step, -step))
    mean, count = of_three(frames)
    assert count > 2.6
    assert error(mean) < 0.72 * error(frames[1])


def test_what_moves_by_itself_or_blinks_is_not_mixed_in() -> None:
    frames = movie((0, 0), (0, 0), (0, 0))
    for n in (0, 2):
        frames[n, 40:60, 40:60] += 150
    mean, count = of_three(frames)
    assert count < 2.95
    inside = np.zeros(mean.shape, bool)
    inside[42:58, 42:58] = True
    np.testing.assert_array_equal(mean[inside], frames[1][inside])
    assert np.mean(mean[80:] != frames[1][80:]) > 0.9


def test_other_pictures_and_values_that_are_not_finite_do_not_count() -> None:
    frames = movie((0, 0), (0, 0), (0, 0))
    frames[0] = photographed(scene()[::-1, ::-1] * 1.3, 9)
    alone, _ = averaged(frames[1][..., None], [frames[2][..., None]], *NOISE)
    frames[0, 3, 3] = np.nan
    mean, count = of_three(frames)
    np.testing.assert_allclose(mean, alone[..., 0])
    assert 1.6 < count < 2
    frames[1, 5, 5] = np.inf
    mean, count = of_three(frames)
    np.testing.assert_array_equal(mean, frames[1])
    assert count == 1


def test_alpha_stays_and_colors_move_together() -> None:
    frames = movie((0, 1), (0, 0), (0, -1))
    colors = np.stack([frames, frames, frames, np.arange(3 * 128 * 128).reshape(
        3, 128, 128)], -1)  # fmt: skip
    mean, _ = averaged(colors[1], [colors[0], colors[2]], *NOISE)
    np.testing.assert_array_equal(mean[..., 3], colors[1, ..., 3])
    np.testing.assert_allclose(mean[..., 0], mean[..., 2])
    assert error(mean[..., 0]) < 0.75 * error(frames[1])


def opened(shape: tuple[int, ...], axes: str) -> ImageFile:
    return in_memory(Path("stack"), Image(np.zeros((*shape, 4, 5)), f"{axes}YX"))


@pytest.mark.parametrize(
    ("axes", "shape", "plane", "expected"),
    [
        ("T", (3,), 1, [0, 2]),
        ("Z", (3,), 0, [1]),
        ("TC", (3, 2), 3, [1, 5]),
        ("TZ", (2, 3), 4, [1]),
        ("TZ", (1, 3), 2, [1]),
        ("C", (3,), 1, []),
        ("", (), 0, []),
    ],
)
def test_neighbors_are_those_in_time_else_in_depth(
    axes: str, shape: tuple[int, ...], plane: int, expected: list[int]
) -> None:
    source = opened(shape, axes)
    assert source.neighbors(plane) == expected
    with prefetched(source) as ahead:
        assert ahead.neighbors(plane) == expected


def test_sources_that_know_no_neighbors_have_none() -> None:
    assert ArraySource(np.zeros((3, 4, 4, 1))).neighbors(1) == []


def test_each_plane_is_read_once() -> None:
    class Counting(ArraySource):
        read_planes: list[int]

        def neighbors(self, plane: int) -> list[int]:
            return [n for n in (plane - 1, plane + 1) if 0 <= n < len(self.stack)]

        def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
            self.read_planes.append(plane)
            return super().read(plane, rows, columns)

    stack = movie(*[(0.0, 0.0)] * 5)[..., None]
    source = Counting(stack)
    source.read_planes = []
    means = TemporalAverage(source, *NOISE)
    for plane in range(5):
        for top in range(0, 128, 32):
            means.read(plane, slice(top, top + 32), slice(0, 128))
    assert source.read_planes == [0, 1, 2, 3, 4]


def test_decision_tells_of_means_and_goes_through_json(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    frames = movie(*[(0.0, 0.4 * n) for n in range(6)]).astype(np.uint16)
    source = in_memory(Path("movie"), Image(frames, "TYX"))
    alone, three = (
        plan_restore(source, RestoreOptions(task="denoise", context=c)) for c in (1, 3)
    )
    assert alone.channels[0].frames == 1
    frames_found = three.channels[0].frames
    assert 2 < frames_found <= 3
    assert three.remarks[-1] == f"means of {frames_found:.1f} planes"
    assert three.level < 0.8 * alone.level
    assert RestorePlan.model_validate_json(three.model_dump_json()) == three


@pytest.mark.parametrize("settings", [{"noise": "gaussian"}, {"level": 12}])
def test_planes_stay_alone_where_noise_is_not_of_photons(
    install: Install, settings: Any
) -> None:
    install("noise", 0, 255, task="denoise")
    frames = movie(*[(0.0, 0.0)] * 3).astype(np.uint16)
    source = in_memory(Path("movie"), Image(frames, "TYX"))
    decision = plan_restore(
        source, RestoreOptions(task="denoise", context=3, **settings)
    )
    assert decision.channels[0].frames == 1


def test_restored_movies_gain_and_parts_of_them_are_the_same() -> None:
    frames = movie(*[(0.0, 0.3 * (n - 2)) for n in range(5)]).astype(np.uint16)
    settings: dict[str, Any] = {"axes": "TYX", "device": "cpu", "nearest": True}
    alone, three = (restore(frames, context=c, **settings) for c in (1, 3))
    assert error(three[2].astype(float)) < 0.9 * error(alone[2].astype(float))
    assert three.dtype == np.uint16
    source = in_memory(Path("movie"), Image(frames, "TYX"))
    asked = RestoreOptions(task="denoise", context=3, device="cpu", nearest=True)
    part = np.zeros((5, 128, 128, 1), np.uint16)
    region = PixelRegion([2], slice(30, 70), slice(20, 90))
    list(run(source, ArraySink(part), prepare(source, asked), region))
    np.testing.assert_array_equal(part[2, 30:70, 20:90, 0], three[2, 30:70, 20:90])
