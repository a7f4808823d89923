"""OME-Zarr results: shard by shard, resumed, shared, readable elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np
import pytest
import tifffile
import zarr

from memnet_core.batch import (
    BatchRun,
    FileProgress,
    Job,
    Share,
    find_inputs,
    plan_jobs,
)
from memnet_core.batch.executor import StepExecutor, first_step
from memnet_core.batch.report import failure
from memnet_core.batch.shared_output import (
    SharedResult,
    join_or_create,
    remove_leftovers,
    work_folder,
)
from memnet_core.errors import ImageError
from memnet_core.inference.api import restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import probe
from memnet_core.io.zarr.image import sync_block
from memnet_core.progress import result_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.batch import Outcome

    Install = Callable[..., Path]

METADATA = {
    "axes": "TZCYX",
    "PhysicalSizeX": 0.5,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 0.25,
    "PhysicalSizeYUnit": "µm",
    "PhysicalSizeZ": 2.0,
    "PhysicalSizeZUnit": "µm",
    "TimeIncrement": 3.0,
    "TimeIncrementUnit": "s",
    "Channel": {"Name": ["red", "green"]},
}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small images have many shards and levels."""
    for name, value in (("CHUNK", 8), ("SHARD", 32), ("SMALLEST_LEVEL", 40)):
        monkeypatch.setattr(f"memnet_core.io.zarr.image._{name}", value)
    monkeypatch.setattr("memnet_core.io.zarr.image._SHARD_BYTES", 2 * 32 * 32 * 4)


