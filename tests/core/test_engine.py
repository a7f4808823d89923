from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memnet_core.engine import Restorer, result_of
from memnet_core.errors import DeviceError, ImageError, UsageError
from memnet_core.model.architecture import Architecture
from memnet_core.model.streaming import EvaluationNetwork
from memnet_core.tiling import plan_tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.model.network import MemNet

    Planes = NDArray[np.float32]
    TinyModel = Callable[[Architecture], MemNet]

SMALLEST = Architecture(memory_blocks=1, recursions=1, channels=4)
DEEPER = Architecture(memory_blocks=2, recursions=1, channels=4)
UNSHUFFLED = Architecture(memory_blocks=1, recursions=1, channels=4, unshuffle=2)

ROUNDING = 1e-5

sides = st.integers(1, 40) | st.integers(1, 5)


def noise(*shape: int) -> Planes:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def restored(model: MemNet, planes: Planes, **options: Any) -> Planes:
    restorer = Restorer(model, **{"device": "cpu", **options})
    result: Planes = result_of(restorer.restore(planes))
    return result


@torch.no_grad()
def whole(model: MemNet, planes: Planes, exit_block: int | None = None) -> Planes:
    """Give what the training form of a network makes of untiled planes."""
    output: Planes = model(torch.from_numpy(planes)[:, None], exit_block).output[:, 0]
    return np.asarray(output)


