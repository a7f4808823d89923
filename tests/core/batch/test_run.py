from __future__ import annotations

import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.batch import (
    BatchRun,
    FileFinished,
    FileProgress,
    FileStarted,
    InputFile,
    Job,
    ModelReady,
    plan_jobs,
)
from memnet_core.errors import DeviceError, LevelError, ModelError, UsageError
from memnet_core.inference.api import restore
from memnet_core.inference.engine import Engine
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_image, probe
from memnet_core.model.checkpoint import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Install = Callable[..., Path]
    Picture = Callable[..., Path]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run_of(
    sources: list[Path],
    out: Path,
    level: float | None = 10,
    *,
    task: str = "deblock",
    overwrite: bool = False,
    **settings: Any,
) -> BatchRun:
    found = [InputFile(path, path.relative_to(path.parent)) for path in sources]
    jobs = plan_jobs(found, out, "auto", overwrite=overwrite)
    return BatchRun(jobs, RestoreOptions(task=task, level=level, **settings))


def pixels_of(path: Path) -> NDArray[Any]:
    with open_image(path) as file:
        return file.image().pixels


def statuses(run: BatchRun) -> dict[str, str]:
    list(run.events())
    return {o.job.source.name: o.status for o in run.outcomes}


def refuse_to_read(path: Path, axes: str = "") -> None:
    raise AssertionError(f"{path} is read")


def test_events_tell_what_happens_to_each_file_in_order(
    install: Install, picture: Picture, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "strip_rows", lambda *_: 16)
    install("low", 5, 20)
    out.mkdir()
    PillowImage.new("L", (9, 80)).save(out / "b.png")
    run = run_of([picture(f"{name}.png", 80, 9) for name in "abc"], out)
    events = list(run.events())
    a, b, c = run.jobs

    (ready,) = (event for event in events if isinstance(event, ModelReady))
    assert ready.entry.card.name == "low"
    assert ready.device == "cpu"

    finished = [event for event in events if isinstance(event, FileFinished)]
    assert [event.outcome.job for event in finished] == [b, a, c]
    assert [event.outcome for event in finished] == run.outcomes
    assert [o.status for o in run.outcomes] == ["skipped", "done", "done"]

    rest = [e for e in events if isinstance(e, FileStarted | FileProgress)]
    second = rest.index(FileStarted(c))
    for job, own in ((a, rest[:second]), (c, rest[second:])):
        assert own[0] == FileStarted(job)
        strips = [event for event in own if isinstance(event, FileProgress)]
        assert len(strips) == len(own) - 1 > 1
        assert {strip.job for strip in strips} == {job}
        fractions = [strip.fraction for strip in strips]
        assert fractions == sorted(fractions)
        assert 0 < fractions[0] < fractions[-1] == 1
        last = events.index(strips[-1])
        (end,) = (event for event in finished if event.outcome.job == job)
        assert events.index(end) > last


def test_outcome_describes_the_result(
    install: Install, picture: Picture, out: Path
) -> None:
    install("low", 5, 20)
    run = run_of([picture("a.jpg", 9, 11, 3, quality=15)], out, None)
    list(run.events())
    (outcome,) = run.outcomes
    assert outcome.job.output == out / "a.png"
    assert (outcome.status, outcome.message) == ("done", "")
    assert (outcome.level, outcome.model) == (15, "low")
    found, colors = outcome.remark.split("; ")
    assert found == "q 15 by its quantization table"
    assert colors == "chroma restored at its own resolution"
    assert (outcome.shape, outcome.dtype) == ((9, 11, 3), "uint8")
    assert outcome.seconds > 0


@pytest.mark.parametrize("task", ["deblock", "sr"])
def test_result_is_that_of_the_task(
    install: Install, picture: Picture, out: Path, task: str
) -> None:
    install("model", 2, 16, task=task)
    source = picture("a.png")
    list(run_of([source], out, 2, task=task).events())
    expected = restore(pixels_of(source), task, 2)
    assert np.array_equal(pixels_of(out / "a.png"), expected)
    assert not np.array_equal(expected, pixels_of(source))


def test_bad_files_do_not_stop_the_others(
    install: Install, picture: Picture, out: Path
) -> None:
    install("low", 5, 20)
    sources = [picture(f"{name}.png") for name in "abcd"]
    sources[0].write_bytes(b"")
    sources[2] = sources[2].with_name("far.tif")
    tifffile.imwrite(sources[2], np.full((5, 6), 9, np.float32))
    run = run_of(sources, out, value_range="dtype")
    assert statuses(run) == {
        "a.png": "failed",
        "b.png": "done",
        "far.tif": "failed",
        "d.png": "done",
    }
    assert sorted(path.name for path in out.iterdir()) == ["b.png", "d.png"]
    messages = [o.message for o in run.outcomes if o.status == "failed"]
    assert messages[0] == f"{sources[0]} cannot be read: the file is empty."
    assert messages[1].startswith(f"{sources[2]} cannot be restored: The float32 val")


