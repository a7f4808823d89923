"""Results that are no longer those of their source, task, model or settings."""

from __future__ import annotations

import builtins
import io
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as PillowImage

from memnet_core.batch import (
    BatchRun,
    Job,
    counts_of,
    find_inputs,
    plan_jobs,
    restoring,
    write_report,
)
from memnet_core.batch.restoring import ShardWorker
from memnet_core.batch.shared_output import SharedResult, join_or_create, work_folder
from memnet_core.inference import runner as restoration
from memnet_core.inference.api import restore
from memnet_core.inference.engine import EngineCache
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import provenance_of, save_image
from memnet_core.progress import result_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMATS = ["png", "tiff", "ome-zarr"]


@pytest.fixture(autouse=True)
def models(install: Callable[..., Path]) -> None:
    """Install models of three tasks."""
    install("blocks", 5, 75, level_map=True)
    install("noise", 5, 75, task="denoise")
    install("larger", 2, 4, task="sr")


@pytest.fixture
def source(tmp_path: Path, write_picture: Callable[..., Path]) -> Path:
    """Write a picture that is older than what is made of it."""
    return write_picture(tmp_path / "in" / "a.jpg", quality=20)


def run(folder: Path, file_format: str = "png", **options: Any) -> BatchRun:
    """Restore what is in a folder, and plan as the command does."""
    plan = {key: options.pop(key, False) for key in ("overwrite", "update")}
    axes = options.pop("axes", "")
    settings = RestoreOptions(**{"task": "deblock", **options})
    out = folder / "out"
    found = find_inputs([str(folder / "in")], out, recursive=False).sources
    jobs = plan_jobs(found, out, file_format, settings=settings, axes=axes, **plan)
    done = BatchRun(jobs, settings)
    list(done.events())
    return done


def told(done: BatchRun) -> str:
    (outcome,) = done.outcomes
    return f"{outcome.status} {outcome.message or outcome.remark}"


def contents(path: Path) -> dict[str, bytes]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(f.relative_to(path)): f.read_bytes() for f in files if f.is_file()}


def another_picture(path: Path) -> None:
    x = np.random.default_rng(5).integers(0, 256, (14, 18, 3), np.uint8)
    PillowImage.fromarray(x).save(path, quality=20)


@pytest.mark.parametrize("file_format", FORMATS)
def test_result_of_an_older_source_is_said_and_redone_if_asked(
    file_format: str, source: Path, tmp_path: Path
) -> None:
    first = run(tmp_path, file_format)
    output = first.jobs[0].output
    before = contents(output)
    assert told(run(tmp_path, file_format)) == "skipped "
    another_picture(source)
    second = run(tmp_path, file_format)
    assert told(second) == (
        f"skipped {output} exists, but is out of date: its source has changed since"
    )
    assert counts_of(second) == "1 skipped, 1 of these out of date"
    assert contents(output) == before
    third = run(tmp_path, file_format, update=True)
    assert told(third).startswith("done redone: its source has changed since; q 20")
    assert contents(output) != before
    assert told(run(tmp_path, file_format, update=True)) == "skipped "


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"task": "denoise", "level": 25.0}, "it was made by another task (deblock)"),
        ({"task": "sr", "level": 2.0}, "it was made by another task (deblock)"),
        ({"level": 30.0}, "it was made for another level (q 20)"),
        ({"tta": True}, "it was made with other settings (tta)"),
        ({"exit_block": 1}, "it was made with other settings (exit block)"),
        (
            {"consistency": False, "value_range": (0, 200)},
            "it was made with other settings (consistency, value range)",
        ),
        ({"strength": 0.5}, "it was made with other settings (strength)"),
        ({"axes": "YXC"}, "it was made with other settings (axes)"),
        ({"model": "second"}, "it was made with another model (blocks)"),
    ],
)
def test_result_of_another_request_is_said_and_redone_if_asked(
    file_format: str,
    options: dict[str, Any],
    why: str,
    source: Path,
    tmp_path: Path,
    install: Callable[..., Path],
) -> None:
    run(tmp_path, file_format)
    install("second", 1, 100, unshuffle=2)
    assert told(run(tmp_path, file_format)) == "skipped "
    assert told(run(tmp_path, file_format, **options)).endswith(why)
    if "axes" not in options or file_format == "tiff":
        redone = run(tmp_path, file_format, update=True, **options)
        assert f"redone: {why}" in told(redone)
        assert told(run(tmp_path, file_format, **options)) == "skipped "