def deviation(actual: Planes, expected: Planes) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Collect what the network is called with."""
    forward = EvaluationNetwork.forward
    inputs: list[Tensor] = []

    def recorded(self: EvaluationNetwork, x: Tensor) -> Tensor:
        inputs.append(x)
        output: Tensor = forward(self, x)
        return output

    monkeypatch.setattr(EvaluationNetwork, "forward", recorded)
    return inputs


@given(
    architecture=st.sampled_from([SMALLEST, DEEPER, UNSHUFFLED]),
    shape=st.tuples(st.integers(1, 2), sides, sides),
    tile=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    wider=st.sampled_from([None, 0, 1, 5]),
)
@example(SMALLEST, (1, 1, 1), (1, 1), None)
@example(UNSHUFFLED, (1, 1, 1), (1, 1), None)
@example(DEEPER, (1, 1, 40), (30, 1), 0)
@example(UNSHUFFLED, (2, 39, 33), (3, 5), 1)
@settings(deadline=None, max_examples=80)
def test_tiles_make_no_difference(
    tiny_model: TinyModel,
    architecture: Architecture,
    shape: tuple[int, int, int],
    tile: tuple[int, int],
    wider: int | None,
) -> None:
    model = tiny_model(architecture)
    planes = noise(*shape)
    halo = None if wider is None else architecture.radius() + wider
    tiled = restored(model, planes, tile=tile, halo=halo)
    assert tiled.dtype == np.float32
    assert deviation(tiled, whole(model, planes)) <= ROUNDING


@pytest.mark.parametrize("missing", [1, 4])
def test_halo_below_the_radius_shows_seams(tiny_model: TinyModel, missing: int) -> None:
    model = tiny_model(SMALLEST)
    planes = noise(1, 38, 38)
    halo = SMALLEST.radius() - missing
    difference = np.abs(
        restored(model, planes, tile=8, halo=halo) - whole(model, planes)
    )[0]
    beside_a_seam = np.ones((38, 38), np.bool_)
    for tile in plan_tiles((38, 38), (8, 8), halo):
        rows, columns = tile.core
        beside_a_seam[
            rows.start + missing : rows.stop - missing,
            columns.start + missing : columns.stop - missing,
        ] = False
    assert difference.max() > 100 * ROUNDING
    assert difference[~beside_a_seam].max(initial=0) <= ROUNDING


@pytest.mark.parametrize(
    ("halo", "exact"), [(None, True), (6, True), (7, True), (5, False), (0, False)]
)
def test_only_a_halo_below_the_radius_is_inexact(
    tiny_model: TinyModel, halo: int | None, exact: bool
) -> None:
    restorer = Restorer(tiny_model(DEEPER), device="cpu", halo=halo)
    assert restorer.radius == 6
    assert restorer.is_exact is exact


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("architecture", [SMALLEST, UNSHUFFLED], ids=str)
def test_progress_counts_to_a_total_known_from_the_start(
    tiny_model: TinyModel, architecture: Architecture, tta: bool
) -> None:
    restorer = Restorer(tiny_model(architecture), device="cpu", tile=(5, 9), tta=tta)
    events = list(restorer.restore(noise(3, 33, 47)))
    total = len(events)
    assert total > 3 * (8 if tta else 1)
    assert [event.done for event in events] == list(range(1, total + 1))
    assert {event.total for event in events} == {total}


def test_closing_stops_within_a_tile(
    tiny_model: TinyModel, calls: list[Tensor]
) -> None:
    work = Restorer(tiny_model(SMALLEST), device="cpu", tile=256).restore(
        noise(1, 600, 264)
    )
    assert next(work).total == 3
    work.close()
    assert len(calls) == 1


def test_many_small_planes_are_batched_and_do_not_mix(
    tiny_model: TinyModel, calls: list[Tensor]
) -> None:
    model = tiny_model(SMALLEST)
    planes = noise(30, 9, 7)
    together = restored(model, planes)
    assert len(calls) == 1
    singly = np.concatenate([restored(model, plane[None]) for plane in planes])
    assert deviation(together, singly) <= ROUNDING


def test_given_planes_may_lie_anyhow_in_memory_and_stay_as_they_are(
    tiny_model: TinyModel,
) -> None:
    model = tiny_model(SMALLEST)
    base = noise(2, 20, 15)
    kept = base.copy()
    view = base.transpose(0, 2, 1)[::-1, ::-1]
    view.flags.writeable = False
    result = restored(model, view, tile=6)
    assert deviation(result, whole(model, view.copy())) <= ROUNDING
    np.testing.assert_array_equal(base, kept)


def turned(planes: Planes, turn: int) -> Planes:
    """Give planes in one of the eight orientations."""
    rotated = np.rot90(planes, turn % 4, (1, 2))
    return np.flip(rotated, 1) if turn >= 4 else rotated


def turned_back(planes: Planes, turn: int) -> Planes:
    return np.rot90(np.flip(planes, 1) if turn >= 4 else planes, -turn % 4, (1, 2))


@pytest.mark.parametrize("shape", [(2, 24, 24), (1, 13, 30)], ids=str)
@pytest.mark.parametrize("architecture", [SMALLEST, UNSHUFFLED], ids=str)
def test_augmented_result_is_the_mean_of_eight(
    tiny_model: TinyModel, architecture: Architecture, shape: tuple[int, int, int]
) -> None:
    model = tiny_model(architecture)
    planes = noise(*shape)
    singles = [
        turned_back(restored(model, turned(planes, turn)), turn) for turn in range(8)
    ]
    mean = np.mean(np.stack(singles), axis=0)
    augmented = restored(model, planes, tta=True, tile=(7, 12))
    assert augmented.dtype == np.float32
    assert deviation(augmented, mean) <= ROUNDING
    assert deviation(singles[0], mean) > 100 * ROUNDING


@pytest.mark.parametrize("shape", [(1, 24, 24), (2, 13, 30)], ids=str)
def test_augmented_result_turns_with_the_image(
    tiny_model: TinyModel, shape: tuple[int, int, int]
) -> None:
    model = tiny_model(SMALLEST)
    planes = noise(*shape)
    single = restored(model, planes)
    augmented = restored(model, planes, tta=True)
    for turn in range(1, 8):
        other = turned(planes, turn)
        other_single = turned_back(restored(model, other), turn)
        other_augmented = turned_back(restored(model, other, tta=True), turn)
        assert deviation(other_single, single) > 100 * ROUNDING
        assert deviation(other_augmented, augmented) <= ROUNDING


@pytest.mark.parametrize("exit_block", [1, 2])
def test_early_exit_needs_less_context(tiny_model: TinyModel, exit_block: int) -> None:
    model = tiny_model(DEEPER)
    planes = noise(1, 40, 30)
    restorer = Restorer(model, device="cpu", exit_block=exit_block, tile=(9, 6))
    assert restorer.radius == restorer.halo == 2 + 2 * exit_block
    result = result_of(restorer.restore(planes))
    assert deviation(result, whole(model, planes, exit_block)) <= ROUNDING


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 0}, "at least 1 px"),
        ({"tile": (8, 0)}, "at least 1 px"),
        ({"halo": -1}, "negative: -1"),
        ({"exit_block": 3}, "Exit block 3"),
    ],
    ids=str,
)
def test_options_that_cannot_be_meant_are_refused(
    tiny_model: TinyModel, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Restorer(tiny_model(DEEPER), device="cpu", **options)


def test_unknown_device_is_refused_and_the_others_are_named(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"'cuda:2'.* auto, cuda:0, cuda:1, cpu"):
        Restorer(tiny_model(SMALLEST), device="cuda:2")


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float16", 0.01), ("bfloat16", 0.1)]
)
def test_lower_precision_comes_near(
    tiny_model: TinyModel,
    caplog: pytest.LogCaptureFixture,
    precision: str,
    tolerance: float,
) -> None:
    model = tiny_model(SMALLEST)
    planes = noise(2, 20, 30)
    result = restored(model, planes, precision=precision)
    assert result.dtype == np.float32
    assert 0 < deviation(result, whole(model, planes)) <= tolerance
    assert not caplog.records


@pytest.fixture
def overflowing(tiny_model: TinyModel) -> MemNet:
    """Make a network whose features exceed what float16 holds, and no weight does."""
    model = copy.deepcopy(tiny_model(SMALLEST))
    with torch.no_grad():
        largest = model.fenet.weight.abs().max()
        model.fenet.weight.mul_(60000 / largest)
    return model


def test_overflow_in_half_precision_is_done_again_in_full(
    overflowing: MemNet, caplog: pytest.LogCaptureFixture, calls: list[Tensor]
) -> None:
    planes = noise(1, 20, 30)
    expected = restored(overflowing, planes)
    assert not caplog.records
    result = restored(overflowing, planes, precision="float16")
    np.testing.assert_array_equal(result, expected)
    assert [x.dtype for x in calls] == [torch.float32, torch.float16, torch.float32]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "done in float32" in record.getMessage()


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_result_that_is_not_finite_in_full_precision_is_an_error(
    tiny_model: TinyModel, precision: str, bad: float
) -> None:
    planes = noise(1, 20, 30)
    planes[0, 10, 10] = bad
    with pytest.raises(ImageError, match="not finite; check the range"):
        restored(tiny_model(SMALLEST), planes, precision=precision)
