"""The engine: rows of arrays through a network on a device."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from memnet_core.errors import (
    DeviceError,
    ImageError,
    NotFinite,
    OutOfMemory,
    UsageError,
)
from memnet_core.inference.engine import Engine
from memnet_core.model.architecture import Architecture
from memnet_core.model.fused import Convolution
from memnet_core.model.streaming import RowStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.model.network import MemNet

    Planes = NDArray[np.float32]
    TinyModel = Callable[[Architecture], MemNet]

SMALL = Architecture(memory_blocks=2, recursions=1, channels=4)
UNSHUFFLED = Architecture(memory_blocks=1, recursions=1, channels=4, unshuffle=3)
LEVEL = Architecture(memory_blocks=1, recursions=1, channels=4, level_map=True)
COLOR = Architecture(memory_blocks=1, recursions=1, channels=4, image_channels=3)

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    MemoryError(),
]


def noise(*shape: int) -> Planes:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def strips(planes: Planes, rows: int) -> Iterator[Planes]:
    for top in range(0, planes.shape[2], rows):
        yield planes[:, :, top : top + rows]


def restored(
    engine: Engine, planes: Planes, rows: int, level: float | None = None
) -> Planes:
    height = planes.shape[2]
    return np.concatenate(
        list(engine.stream(strips(planes, rows), height, level)), axis=2
    )


@torch.no_grad()
def whole(model: MemNet, planes: Planes, exit_block: int | None = None) -> Planes:
    """Give what the training form of a network makes of images."""
    return np.asarray(model(torch.from_numpy(planes), exit_block).output)


def assert_near(actual: Planes, expected: Planes, tolerance: float = 1e-5) -> None:
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 40, 23), (1, 5, 61)], ids=str)
@pytest.mark.parametrize("architecture", [SMALL, UNSHUFFLED, COLOR], ids=str)
def test_height_of_strips_changes_no_bit(
    tiny_model: TinyModel, architecture: Architecture, shape: tuple[int, int, int]
) -> None:
    images, height, width = shape
    planes = noise(images, architecture.image_channels, height, width)
    model = tiny_model(architecture)
    engine = Engine(model, device="cpu")
    expected = restored(engine, planes, height)
    assert expected.dtype == np.float32
    assert_near(expected, whole(model, planes))
    for rows in (1, 2, 7, 16):
        np.testing.assert_array_equal(restored(engine, planes, rows), expected)


def test_threads_that_share_an_engine_do_not_disturb_each_other(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny_model(LEVEL), device="cpu")
    jobs = [(noise(1, 1, 30, 20), 9, 0.1), (1 - noise(2, 1, 24, 20), 5, 0.6)]
    alone = [restored(engine, *job) for job in jobs]
    compute = Convolution.forward
    turns: list[int] = []

    def slowly(self: Convolution, x: Tensor) -> Tensor:
        turns.append(threading.get_ident())
        y = compute(self, x)
        time.sleep(0.002)
        return y

    monkeypatch.setattr(Convolution, "forward", slowly)
    with ThreadPoolExecutor(len(jobs)) as pool:
        together = [pool.submit(restored, engine, *job) for job in jobs]
    assert sum(a != b for a, b in pairwise(turns)) > len(jobs)
    for expected, work in zip(alone, together, strict=True):
        np.testing.assert_array_equal(work.result(), expected)


def test_something_comes_after_every_strip(tiny_model: TinyModel) -> None:
    engine = Engine(tiny_model(SMALL), device="cpu")
    asked = 0

    def counted() -> Iterator[Planes]:
        nonlocal asked
        for strip in strips(noise(1, 1, 40, 9), 4):
            asked += 1
            yield strip

    outputs = engine.stream(counted(), 40)
    for count, output in enumerate(outputs, 1):
        assert asked == count
        assert output.shape[:2] == (1, 1)
    assert asked == count == 10


def test_higher_strips_than_suit_the_cache_are_divided(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memnet_core.inference.engine._CPU_MAP", 0)
    engine = Engine(tiny_model(UNSHUFFLED), device="cpu")
    rows = engine.strip_rows(20)
    outputs = list(engine.stream([noise(1, 1, 5 * rows, 20)], 5 * rows))
    assert len(outputs) == 5


@pytest.mark.parametrize("width", [1, 30, 5000, 100_000])
@pytest.mark.parametrize("images", [1, 7])
def test_strips_are_whole_cells_and_lower_where_rows_are_longer(
    tiny_model: TinyModel, width: int, images: int
) -> None:
    engine = Engine(tiny_model(UNSHUFFLED), device="cpu")
    rows = engine.strip_rows(width, images)
    assert rows > 0
    assert rows % engine.multiple == 0
    assert engine.strip_rows(2 * width, images) <= rows
    assert engine.strip_rows(width, 2 * images) <= rows


def test_several_images_at_once_share_the_cache(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memnet_core.inference.engine._CPU_MAP", 2**20)
    engine = Engine(tiny_model(SMALL), device="cpu")
    alone = engine.strip_rows(1000)
    assert engine.strip_rows(1000, 3) == pytest.approx(alone / 3, abs=1)


def test_rows_that_are_missing_are_noticed(tiny_model: TinyModel) -> None:
    engine = Engine(tiny_model(SMALL), device="cpu")
    with pytest.raises(ValueError, match="30 rows in place of 40"):
        list(engine.stream(strips(noise(1, 1, 30, 9), 10), 40))


def test_given_level_is_the_value_of_its_plane(tiny_model: TinyModel) -> None:
    model = tiny_model(LEVEL)
    planes = noise(2, 1, 20, 11)
    with_level = np.concatenate([planes, np.full_like(planes, 0.3)], axis=1)
    engine = Engine(model, device="cpu")
    assert engine.level_planes == 1
    assert_near(restored(engine, planes, 8, 0.3), whole(model, with_level))


def test_network_with_a_level_map_has_to_be_told_the_level(
    tiny_model: TinyModel,
) -> None:
    engine = Engine(tiny_model(LEVEL), device="cpu")
    with pytest.raises(UsageError, match="told the level"):
        restored(engine, noise(1, 1, 9, 9), 4)


@pytest.mark.parametrize("exit_block", [1, 2])
def test_early_exit_sees_less(tiny_model: TinyModel, exit_block: int) -> None:
    model = tiny_model(SMALL)
    engine = Engine(model, device="cpu", exit_block=exit_block)
    assert engine.radius == 2 + 2 * exit_block
    planes = noise(1, 1, 40, 30)
    assert_near(restored(engine, planes, 8), whole(model, planes, exit_block))
    assert engine.exact() is engine


def test_given_rows_may_lie_anyhow_in_memory_and_stay_as_they_are(
    tiny_model: TinyModel,
) -> None:
    model = tiny_model(SMALL)
    base = noise(2, 1, 20, 15)
    kept = base.copy()
    view = base.transpose(0, 1, 3, 2)[::-1, :, ::-1]
    view.flags.writeable = False
    engine = Engine(model, device="cpu")
    assert_near(restored(engine, view, 6), whole(model, view.copy()))
    np.testing.assert_array_equal(base, kept)


def test_device_that_does_not_exist_is_refused_and_the_others_are_named(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"'cuda:2'.* auto, cuda:0, cuda:1, cpu"):
        Engine(tiny_model(SMALL), device="cuda:2")


def test_exit_block_that_does_not_exist_is_refused(tiny_model: TinyModel) -> None:
    with pytest.raises(UsageError, match="Exit block 3"):
        Engine(tiny_model(SMALL), device="cpu", exit_block=3)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float16", 0.01), ("bfloat16", 0.1)]
)
def test_lower_precision_comes_near(
    tiny_model: TinyModel, precision: Any, tolerance: float
) -> None:
    model = tiny_model(SMALL)
    planes = noise(2, 1, 20, 30)
    engine = Engine(model, device="cpu", precision=precision)
    result = restored(engine, planes, 8)
    assert result.dtype == np.float32
    assert 0 < np.abs(result - whole(model, planes)).max() <= tolerance


def test_overflow_in_half_precision_is_told_and_computed_exactly_on_demand(
    tiny_model: TinyModel,
) -> None:
    model = copy.deepcopy(tiny_model(SMALL))
    with torch.no_grad():  # no weight exceeds what float16 holds, but features do
        model.fenet.weight.mul_(60000 / model.fenet.weight.abs().max())
    planes = noise(1, 1, 20, 30)
    half = Engine(model, device="cpu", precision="float16")
    with pytest.raises(NotFinite, match="not finite"):
        restored(half, planes, 8)
    exact = half.exact()
    assert (exact.precision, exact.device) == ("float32", half.device)
    expected = restored(Engine(model, device="cpu"), planes, 8)
    np.testing.assert_array_equal(restored(exact, planes, 8), expected)


def test_exact_engine_stops_after_the_same_block(tiny_model: TinyModel) -> None:
    model = tiny_model(SMALL)
    early = Engine(model, device="cpu", exit_block=1, precision="bfloat16").exact()
    planes = noise(1, 1, 20, 30)
    assert_near(restored(early, planes, 8), whole(model, planes, 1))
    assert early.radius < Engine(model, device="cpu").radius


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_result_that_is_not_finite_is_an_error_of_the_image(
    tiny_model: TinyModel, bad: float
) -> None:
    planes = noise(1, 1, 20, 30)
    planes[0, 0, 10, 10] = bad
    with pytest.raises(ImageError, match="not finite; check the range"):
        restored(Engine(tiny_model(SMALL), device="cpu"), planes, 8)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_memory_that_runs_out_is_told_and_not_held_on_to(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    engine = Engine(tiny_model(SMALL), device="cpu")
    push = RowStream.push
    pushed: list[int] = []

    def limited(self: RowStream, x: Tensor) -> Tensor:
        pushed.append(len(pushed))
        if len(pushed) == 3:
            raise error
        return push(self, x)

    monkeypatch.setattr(RowStream, "push", limited)
    outputs = engine.stream(strips(noise(1, 1, 40, 30), 10), 40)
    next(outputs)
    next(outputs)
    with pytest.raises(OutOfMemory, match="Rows of 30 px do not fit") as raised:
        next(outputs)
    assert raised.value.__context__ is None


def test_other_errors_pass_through(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: RowStream, x: Tensor) -> Tensor:
        raise RuntimeError("expected scalar type")

    monkeypatch.setattr(RowStream, "push", broken)
    engine = Engine(tiny_model(SMALL), device="cpu")
    with pytest.raises(RuntimeError, match="expected scalar type"):
        restored(engine, noise(1, 1, 9, 9), 4)


def test_width_that_fits_follows_from_the_memory_at_hand(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny_model(SMALL), device="cpu")
    available = 10**9
    monkeypatch.setattr(
        "memnet_core.inference.engine.available_memory", lambda device: available
    )
    widest = engine.widest()
    assert engine.memory(widest, 4) <= available
    assert engine.memory(4 * widest, 4) > available
    # Others, and the image itself, need memory, too.
    assert engine.memory(widest, 4) <= 0.6 * available
    assert engine.widest(4) == pytest.approx(widest / 4, rel=0.01)
    available = 0
    assert engine.widest() == 1


def test_a_row_that_begins_another_cell_takes_the_memory_of_a_row_of_maps(
    tiny_model: TinyModel,
) -> None:
    engine = Engine(tiny_model(UNSHUFFLED), device="cpu")
    within = engine.memory(300, 6) - engine.memory(300, 5)
    assert engine.memory(300, 7) - engine.memory(300, 6) > 2 * within


@pytest.mark.parametrize("more", ["level_map", "long_term"])
def test_level_planes_and_gates_over_all_blocks_take_memory(
    tiny_model: TinyModel, more: str
) -> None:
    shape: dict[str, Any] = {"memory_blocks": 3, "recursions": 1, "channels": 4}
    needed = [
        Engine(tiny_model(Architecture(**shape, **{more: has})), device="cpu").memory(
            300, 8
        )
        for has in (False, True)
    ]
    # At least a row of floats for each row of a strip.
    assert needed[1] >= needed[0] + 8 * 300 * 4


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet
from memnet_core.inference import engine as engines
from memnet_core.inference.engine import Engine

engines._CPU_MAP = 2**40  # strips are taken as high as they come

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

def run(width, rows, height):
    planes = np.zeros((1, 1, rows, width), np.float32)
    strips = (planes for _ in range(0, height, rows))
    for _ in engine.stream(strips, height):
        pass

width, rows, strips = map(int, sys.argv[1:])
engine = Engine(MemNet(Architecture(memory_blocks=3, recursions=2, channels=16,
                                    unshuffle=2)), device="cpu")
run(16, 8, 80)
before = peak()
run(width, rows, rows * strips)
print(peak() - before, engine.memory(width, rows))
"""


def measured_and_estimated(width: int, rows: int, strips: int) -> tuple[int, int]:
    """Give by how much an image raises the peak of a process, and the estimate."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, (width, rows, strips))],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    measured, estimated = map(int, run.stdout.split())
    return measured, estimated


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("width", "rows"), [(6000, 16), (3000, 64)])
def test_memory_is_what_was_estimated_and_not_that_of_the_image(
    width: int, rows: int
) -> None:
    measured, estimated = measured_and_estimated(width, rows, 8)
    assert 1 / 2 <= measured / estimated <= 1.5
    longer, _ = measured_and_estimated(width, rows, 16)
    # An image of twice the height takes no more, but for what the allocator keeps.
    assert longer <= 1.3 * measured