def test_failures_are_told_while_the_run_goes_on(
    install: Install, picture: Picture, out: Path
) -> None:
    install("low", 5, 20)
    sources = [picture(f"{number}.png") for number in range(5)]
    for source in sources:
        source.write_bytes(b"no picture")
    kinds = [type(event) for event in run_of(sources, out).events()]
    last_started = len(kinds) - kinds[::-1].index(FileStarted)
    assert kinds[:last_started].count(FileFinished) >= 3


@pytest.mark.parametrize("overwrite", [False, True])
def test_second_run_does_what_is_missing_or_everything_if_asked(
    install: Install, picture: Picture, out: Path, overwrite: bool
) -> None:
    install("low", 5, 20)
    sources = [picture("a.png"), picture("b.png")]
    list(run_of(sources[:1], out).events())
    before = (out / "a.png").stat().st_mtime_ns
    run = run_of(sources, out, overwrite=overwrite)
    first = "done" if overwrite else "skipped"
    assert statuses(run) == {"a.png": first, "b.png": "done"}
    assert ((out / "a.png").stat().st_mtime_ns > before) == overwrite
    assert (out / "b.png").exists()


@pytest.mark.usefixtures("models_folder")
def test_nothing_to_do_needs_no_model(picture: Picture, out: Path) -> None:
    out.mkdir()
    PillowImage.new("L", (9, 9)).save(out / "a.png")
    run = run_of([picture("a.png")], out)
    assert statuses(run) == {"a.png": "skipped"}


@pytest.mark.parametrize(
    ("content", "told"),
    [("file", "cannot be made: File exists"), ("folder", "cannot be written: Is a di")],
)
def test_output_that_cannot_be_written_fails_its_file_only(
    install: Install,
    picture: Picture,
    out: Path,
    content: str,
    told: str,
) -> None:
    install("low", 5, 20)
    good, bad = picture("good.png"), picture("bad.png")
    output = out / "bad" / "bad.png"
    if content == "file":
        out.mkdir()
        (out / "bad").touch()
    else:
        output.mkdir(parents=True)
    jobs = [Job(bad, output, probe(bad)), Job(good, out / "good.png", probe(good))]
    run = BatchRun(jobs, RestoreOptions(task="deblock", level=10))
    assert statuses(run) == {"bad.png": "failed", "good.png": "done"}
    assert told in run.outcomes[0].message
    assert str(out / "bad") in run.outcomes[0].message
    assert not list(out.rglob(".memnet-*"))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("file_format", ["auto", "ome-zarr"])
def test_only_the_output_folder_itself_may_be_a_link(
    install: Install, picture: Picture, tmp_path: Path, out: Path, file_format: str
) -> None:
    install("low", 5, 20)
    good, bad = picture("good.png"), picture("bad.png")
    kept, outside = tmp_path / "kept", tmp_path / "outside"
    kept.mkdir()
    outside.mkdir()
    out.symlink_to(kept)
    (out / "sub").symlink_to(outside)
    (kept / "deeper").mkdir()
    (out / "inside").symlink_to(kept / "deeper")
    found = [
        InputFile(bad, Path("sub/bad.png")),
        InputFile(good, Path("inside/good.png")),
    ]
    jobs = plan_jobs(found, out, file_format, overwrite=False)
    run = BatchRun(jobs, RestoreOptions(task="deblock", level=10))
    assert statuses(run) == {"bad.png": "failed", "good.png": "done"}
    assert f"{out / 'sub'} leads out of {out} by a link" in run.outcomes[0].message
    assert not [*outside.iterdir()]
    assert [path.stem for path in (kept / "deeper").iterdir()] in (
        ["good"],
        ["good.ome"],
    )