@pytest.mark.parametrize(
    "options",
    [{"level": 20.0}, {"nearest": True}, {"model": "blocks"}, {"device": "cpu"}],
)
def test_what_makes_no_other_result_is_no_reason(
    options: dict[str, Any], source: Path, tmp_path: Path
) -> None:
    run(tmp_path)
    assert told(run(tmp_path, **options)) == "skipped "


def test_level_that_was_given_is_not_one_that_was_found(
    source: Path, tmp_path: Path
) -> None:
    run(tmp_path, level=10.0)
    assert told(run(tmp_path)).endswith("it was made for another level (q 10)")


def test_model_that_was_exchanged_under_its_name_is_another_one(
    source: Path, tmp_path: Path, install: Callable[..., Path]
) -> None:
    run(tmp_path)
    install("blocks", 5, 75, unshuffle=2)
    assert told(run(tmp_path)).endswith("it was made with another model (blocks)")


def test_result_of_a_model_for_color_is_that_of_the_model_of_now(
    source: Path, tmp_path: Path, install: Callable[..., Path]
) -> None:
    another_picture(source)
    install("together", 5, 75, image_channels=3)
    first = run(tmp_path)
    made = provenance_of(tmp_path / "out" / "a.png")
    assert made is not None
    assert "together" in made.model
    assert told(first).startswith("done")
    assert "made with another model" not in told(run(tmp_path))
    install("together", 5, 75, image_channels=3, unshuffle=2)
    assert told(run(tmp_path)).endswith("it was made with another model (together)")


def test_source_that_only_looks_newer_is_none(source: Path, tmp_path: Path) -> None:
    run(tmp_path)
    os.utime(source)
    assert told(run(tmp_path)) == "skipped "


def test_another_source_of_the_same_name_and_an_old_time_is_seen(
    source: Path, tmp_path: Path
) -> None:
    run(tmp_path)
    another_picture(source)
    os.utime(source, (1, 1))
    assert told(run(tmp_path)).endswith("its source has changed since")


def test_result_that_does_not_tell_is_out_of_date_if_its_source_is_newer(
    source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "a.png"
    output.parent.mkdir()
    PillowImage.new("L", (3, 3)).save(output)
    assert told(run(tmp_path)) == "skipped "
    os.utime(output, (1, 1))
    assert told(run(tmp_path)).endswith("is out of date: its source is newer")


def test_result_that_may_not_be_read_is_out_of_date_if_its_source_is_newer(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run(tmp_path).jobs[0].output
    before = contents(output)
    real = io.open

    def denied(file: Any, *arguments: Any, **options: Any) -> Any:
        if str(file) == str(output):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *arguments, **options)

    with monkeypatch.context() as root:
        root.setattr(io, "open", denied)
        root.setattr(builtins, "open", denied)
        assert told(run(tmp_path)) == "skipped "
        os.utime(output, (1, 1))
        assert told(run(tmp_path)).endswith("is out of date: its source is newer")
    assert contents(output) == before


def test_result_that_is_as_old_as_its_source_is_up_to_date(
    source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "a.png"
    output.parent.mkdir()
    PillowImage.new("L", (3, 3)).save(output)
    state = source.stat()
    times = (max(state.st_mtime_ns, state.st_ctime_ns),) * 2
    os.utime(output, ns=times)
    assert told(run(tmp_path)) == "skipped "


def two_channels(folder: Path) -> Path:
    """Write a stack whose first channel has less noise than its second one."""
    generator = np.random.default_rng(0)
    noises = [generator.normal(0, deviation, (64, 64)) for deviation in (8, 30)]
    pixels = np.clip(np.rint(128 + np.stack(noises)), 0, 255).astype(np.uint8)
    path = folder / "in" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "CYX"})
    return path


def levels_of(done: BatchRun) -> tuple[float, ...]:
    made = provenance_of(done.jobs[0].output)
    assert made is not None
    return made.levels


def test_a_level_that_only_one_channel_was_restored_with_is_another_one(
    tmp_path: Path,
) -> None:
    two_channels(tmp_path)
    asked: Any = {"task": "denoise", "noise": "gaussian"}
    weak, strong = levels_of(run(tmp_path, "tiff", **asked))
    assert weak < strong
    for level in (weak, strong, 70.0):
        said = told(run(tmp_path, "tiff", level=level, task="denoise"))
        assert said.partition("out of date: ")[2] == (
            f"it was made for another level (σ {strong:g})"
        )


