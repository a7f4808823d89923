"""Reading ahead, writing behind, and stopping in between."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from memnet_core._old_tasks import TaskSettings, restore_image
from memnet_core.batch import BatchRun, BatchSettings, Job, TileFinished
from memnet_core.io import probe, read_image, write_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.io import Image

NAMES = [f"{letter}.png" for letter in "abcdef"]
READ, COMPUTE, WRITE = (
    f"memnet_core.batch.run.{name}_image" for name in ("read", "restore", "write")
)
PATIENCE = 30.0


@pytest.fixture
def run(install: Callable[..., Path], picture: Callable[..., Path]) -> BatchRun:
    """Run over six files of some tiles each."""
    install("low", 5, 20)
    sources = [picture(name) for name in NAMES]
    out = sources[0].parent.with_name("out")
    jobs = [Job(source, out / source.name, probe(source)) for source in sources]
    task = TaskSettings(task="deblock", level=10)
    return BatchRun(jobs, BatchSettings(task=task, tile=(8, 8)))


def wait_for(event: threading.Event) -> None:
    assert event.wait(PATIENCE), "what has to go on at the same time does not"


def own_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("memnet-")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_reading_computing_and_writing_overlap(
    run: BatchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, computing, writing = (
        {name: threading.Event() for name in NAMES} for _ in range(3)
    )
    before = {name: previous for previous, name in pairwise(NAMES)}
    after = dict(pairwise(NAMES))
    computed = iter(NAMES)

    def read(path: Path) -> Image:
        reading[path.name].set()
        return read_image(path)

    def compute(*arguments: Any) -> Any:
        name = next(computed)
        computing[name].set()
        if name in after:
            wait_for(reading[after[name]])
        if name in before:
            wait_for(writing[before[name]])
        return restore_image(*arguments)

    def write(path: Path, image: Image) -> tuple[str, ...]:
        writing[path.name].set()
        if path.name in after:
            wait_for(computing[after[path.name]])
        return write_image(path, image)

    monkeypatch.setattr(READ, read)
    monkeypatch.setattr(COMPUTE, compute)
    monkeypatch.setattr(WRITE, write)
    list(run.events())
    assert [outcome.status for outcome in run.outcomes] == ["done"] * len(NAMES)


def test_few_images_are_held_at_a_time(
    run: BatchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"read": 0, "computed": 0, "written": 0}

    def read(path: Path) -> Image:
        counts["read"] += 1
        return read_image(path)

    def compute(*arguments: Any) -> Any:
        assert counts["read"] - counts["computed"] <= 2
        assert counts["computed"] - counts["written"] <= 2
        counts["computed"] += 1
        return restore_image(*arguments)

    def slowly_write(path: Path, image: Image) -> tuple[str, ...]:
        time.sleep(0.02)
        counts["written"] += 1
        return write_image(path, image)

    monkeypatch.setattr(READ, read)
    monkeypatch.setattr(COMPUTE, compute)
    monkeypatch.setattr(WRITE, slowly_write)
    list(run.events())
    assert set(counts.values()) == {len(NAMES)}


def test_closing_completes_what_is_being_written_and_begins_nothing(
    run: BatchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = threading.Event()

    def write(path: Path, image: Image) -> tuple[str, ...]:
        wait_for(closing)
        return write_image(path, image)

    monkeypatch.setattr(WRITE, write)
    events = run.events()
    first, second = run.jobs[:2]
    while not (isinstance(e := next(events), TileFinished) and e.job == second):
        pass
    assert names(first.output.parent) == []
    threading.Timer(0.1, closing.set).start()
    events.close()
    assert own_threads() == []
    assert names(first.output.parent) == ["a.png"]
    assert read_image(first.output).pixels.shape == (14, 18, 3)
    assert [(o.job, o.status) for o in run.outcomes] == [(first, "done")]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (COMPUTE, KeyboardInterrupt),
        (READ, ZeroDivisionError),
        (COMPUTE, ZeroDivisionError),
        (WRITE, ZeroDivisionError),
    ],
)
def test_interrupts_and_bugs_leave_whole_files_and_no_threads(
    run: BatchRun,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: type[BaseException],
) -> None:
    working: dict[str, Callable[..., Any]]
    working = {READ: read_image, COMPUTE: restore_image, WRITE: write_image}
    errors = iter([None, None, error])

    def third_fails(*arguments: Any) -> Any:
        if problem := next(errors, None):
            raise problem
        return working[step](*arguments)

    monkeypatch.setattr(step, third_fails)
    with pytest.raises(error):
        list(run.events())
    assert own_threads() == []
    out = run.jobs[0].output.parent
    assert names(out)[:2] == ["a.png", "b.png"]
    assert "c.png" not in names(out)
    for name in names(out):
        assert read_image(out / name).pixels.shape == (14, 18, 3)
