"""What the engine does when memory is short or runs out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from memnet_core.engine import Restorer, TileDone, result_of
from memnet_core.errors import DeviceError
from memnet_core.model.architecture import Architecture
from memnet_core.model.fused import memory_per_pixel
from memnet_core.model.streaming import EvaluationNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.model.network import MemNet

    Planes = NDArray[np.float32]
    TinyModel = Callable[[Architecture], MemNet]
    Refuse = Callable[[Tensor], bool]

RADIUS_4 = Architecture(memory_blocks=1, recursions=1, channels=4)

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    MemoryError(),
]


class Memory:
    """Lets the network fail when a condition on its input holds."""

    def __init__(self, refuse: Refuse, error: BaseException) -> None:
        self.refuse = refuse
        self.error = error
        self.tried: list[tuple[int, ...]] = []
        self.handled: list[Any] = []


@pytest.fixture
def limit_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Memory]:
    def limit(refuse: Refuse, error: BaseException = OUT_OF_MEMORY[0]) -> Memory:
        memory = Memory(refuse, error)
        forward = EvaluationNetwork.forward

        def limited(self: EvaluationNetwork, x: Tensor) -> Tensor:
            memory.tried.append(tuple(x.shape))
            memory.handled.append(sys.exc_info())
            if memory.refuse(x):
                raise memory.error
            output: Tensor = forward(self, x)
            return output

        monkeypatch.setattr(EvaluationNetwork, "forward", limited)
        return memory

    return limit


@pytest.fixture
def tell_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the engine believe that so many pixels of RADIUS_4 fit into its share."""

    def tell(pixels: int) -> None:
        available = 2 * pixels * memory_per_pixel(RADIUS_4)
        monkeypatch.setattr(
            "memnet_core.engine.available_memory", lambda device: available
        )

    return tell


def window_above(pixels: int) -> Refuse:
    return lambda x: x[0].numel() > pixels


def noise(*shape: int) -> Planes:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@torch.no_grad()
def assert_is_whole(result: Planes, model: MemNet, planes: Planes) -> None:
    expected = model(torch.from_numpy(planes)[:, None]).output[:, 0].numpy()
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_automatic_tile_shrinks_until_it_fits(
    tiny_model: TinyModel, limit_memory: Callable[..., Memory], error: BaseException
) -> None:
    model = tiny_model(RADIUS_4)
    planes = noise(2, 90, 70)
    memory = limit_memory(window_above(40 * 40), error)
    restorer = Restorer(model, device="cpu")
    assert_is_whole(result_of(restorer.restore(planes)), model, planes)
    assert memory.tried[0][2:] == (90, 70)
    assert memory.tried[-1][2:] == (30, 30)


def test_tile_that_fitted_is_remembered(
    tiny_model: TinyModel, limit_memory: Callable[..., Memory]
) -> None:
    memory = limit_memory(window_above(40 * 40))
    restorer = Restorer(tiny_model(RADIUS_4), device="cpu")
    result_of(restorer.restore(noise(1, 90, 70)))
    memory.tried.clear()
    events = list(restorer.restore(noise(1, 90, 70)))
    assert {size[2:] for size in memory.tried} == {(30, 30)}
    assert len(events) == events[0].total


def test_next_attempt_is_made_when_the_error_is_forgotten(
    tiny_model: TinyModel, limit_memory: Callable[..., Memory]
) -> None:
    memory = limit_memory(window_above(40 * 40))
    result_of(Restorer(tiny_model(RADIUS_4), device="cpu").restore(noise(1, 90, 70)))
    assert len(memory.handled) > 2
    assert set(memory.handled) == {(None, None, None)}


def test_given_tile_never_changes(
    tiny_model: TinyModel, limit_memory: Callable[..., Memory]
) -> None:
    memory = limit_memory(window_above(40 * 40))
    restorer = Restorer(tiny_model(RADIUS_4), device="cpu", tile=(50, 60))
    with pytest.raises(DeviceError, match=r"50×60 px .*choose a smaller tile"):
        result_of(restorer.restore(noise(1, 90, 70)))
    assert {size[2:] for size in memory.tried} == {(58, 68)}


def test_smallest_tile_that_does_not_fit_is_an_error(
    tiny_model: TinyModel, limit_memory: Callable[..., Memory]
) -> None:
    memory = limit_memory(lambda x: True)
    restorer = Restorer(tiny_model(RADIUS_4), device="cpu")
    with pytest.raises(DeviceError, match=r"Not even a tile of 16 px .*another device"):
        result_of(restorer.restore(noise(1, 90, 70)))
    assert memory.tried[-1][2:] == (24, 24)