def test_the_model_of_a_result_is_that_for_its_strongest_channel(
    tmp_path: Path, models_folder: Path, install: Callable[..., Path]
) -> None:
    (models_folder / "noise.safetensors").unlink()
    install("weak", 5, 18, task="denoise")
    install("strong", 18, 75, task="denoise", unshuffle=2)
    two_channels(tmp_path)
    asked: Any = {"task": "denoise", "noise": "gaussian", "nearest": True}
    done = run(tmp_path, "tiff", **asked)
    made = provenance_of(done.jobs[0].output)
    assert made is not None
    assert made.model == "strong"
    assert told(run(tmp_path, "tiff", **asked)) == "skipped "


def test_result_whose_model_is_gone_is_up_to_date(
    source: Path, tmp_path: Path, models_folder: Path
) -> None:
    run(tmp_path)
    (models_folder / "blocks.safetensors").unlink()
    assert told(run(tmp_path)) == "skipped "


def test_nearest_model_that_was_exchanged_is_another_one(
    source: Path, tmp_path: Path, install: Callable[..., Path]
) -> None:
    asked: Any = {"level": 90.0, "nearest": True}
    run(tmp_path, **asked)
    assert told(run(tmp_path, **asked)) == "skipped "
    install("blocks", 5, 75, unshuffle=2)
    why = told(run(tmp_path, **asked))
    assert why.endswith("it was made with another model (blocks)")


def test_source_that_changed_in_its_middle_and_kept_its_time_is_seen(
    tmp_path: Path,
) -> None:
    source = tmp_path / "in" / "a.bmp"
    source.parent.mkdir()
    PillowImage.fromarray(np.zeros((300, 300, 3), np.uint8)).save(source)
    asked: Any = {"task": "denoise", "level": 25.0, "value_range": "dtype"}
    run(tmp_path, **asked)
    assert told(run(tmp_path, **asked)) == "skipped "
    state = source.stat()
    with source.open("r+b") as file:
        file.seek(state.st_size // 2)
        file.write(b"\xff" * 9)
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert told(run(tmp_path, **asked)).endswith("its source has changed since")


def test_chunk_of_a_zarr_that_is_newer_than_its_result_is_seen(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "in" / "a.zarr", mode="w")
    group.create_array("0", shape=(20, 20), chunks=(10, 10), dtype="u1")
    array: Any = group["0"]
    array[...] = np.arange(400).reshape(20, 20) % 251
    image = {"axes": [{"name": n} for n in "yx"], "datasets": [{"path": "0"}]}
    group.attrs["ome"] = {"multiscales": [image]}
    asked: Any = {"task": "denoise", "level": 25.0}
    run(tmp_path, "tiff", **asked)
    assert told(run(tmp_path, "tiff", **asked)) == "skipped "
    array[:10, :10] = np.arange(100).reshape(10, 10)[::-1]
    assert "out of date: its source" in told(run(tmp_path, "tiff", **asked))


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("part", [0, 0.5])
def test_result_that_is_empty_or_cut_does_not_count(
    file_format: str, part: float, source: Path, tmp_path: Path
) -> None:
    output = run(tmp_path, file_format).jobs[0].output
    before = contents(output)
    path = output / "zarr.json" if output.is_dir() else output
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    again = run(tmp_path, file_format)
    assert told(again).startswith("done redone: it is not whole (")
    assert contents(output) == before


def test_report_says_what_is_out_of_date(source: Path, tmp_path: Path) -> None:
    run(tmp_path)
    another_picture(source)
    write_report(tmp_path / "report.json", run(tmp_path))
    (file,) = json.loads((tmp_path / "report.json").read_text())["files"]
    assert (file["status"], file["stale"]) == (
        "skipped",
        "its source has changed since",
    )


@pytest.mark.parametrize("file_format", FORMATS)
def test_results_are_the_same_to_the_byte_and_say_how_they_were_made(
    file_format: str, source: Path, tmp_path: Path
) -> None:
    output = run(tmp_path, file_format).jobs[0].output
    before = contents(output)
    run(tmp_path, file_format, overwrite=True)
    assert contents(output) == before
    made = provenance_of(output)
    assert made is not None
    assert (made.task, made.model, made.levels) == ("deblock", "blocks", (20.0,))
    assert made.ranges == ((0.0, 255.0),)


def test_provenance_of_what_a_result_is_made_of_stays(
    source: Path, tmp_path: Path
) -> None:
    first = run(tmp_path, "ome-zarr").jobs[0].output
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "in").mkdir()
    first.rename(tmp_path / "in" / "a.zarr")
    second = run(tmp_path, "ome-zarr", task="denoise", level=25.0).jobs[0].output
    made = provenance_of(second)
    assert made is not None
    assert made.task == "denoise"
    text = str(dict(zarr.open_group(second, mode="r").attrs)["memnet"])
    assert [part in text for part in ('"deblock"', '"denoise"')] == [True, True]


