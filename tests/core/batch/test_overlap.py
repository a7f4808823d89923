"""Computing while the last results are written, and stopping in between."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from memnet_core.batch import BatchRun, FileProgress, Job, executor, restoring
from memnet_core.inference.runner import restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import FileSink, open_image, probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = [f"{letter}.png" for letter in "abcdef"]
PATIENCE = 30.0

complete = FileSink.check_complete


@pytest.fixture
def run(install: Callable[..., Path], picture: Callable[..., Path]) -> BatchRun:
    """Run over six files of some strips each."""
    install("low", 5, 20)
    sources = [picture(name) for name in NAMES]
    out = sources[0].parent.with_name("out")
    jobs = [Job(source, out / source.name, probe(source)) for source in sources]
    return BatchRun(jobs, RestoreOptions(task="deblock", level=10))


def wait_for(event: threading.Event) -> None:
    assert event.wait(PATIENCE), "what has to go on at the same time does not"


def own_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("memnet-")]


def names(folder: Path) -> list[str]:
    """Return the names of results; what is in the making is hidden."""
    found = folder.iterdir() if folder.exists() else ()
    return sorted(path.name for path in found if not path.name.startswith("."))


def is_whole(path: Path) -> bool:
    with open_image(path) as file:
        return file.image().pixels.shape == (14, 18, 3)


def test_computing_and_writing_overlap(
    run: BatchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing, writing = ({name: threading.Event() for name in NAMES} for _ in "cw")
    before = {name: previous for previous, name in pairwise(NAMES)}
    after = dict(pairwise(NAMES))
    begun = iter(NAMES)

    def compute(*arguments: Any) -> Iterator[Any]:
        name = next(begun)
        computing[name].set()
        if name in before:
            wait_for(writing[before[name]])
        return restore(*arguments)

    def write(sink: FileSink) -> None:
        name = sink.path.name
        writing[name].set()
        if name in after:
            wait_for(computing[after[name]])
        complete(sink)

    monkeypatch.setattr(restoring, "restore", compute)
    monkeypatch.setattr(FileSink, "check_complete", write)
    list(run.events())
    assert [outcome.status for outcome in run.outcomes] == ["done"] * len(NAMES)


def test_few_results_wait_to_be_written(
    run: BatchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[object] = []
    written: list[object] = []
    most = 0

    def compute(*arguments: Any) -> Iterator[Any]:
        nonlocal most
        most = max(most, len(computed) - len(written))
        computed.append(arguments)
        return restore(*arguments)

    def slowly_write(sink: FileSink) -> None:
        time.sleep(0.1)
        written.append(sink)
        complete(sink)

    monkeypatch.setattr(restoring, "restore", compute)
    monkeypatch.setattr(FileSink, "check_complete", slowly_write)
    list(run.events())
    assert len(computed) == len(written) == len(NAMES)
    assert 1 <= most <= 2


def test_closing_completes_what_is_being_written_and_begins_nothing(
    run: BatchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = threading.Event()

    def write(sink: FileSink) -> None:
        wait_for(closing)
        complete(sink)

    monkeypatch.setattr(FileSink, "check_complete", write)
    events = run.events()
    first, second = run.jobs[:2]
    while not (isinstance(e := next(events), FileProgress) and e.job == second):
        pass
    assert names(first.output.parent) == []
    threading.Timer(0.1, closing.set).start()
    events.close()
    assert own_threads() == []
    assert [path.name for path in first.output.parent.iterdir()] == ["a.png"]
    assert is_whole(first.output)
    assert [(o.job, o.status) for o in run.outcomes] == [(first, "done")]


@pytest.mark.parametrize("step", ["opening", "computing"])
def test_interrupt_leaves_whole_files_and_no_threads(
    run: BatchRun, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    module, name = {
        "opening": (executor, "scenes_of"),
        "computing": (restoring, "restore"),
    }[step]
    working = getattr(module, name)
    calls = iter([None, None, KeyboardInterrupt])

    def third_is_interrupted(*arguments: Any) -> Any:
        if problem := next(calls, None):
            raise problem
        return working(*arguments)

    monkeypatch.setattr(module, name, third_is_interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run.events())
    assert own_threads() == []
    out = run.jobs[0].output.parent
    assert [path.name for path in sorted(out.iterdir())] == ["a.png", "b.png"]
    assert all(is_whole(path) for path in out.iterdir())


def test_bug_while_a_result_is_written_leaves_nothing_of_it(
    run: BatchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def third_fails(sink: FileSink) -> None:
        if sink.path.name == "c.png":
            raise ZeroDivisionError
        complete(sink)

    monkeypatch.setattr(FileSink, "check_complete", third_fails)
    list(run.events())
    assert own_threads() == []
    failed = [o.job.output.name for o in run.outcomes if o.status == "failed"]
    assert failed == ["c.png"]
    out = run.jobs[0].output.parent
    found = sorted(path.name for path in out.iterdir())
    assert found == [name for name in NAMES if name != "c.png"]