def test_other_errors_pass_through(
    tiny_model: TinyModel, limit_memory: Callable[..., Memory]
) -> None:
    memory = limit_memory(window_above(0), RuntimeError("expected scalar type"))
    with pytest.raises(RuntimeError, match="expected scalar type"):
        result_of(Restorer(tiny_model(RADIUS_4)).restore(noise(1, 90, 70)))
    assert len(memory.tried) == 1


def test_what_was_finished_before_memory_ran_out_is_kept(
    tiny_model: TinyModel,
    limit_memory: Callable[..., Memory],
    tell_memory: Callable[[int], None],
) -> None:
    tell_memory(40 * 40)
    memory: Memory = limit_memory(
        lambda x: x.shape[-1] == 40 and len(memory.tried) == 2
    )
    model = tiny_model(RADIUS_4)
    planes = noise(1, 104, 40)
    work = Restorer(model, device="cpu").restore(planes)
    events = [next(work)]
    while True:
        try:
            events.append(next(work))
        except StopIteration as stop:
            assert_is_whole(stop.value, model, planes)
            break
    # Of the second plan's 6 × 2 tiles, those of rows 0-19 and 20-35 lie in the core of
    # the tile that is done, rows 0-35.
    assert events == [TileDone(1, 3), *(TileDone(done, 9) for done in range(2, 10))]


@pytest.mark.parametrize("failing", range(1, 7))
def test_nothing_is_left_out_wherever_memory_ran_out(
    tiny_model: TinyModel,
    limit_memory: Callable[..., Memory],
    tell_memory: Callable[[int], None],
    failing: int,
) -> None:
    tell_memory(40 * 40)
    memory: Memory = limit_memory(lambda x: len(memory.tried) == failing)
    model = tiny_model(RADIUS_4)
    planes = noise(2, 104, 40)
    restorer = Restorer(model, device="cpu")
    assert_is_whole(result_of(restorer.restore(planes)), model, planes)
    assert memory.tried[failing][2:] == (24, 24)


def test_progress_ends_at_its_total_also_when_memory_ran_out(
    tiny_model: TinyModel,
    limit_memory: Callable[..., Memory],
    tell_memory: Callable[[int], None],
) -> None:
    tell_memory(40 * 40)
    memory: Memory = limit_memory(lambda x: x.shape[-1] == 40 and len(memory.tried) > 1)
    restorer = Restorer(tiny_model(RADIUS_4), device="cpu", tta=True)
    events = list(restorer.restore(noise(1, 104, 40)))
    assert [event.done for event in events] == list(range(1, len(events) + 1))
    assert all(event.done < event.total for event in events[:-1])
    assert events[-1].done == events[-1].total


@pytest.mark.parametrize(
    ("pixels", "side"), [(10**9, 1024), (40 * 40, 32), (100, 16), (0, 16)]
)
def test_automatic_tile_follows_from_the_memory_at_hand(
    tiny_model: TinyModel, tell_memory: Callable[[int], None], pixels: int, side: int
) -> None:
    tell_memory(pixels)
    model = tiny_model(RADIUS_4)
    automatic = Restorer(model, device="cpu")
    given = Restorer(model, device="cpu", tile=side)
    planes = noise(1, 2000, 1500)
    first, expected = (next(r.restore(planes)) for r in (automatic, given))
    assert first.total == expected.total


def test_batch_follows_from_the_memory_at_hand(
    tiny_model: TinyModel,
    limit_memory: Callable[..., Memory],
    tell_memory: Callable[[int], None],
) -> None:
    tell_memory(3 * 20 * 20)
    memory = limit_memory(lambda x: False)
    result_of(Restorer(tiny_model(RADIUS_4), device="cpu").restore(noise(8, 20, 20)))
    assert [size[0] for size in memory.tried] == [3, 3, 2]


@pytest.mark.parametrize("tile", [None, 32])
def test_batch_shrinks_before_the_tile_does(
    tiny_model: TinyModel, limit_memory: Callable[..., Memory], tile: int | None
) -> None:
    limit_memory(lambda x: x.numel() > 2 * 40 * 40)
    model = tiny_model(RADIUS_4)
    planes = noise(8, 64, 64)
    restorer = Restorer(model, device="cpu", tile=tile)
    assert_is_whole(result_of(restorer.restore(planes)), model, planes)