@pytest.fixture(autouse=True)
def model(install: Install) -> Path:
    """Install a model of a receptive field of radius 6."""
    return install("low", 5, 75, task="denoise")


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Write an OME-TIFF of floats, some shards wide and high."""
    path = tmp_path / "in" / "a.ome.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, pixels(), photometric="minisblack", metadata=METADATA)
    return path


def pixels() -> NDArray[Any]:
    shape = (2, 2, 2, 70, 45)
    return np.random.default_rng(0).random(shape).astype(np.float32)


def run_of(
    source: Path,
    target: Path,
    *,
    share: Share | None = None,
    overwrite: bool = False,
    axes: str = "",
    **settings: Any,
) -> BatchRun:
    job = Job(source, target, probe(source), overwrite=overwrite, axes=axes)
    asked = RestoreOptions(**{"task": "denoise", "level": 30.0, **settings})
    return BatchRun([job], asked, share=share or Share())


def only_outcome(run: BatchRun) -> Outcome:
    list(run.events())
    (outcome,) = run.outcomes
    assert outcome.message == ""
    return outcome


def level_of(path: Path, level: int = 0) -> NDArray[Any]:
    found: NDArray[Any] = zarr.open_array(path / str(level), mode="r")[...]  # type: ignore[assignment]
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_blocks_become_what_planes_become(stack: Path, tmp_path: Path) -> None:
    plain = only_outcome(run_of(stack, tmp_path / "out" / "a.ome.tif"))
    blocks = only_outcome(run_of(stack, tmp_path / "out" / "a.ome.zarr"))
    assert plain.shape == (2, 2, 2, 70, 45)
    assert blocks.shape == (2, 2, 2, 70, 45)
    restored = level_of(blocks.job.output)
    expected = tifffile.imread(plain.job.output).transpose(0, 2, 1, 3, 4)
    np.testing.assert_allclose(restored, expected, atol=2e-6)
    assert sorted(os.listdir(tmp_path / "out")) == ["a.ome.tif", "a.ome.zarr"]


def test_whole_shards_are_written_and_levels_are_means(
    stack: Path, tmp_path: Path
) -> None:
    target = only_outcome(run_of(stack, tmp_path / "a.ome.zarr")).job.output
    array = zarr.open_array(target / "0", mode="r")
    assert (array.chunks, array.shards) == ((1, 1, 1, 8, 8), (1, 1, 2, 32, 32))
    full, half = level_of(target), level_of(target, 1)
    assert half.shape == (2, 2, 2, 35, 23)
    means = full[..., :44].reshape(2, 2, 2, 35, 2, 22, 2).mean((4, 6))
    np.testing.assert_allclose(half[..., :22], means, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3])
def test_enlarged_blocks_fit_together(
    scale: int, stack: Path, tmp_path: Path, install: Install
) -> None:
    install("larger", 2, 3, task="sr")
    plane = pixels()[:1, :1, :1, :40]
    tifffile.imwrite(
        stack,
        plane,
        photometric="minisblack",
        metadata=METADATA | {"Channel": {"Name": ["red"]}},
    )
    asked: Any = {"task": "sr", "level": scale}
    plain = only_outcome(run_of(stack, tmp_path / "a.ome.tif", **asked))
    blocks = only_outcome(run_of(stack, tmp_path / "a.ome.zarr", **asked))
    expected = np.squeeze(tifffile.imread(plain.job.output))
    np.testing.assert_allclose(level_of(blocks.job.output), expected, atol=2e-6)
    attributes: Any = zarr.open_group(blocks.job.output, mode="r").attrs["ome"]
    first, second = attributes["multiscales"][0]["datasets"][0][
        "coordinateTransformations"
    ]
    assert first["scale"] == [0.25 / scale, 0.5 / scale]
    assert second["translation"] == pytest.approx(
        [(1 / scale - 1) / 2 * 0.25, (1 / scale - 1) / 2 * 0.5]
    )


@pytest.mark.parametrize("unshuffle", [1, 2, 3])
@pytest.mark.parametrize(("task", "level"), [("denoise", 30.0), ("sr", 3.0)])
def test_shards_are_parts_of_the_whole_for_networks_of_any_unshuffle(
    task: str, level: float, unshuffle: int, tmp_path: Path, install: Install
) -> None:
    install(
        "shuffled", 2, 75 if task == "denoise" else 4, task=task, unshuffle=unshuffle
    )
    noise = np.random.default_rng(3).random((1, 71, 67)).astype(np.float32)
    noise = noise if task == "denoise" else noise[:, :37, :23]
    source = tmp_path / "in" / "a.tif"
    source.parent.mkdir()
    tifffile.imwrite(source, noise, photometric="minisblack")
    asked: Any = {"task": task, "level": level, "model": "shuffled"}
    target = only_outcome(run_of(source, tmp_path / "a.ome.zarr", **asked)).job.output
    assert zarr.open_array(target / "0", mode="r").shards == (1, 32, 32)
    expected = restore(noise, axes="ZYX", **asked)
    found = level_of(target).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    untouched = noise if task == "denoise" else np.zeros_like(expected)
    assert np.abs(expected - untouched).max() > 0.01


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_becomes_what_its_tiff_becomes(
    zarr_format: Any, stack: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in" / "b.zarr"
    group = zarr.open_group(source, mode="w", zarr_format=zarr_format)
    moved = pixels().transpose(0, 2, 1, 3, 4)
    group.create_array("s0", shape=moved.shape, chunks=(1, 2, 2, 11, 70), dtype="f4")
    group["s0"][...] = moved  # type: ignore[index]
    image = {
        "axes": [{"name": name} for name in "tczyx"],
        "datasets": [{"path": "s0"}],
    }
    described: dict[str, Any] = {"multiscales": [image], "mine": 3}
    group.attrs.update(described if zarr_format == 2 else {"ome": described})
    target = only_outcome(run_of(source, tmp_path / "b.zarr")).job.output
    reference = only_outcome(run_of(stack, tmp_path / "a.ome.zarr")).job.output
    np.testing.assert_array_equal(level_of(target), level_of(reference))
    attributes: Any = dict(zarr.open_group(target, mode="r").attrs)
    assert (attributes if zarr_format == 2 else attributes["ome"])["mine"] == 3
    back = only_outcome(run_of(source, tmp_path / "b.ome.tif")).job.output
    with tifffile.TiffFile(back) as file:
        assert file.series[0].axes == "TCZYX"


def test_planes_have_ranges_of_their_own_only_when_asked(
    stack: Path, tmp_path: Path
) -> None:
    plain = only_outcome(run_of(stack, tmp_path / "a.ome.tif", value_range="plane"))
    blocks = only_outcome(run_of(stack, tmp_path / "a.ome.zarr", value_range="plane"))
    expected = tifffile.imread(plain.job.output).transpose(0, 2, 1, 3, 4)
    np.testing.assert_allclose(level_of(blocks.job.output), expected, atol=2e-6)


@pytest.mark.parametrize("samples", [3, 4])
def test_colors_become_channels(samples: int, tmp_path: Path) -> None:
    source = tmp_path / "in" / "a.tif"
    source.parent.mkdir()
    shape = (2, 40, 50, samples)
    colors = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    tifffile.imwrite(source, colors, photometric="rgb")
    plain = only_outcome(run_of(source, tmp_path / "a.tif", axes="ZYXS"))
    blocks = only_outcome(run_of(source, tmp_path / "a.ome.zarr", axes="ZYXS"))
    expected = tifffile.imread(plain.job.output).transpose(3, 0, 1, 2)
    difference = level_of(blocks.job.output).astype(int) - expected
    assert np.abs(difference).max() <= 1
    assert np.mean(difference == 0) > 0.99


def stopped_after(run: BatchRun, fraction: float) -> float:
    with closing(run.events()) as events:
        for event in events:
            if isinstance(event, FileProgress) and event.fraction >= fraction:
                return event.fraction
    raise AssertionError("the run ended")


def test_closed_run_is_resumed_where_it_ended(stack: Path, tmp_path: Path) -> None:
    target, reference = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    reached = stopped_after(run_of(stack, target), 0.5)
    assert not target.exists()
    work = SharedResult(work_folder(target))
    assert 0 < len(work.remaining(0)) < work.plan.layout.blocks(0)
    second = run_of(stack, target)
    first = next(e for e in second.events() if isinstance(e, FileProgress))
    assert first.fraction >= reached - 0.1
    only_outcome(run_of(stack, reference))
    assert only_outcome(run_of(stack, target)).status == "done"
    assert contents(target) == contents(reference)
    assert not work.folder.exists()


def test_parts_are_made_by_jobs_that_know_nothing_of_each_other(
    stack: Path, tmp_path: Path
) -> None:
    target, reference = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    outcomes = [
        only_outcome(run_of(stack, target, share=Share(part, 3))) for part in range(3)
    ]
    assert [outcome.status for outcome in outcomes] == ["partial", "partial", "done"]
    assert "shards to go" in outcomes[0].remark
    only_outcome(run_of(stack, reference))
    assert contents(target) == contents(reference)


def test_unfinished_result_of_other_settings_is_not_mixed_in(
    stack: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a.ome.zarr"
    stopped_after(run_of(stack, target), 0.2)
    run = run_of(stack, target, level=10)
    list(run.events())
    (outcome,) = run.outcomes
    assert outcome.status == "failed"
    assert "holds an unfinished result of other settings" in outcome.message


def test_a_run_that_another_one_overtakes_leaves_the_result_of_that(
    stack: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "a.ome.zarr"
    slow = run_of(stack, target)
    with closing(slow.events()) as events:
        for event in events:
            if isinstance(event, FileProgress):
                break
        work_folder(target).rename(tmp_path / "aside")
        only_outcome(run_of(stack, target))
        # Both results are equal to the bit: only this tells them apart.
        (target / "mine.txt").write_text("of the faster run")
        faster = contents(target)
        (tmp_path / "aside").rename(work_folder(target))
        list(events)
    assert [outcome.status for outcome in slow.outcomes] == ["done"]
    assert contents(target) == faster
    assert os.listdir(tmp_path / "out") == ["a.ome.zarr"]


def test_run_that_begins_as_another_one_ends_finds_the_result_made(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "a.ome.zarr"

    def too_late(job: Job, settings: RestoreOptions) -> SharedResult:
        monkeypatch.undo()
        only_outcome(run_of(stack, target))
        return SharedResult(work_folder(target))

    monkeypatch.setattr("memnet_core.batch.executor.join_or_create", too_late)
    outcome = only_outcome(run_of(stack, target))
    assert (outcome.status, outcome.remark) == ("done", "completed by another run")
    assert os.listdir(tmp_path / "out") == ["a.ome.zarr"]


@pytest.mark.parametrize("done", [0, 3, -1])
def test_run_goes_on_while_another_one_has_placed_but_not_cleared_away(
    done: int, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "a.ome.zarr"
    (job,) = (slow := run_of(stack, target)).jobs
    with closing(StepExecutor(slow.settings)) as executor:
        begun = result_of(executor.execute(first_step(job)))
        steps = [step for stage in begun.stages for step in stage]
        for step in steps[:done]:
            result_of(executor.execute(step))
        killed_after_placing(stack, target, monkeypatch)
        answers = [result_of(executor.execute(step)) for step in steps[done:]]
    assert answers[-1].outcome is not None
    assert answers[-1].outcome.status == "done"
    assert os.listdir(tmp_path / "out") == ["a.ome.zarr"]


def test_what_a_killed_run_left_is_cleared_by_one_that_skips(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "a.ome.zarr"
    killed_after_placing(stack, target, monkeypatch)
    assert work_folder(target).exists()
    found = find_inputs([str(stack)], tmp_path / "out", recursive=False).sources
    (job,) = plan_jobs(found, tmp_path / "out", "ome-zarr", overwrite=False)
    assert job.skip
    assert os.listdir(tmp_path / "out") == ["a.ome.zarr"]


def killed_after_placing(
    stack: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make a result, but end when it is placed and its work folder is still there."""
    place = SharedResult._place

    def placed(self: SharedResult, output: Path, *, overwrite: bool) -> None:
        place(self, output, overwrite=overwrite)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SharedResult, "_place", placed)
        with pytest.raises(KeyboardInterrupt):
            list(run_of(stack, target).events())
    assert target.exists()


def test_planted_link_in_place_of_the_work_folder_is_refused(
    stack: Path, tmp_path: Path
) -> None:
    target, outside = tmp_path / "a.ome.zarr", tmp_path / "outside"
    outside.mkdir()
    (outside / "plan.json").write_text("{}")
    work_folder(target).symlink_to(outside)
    run = run_of(stack, target)
    list(run.events())
    assert "is a link" in run.outcomes[0].message
    assert contents(outside) == {"plan.json": b"{}"}


def test_lock_that_is_not_had_leaves_no_folder(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(lock: filelock.FileLock) -> None:
        Path(lock.lock_file).parent.mkdir(parents=True)  # as it does before it fails
        raise filelock.Timeout(lock.lock_file)

    (job,) = run_of(stack, tmp_path / "a.ome.zarr").jobs
    work = join_or_create(job, RestoreOptions(task="denoise", level=30.0))
    shutil.rmtree(work.folder)
    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with work.claimed("0-0", wait=False) as held:
        assert not held
    assert not work.folder.exists()


def test_folder_of_the_next_result_is_not_removed_with_that_of_the_last(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = run_of(stack, tmp_path / "a.ome.zarr").jobs
    work = join_or_create(job, RestoreOptions(task="denoise", level=30.0))
    following = tmp_path / "following"
    shutil.copytree(work.folder, following)
    shutil.rmtree(work.folder / "image")
    before, listed = contents(following), os.listdir

    def replaced_meanwhile(handle: int) -> list[str]:
        found = listed(handle)
        work.folder.rename(tmp_path / "cleared")
        following.rename(work.folder)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", replaced_meanwhile)
        remove_leftovers(job.output)
    assert contents(work.folder) == before
    assert not any((tmp_path / "cleared").iterdir())


def test_overwriting_replaces_the_whole_image(stack: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.ome.zarr"
    only_outcome(run_of(stack, target))
    before = contents(target)
    (target / "mine.txt").touch()
    assert only_outcome(run_of(stack, target)).status == "skipped"
    assert (target / "mine.txt").exists()
    only_outcome(run_of(stack, target, overwrite=True))
    assert contents(target) == before
    assert sorted(os.listdir(tmp_path)) == ["a.ome.zarr", "in", "models", "shipped"]


def test_bad_block_fails_the_job_and_the_rest_is_kept(
    stack: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in" / "bad.tif"
    noise = np.random.default_rng(0).random((4, 40, 45)).astype(np.float32)
    tifffile.imwrite(source, noise, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(source) as file:
        start = file.pages[3].dataoffsets[0]
    data = bytearray(source.read_bytes())
    data[start : start + 20] = bytes(20)
    target = tmp_path / "bad.ome.zarr"
    run = run_of(source, target)
    join_or_create(run.jobs[0], run.settings)
    # It is damaged only after it was judged, and tells nothing of that.
    stamp = source.stat()
    source.write_bytes(data)
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    list(run.events())
    (outcome,) = run.outcomes
    assert outcome.status == "failed"
    assert outcome.message.startswith(f"{source} cannot be read: ")
    assert not target.exists()
    work = SharedResult(work_folder(target))
    assert 0 < len(work.remaining(0)) < work.plan.layout.blocks(0)


def test_values_that_are_not_finite_stay_as_they_are(
    stack: Path, tmp_path: Path
) -> None:
    holes = pixels()
    holes[1, 1, 1, 29:36, 20] = np.nan
    source = tmp_path / "in" / "holes.tif"
    tifffile.imwrite(source, holes, photometric="minisblack", metadata=METADATA)
    plain = only_outcome(run_of(source, tmp_path / "a.tif"))
    blocks = only_outcome(run_of(source, tmp_path / "a.ome.zarr"))
    found = level_of(blocks.job.output)
    expected = tifffile.imread(plain.job.output).transpose(0, 2, 1, 3, 4)
    assert np.array_equal(np.isnan(found), np.isnan(holes.transpose(0, 2, 1, 3, 4)))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def changed(plan: dict[str, Any], *keys: str, value: Any) -> bytes:
    """Return a plan with another value somewhere."""
    inner = plan
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return json.dumps(plan).encode()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda plan: b"", id="empty"),
        pytest.param(lambda plan: b"\xff\xfe\x00", id="no text"),
        pytest.param(lambda plan: json.dumps(plan).encode()[:200], id="cut"),
        pytest.param(lambda plan: b"[" * 100_000, id="nested"),
        pytest.param(lambda plan: b"null", id="null"),
        pytest.param(lambda plan: b"{}", id="nothing"),
        pytest.param(
            lambda plan: changed(plan, "token", value="../../mine"), id="token outside"
        ),
        pytest.param(lambda plan: changed(plan, "token", value=""), id="no token"),
        pytest.param(
            lambda plan: changed(plan, "decision", "model", value=["a"]), id="a list"
        ),
        pytest.param(
            lambda plan: changed(plan, "layout", "shard", value=[0, 0, 0, 0, 0]),
            id="shards of nothing",
        ),
        pytest.param(
            lambda plan: changed(plan, "layout", "shapes", value=[]), id="no levels"
        ),
        pytest.param(
            lambda plan: changed(plan, "layout", "shapes", value=[[10**12, 1]]),
            id="a trillion shards",
        ),
        pytest.param(
            lambda plan: changed(plan, "layout", "axes", value="YYYYY"), id="axes"
        ),
        pytest.param(
            lambda plan: changed(plan, "decision", "channels", value=[]),
            id="no channels",
        ),
        pytest.param(
            lambda plan: changed(plan, "decision", "task", value="erase"), id="task"
        ),
        pytest.param(lambda plan: changed(plan, "dtype", value="O"), id="dtype"),
        pytest.param(lambda plan: changed(plan, "more", value=1), id="more"),
    ],
)
def test_plan_that_is_damaged_or_hostile_is_one_sentence(
    damage: Callable[[dict[str, Any]], bytes], stack: Path, tmp_path: Path
) -> None:
    job = Job(stack, tmp_path / "a.ome.zarr", probe(stack))
    settings = RestoreOptions(task="denoise", level=30)
    work = join_or_create(job, settings)
    (tmp_path / "mine").write_text("mine")
    path = work.folder / "plan.json"
    path.write_bytes(damage(json.loads(path.read_text())))
    workshop = StepExecutor(settings)
    with pytest.raises(ImageError) as refused, closing(workshop):
        result_of(workshop.execute(first_step(job)))
    assert failure(job, refused.value).message == (
        f"{work.folder} holds an unfinished result whose plan cannot be read; "
        "delete that folder to begin anew."
    )
    assert (tmp_path / "mine").read_text() == "mine"
    assert not job.output.exists()


def test_source_that_changed_begins_anew(stack: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.ome.zarr"
    stopped_after(run_of(stack, target), 0.2)
    os.utime(stack, (1, 1))
    run = run_of(stack, target)
    list(run.events())
    assert "another version of the input" in run.outcomes[0].message
    shutil.rmtree(work_folder(target))
    assert only_outcome(run_of(stack, target)).status == "done"


@pytest.mark.slow
def test_other_readers_see_pixels_scale_units_and_names(
    stack: Path, tmp_path: Path
) -> None:
    from bioio_ome_zarr import Reader as BioReader
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    target = only_outcome(run_of(stack, tmp_path / "a.ome.zarr")).job.output
    node = next(iter(Reader(parse_url(target))()))
    np.testing.assert_array_equal(np.asarray(node.data[0]), level_of(target))
    assert [a["name"] for a in node.metadata["axes"]] == list("tczyx")
    assert node.metadata["axes"][4]["unit"] == "micrometer"
    scale = node.metadata["coordinateTransformations"][0][0]["scale"]
    assert scale == [3, 1, 2, 0.25, 0.5]
    image = BioReader(str(target))
    np.testing.assert_array_equal(image.get_image_data("TCZYX"), level_of(target))
    assert image.channel_names == ["red", "green"]
    assert image.physical_pixel_sizes == (2, 0.25, 0.5)


def test_shard_and_its_folders_are_on_the_disk_before_its_mark_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image"
    array = zarr.create_array(
        image / "0", shape=(2, 40, 40), chunks=(1, 8, 8), shards=(1, 16, 16), dtype="u1"
    )
    array[0, 16:32, 32:40] = 1
    synced: list[str] = []
    fsync = os.fsync

    def traced(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        synced.append(path.relative_to(image).as_posix())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", traced)
    sync_block(image, 0, (slice(0, 1), slice(16, 32), slice(32, 40)))
    assert synced == ["0/c/0/1/2", "0/c/0/1", "0/c/0", "0/c", "0"]
    synced.clear()
    sync_block(image, 0, (slice(1, 2), slice(0, 16), slice(0, 16)))
    assert synced == ["0"]