@pytest.mark.parametrize("step", ["restore", "write"])
def test_lack_of_memory_fails_a_file_only(
    install: Install,
    picture: Picture,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    install("low", 5, 20)
    sources = [picture("a.png"), picture("b.png")]
    name = {
        "restore": "memnet_core.batch.restoring.restore",
        "write": "memnet_core.io.FileSink.check_complete",
    }[step]
    fail_once(monkeypatch, name, MemoryError())
    run = run_of(sources, out)
    assert statuses(run) == {"a.png": "failed", "b.png": "done"}
    message = run.outcomes[0].message
    assert message == f"{sources[0]} cannot be restored: it does not fit into memory."


@pytest.mark.parametrize(
    "step",
    [
        "batch.executor.scenes_of",
        "inference.engine.prepare",
        "batch.restoring.restore",
        "batch.executor.create_scenes",
    ],
)
def test_bug_fails_a_file_only_and_asks_for_a_report(
    install: Install,
    picture: Picture,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    install("low", 5, 20)
    sources = [picture("a.png"), picture("b.png")]
    fail_once(monkeypatch, f"memnet_core.{step}", KeyError("a key"))
    run = run_of(sources, out)
    assert statuses(run) == {"a.png": "failed", "b.png": "done"}
    assert run.outcomes[0].message == (
        f"{sources[0]} cannot be restored: unexpected KeyError ('a key'); "
        "please report this."
    )
    assert "raise problem" in run.outcomes[0].details
    assert sorted(path.name for path in out.iterdir()) == ["b.png"]


def fail_once(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Let a function fail when it is called for the first time."""
    owner, _, attribute = name.rpartition(".")
    working = getattr(pkgutil.resolve_name(owner), attribute)
    errors = iter([error])

    def called(*arguments: Any, **options: Any) -> Any:
        if problem := next(errors, None):
            raise problem
        return working(*arguments, **options)

    monkeypatch.setattr(name, called)


def test_temporary_files_of_dead_processes_are_removed(
    install: Install, picture: Picture, out: Path
) -> None:
    install("low", 5, 20)
    out.mkdir()
    script = (
        "import os, sys, pathlib\n"
        "from memnet_core._util.atomic_write import replaced_when_complete\n"
        "with replaced_when_complete(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os._exit(9)\n"
    )
    command = [sys.executable, "-c", script, str(out / "a.png")]
    subprocess.run(command, check=False)
    abandoned = [path.name for path in out.iterdir()]
    assert any(name.endswith(".png") for name in abandoned)
    assert all(name.startswith(".memnet-") for name in abandoned)
    list(run_of([picture("b.png")], out).events())
    assert [path.name for path in out.iterdir()] == ["b.png"]


def test_model_is_chosen_for_each_file_by_its_quality(
    install: Install, picture: Picture, out: Path
) -> None:
    install("low", 5, 20)
    install("high", 50, 90)
    qualities = {"a.jpg": 10, "b.jpg": 60, "c.jpg": 12, "d.jpg": 30}
    run = run_of([picture(n, quality=q) for n, q in qualities.items()], out, None)
    events = list(run.events())
    ready = [event for event in events if isinstance(event, ModelReady)]
    assert [event.entry.card.name for event in ready] == ["low", "high"]
    assert [o.level for o in run.outcomes[:3]] == [10, 60, 12]
    assert [o.model for o in run.outcomes] == ["low", "high", "low", ""]
    assert "covers q 30; the nearest is 'low'" in run.outcomes[3].message
    assert set(run.models()) == {"low", "high"}


def test_damaged_model_fails_the_files_that_need_it(
    install: Install, picture: Picture, out: Path
) -> None:
    install("low", 5, 20)
    damaged = install("high", 50, 90)
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    sources = [picture("a.jpg", quality=60), picture("b.jpg", quality=10)]
    run = run_of(sources, out, None)
    assert statuses(run) == {"a.jpg": "failed", "b.jpg": "done"}
    assert "SHA-256 differs" in run.outcomes[0].message


@pytest.mark.parametrize(
    ("level", "settings", "error", "told"),
    [
        (99, {}, LevelError, "covers q 99; the nearest is 'low'"),
        (99, {"model": "low"}, LevelError, r"'low' covers q 5-20, not 99"),
        (10, {"model": "noise"}, LevelError, "for denoise, not for deblock"),
        (None, {"model": "noise"}, LevelError, "for denoise, not for deblock"),
        (None, {"task": "sr"}, LevelError, "No model for sr is installed"),
        (10, {"model": "other"}, ModelError, "no model 'other'; installed: low, noise"),
        (None, {"model": "other"}, ModelError, "no model 'other'"),
        (10, {"device": "abacus"}, DeviceError, "no device 'abacus'"),
        (10, {"exit_block": 9}, UsageError, "block 9 does not exist"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_read(
    install: Install,
    picture: Picture,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    level: float | None,
    settings: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    install("low", 5, 20)
    install("noise", 5, 20, task="denoise")
    monkeypatch.setattr("memnet_core.batch.executor.OpenedFile", refuse_to_read)
    run = run_of([picture("a.png")], out, level, **settings)
    with pytest.raises(error, match=told):
        list(run.events())
    assert not out.exists()


@pytest.mark.parametrize("settings", [{}, {"model": "low"}])
def test_nearest_model_is_accepted_if_asked(
    install: Install, picture: Picture, out: Path, settings: dict[str, Any]
) -> None:
    install("low", 5, 20)
    run = run_of([picture("a.png")], out, 99, nearest=True, **settings)
    assert statuses(run) == {"a.png": "done"}
    assert (run.outcomes[0].model, run.outcomes[0].level) == ("low", 99)


@pytest.mark.parametrize("by", ["name", "file"])
def test_model_is_taken_by_name_or_file(
    install: Install, picture: Picture, out: Path, tmp_path: Path, by: str
) -> None:
    install("narrow", 9, 11)
    file = install("wide", 5, 75)
    elsewhere = shutil.copy(file, tmp_path / "copy.safetensors")
    run = run_of(
        [picture("a.png")], out, model="wide" if by == "name" else str(elsewhere)
    )
    assert statuses(run) == {"a.png": "done"}
    assert run.outcomes[0].model == "wide"


def test_models_are_those_that_were_loaded_even_if_files_change(
    install: Install, picture: Picture, out: Path
) -> None:
    file = install("low", 5, 20)
    _, card = load_model(file)
    run = run_of([picture("a.png")], out)
    list(run.events())
    file.unlink()
    assert run.models() == {"low": card.sha256}