def test_saved_by_the_function_a_result_says_how_it_was_made(
    source: Path, tmp_path: Path
) -> None:
    save_image(tmp_path / "a.png", restore(source, "deblock"))
    made = provenance_of(tmp_path / "a.png")
    assert made is not None
    assert (made.task, made.levels) == ("deblock", (20.0,))


def test_job_that_another_run_brought_up_to_date_is_not_redone(
    source: Path, tmp_path: Path
) -> None:
    output = run(tmp_path, "ome-zarr").jobs[0].output
    stale = Job(source, output, overwrite=True, stale="its source has changed since")
    late = BatchRun([stale], RestoreOptions(task="deblock"))
    list(late.events())
    assert [outcome.status for outcome in late.outcomes] == ["skipped"]
    assert late.outcomes[0].message == ""


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_marked_shard_that_is_not_on_the_disk_is_made_again(
    damage: str, source: Path, tmp_path: Path
) -> None:
    job = Job(source, tmp_path / "out" / "a.ome.zarr")
    settings = RestoreOptions(task="deblock")
    reference = run(tmp_path, "ome-zarr")
    before = contents(reference.jobs[0].output)
    shutil.rmtree(job.output)
    work = join_or_create(job, settings)
    maker = ShardWorker(work, job, "cpu", EngineCache())
    assert result_of(maker.make(0, 0, wait=True))
    maker.close()
    assert work.remaining(0) == []
    (chunk,) = (p for p in (work.image / "0" / "c").rglob("*") if p.is_file())
    if damage == "removed":
        chunk.unlink()
    else:
        os.truncate(chunk, 10)
    resumed = BatchRun([job], settings)
    list(resumed.events())
    assert resumed.outcomes[0].status == "done"
    assert contents(job.output) == before
    assert not work_folder(job.output).exists()


def test_source_that_changes_in_mid_run_gives_no_result(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restoration.restore

    def changing(*arguments: Any) -> Any:
        another_picture(source)
        return real(*arguments)

    monkeypatch.setattr(restoring, "restore", changing)
    assert "was changed or removed while it was restored" in told(run(tmp_path))
    assert not (tmp_path / "out" / "a.png").exists()


def test_work_folder_that_is_deleted_is_never_restored(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restoration.restore

    def deleting(*arguments: Any) -> Any:
        yield from real(*arguments)
        shutil.rmtree(tmp_path / "out")

    monkeypatch.setattr(restoring, "restore", deleting)
    outcome = run(tmp_path, "ome-zarr").outcomes[0]
    assert outcome.status == "failed"
    assert "cannot be written" in outcome.message


def test_plan_of_a_source_that_changed_names_it(source: Path, tmp_path: Path) -> None:
    job = Job(source, tmp_path / "out" / "a.ome.zarr")
    join_or_create(job, RestoreOptions(task="deblock"))
    work = SharedResult(work_folder(job.output))
    os.utime(source, (1, 1))
    with pytest.raises(Exception, match=r"a\.jpg was changed, or files of it are"):
        work.check_version(source)


def test_work_folder_of_a_result_that_is_placed_is_in_nobodys_way(
    source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "a.ome.zarr"
    work = join_or_create(Job(source, output), RestoreOptions(task="deblock"))
    shutil.copytree(work.folder, tmp_path / "left")
    shutil.rmtree(work.folder)
    run(tmp_path, "ome-zarr")
    shutil.rmtree(tmp_path / "left" / "image")
    (tmp_path / "left").rename(work.folder)
    again = run(tmp_path, "ome-zarr", update=True, tta=True)
    assert told(again).startswith("done redone: it was made with other settings (tta)")
    assert os.listdir(tmp_path / "out") == ["a.ome.zarr"]


@pytest.mark.parametrize("error", [None, IndexError, RecursionError])
def test_result_that_cannot_be_read_for_any_reason_is_redone(
    error: type[Exception] | None,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "out" / "a.png"
    output.parent.mkdir()
    header = bytes.fromhex("0000000d4948445200000008000000080800000000e164e157")
    end = bytes.fromhex("0000000049454e44ae426082")
    output.write_bytes(b"\x89PNG\r\n\x1a\n" + header + end)
    if error:
        monkeypatch.setattr(
            "memnet_core.batch.staleness.provenance_of", _raising(error("bug"))
        )
    done = run(tmp_path)
    assert told(done).startswith("done redone: it is not whole")
    with PillowImage.open(output) as image:
        assert image.size == (18, 14)


def _raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail
