"""Steps of a job: files plane by plane, whole or not at all; shards by anyone."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from memnet_core.batch import BatchRun, FileProgress, Job, ModelReady
from memnet_core.batch.executor import Step, StepExecutor, first_step
from memnet_core.batch.shared_output import SharedResult
from memnet_core.inference.api import restore
from memnet_core.inference.noise_map import readings_of
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import probe
from memnet_core.noise.file import shipped_noise_network
from memnet_core.progress import GeneratorWithResult, result_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.batch import Outcome

    Install = Callable[..., Path]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Write an OME-TIFF of two channels and three slices."""
    path = tmp_path / "in" / "a.ome.tif"
    path.parent.mkdir()
    metadata = {"axes": "CZYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(path, pixels(), photometric="minisblack", metadata=metadata)
    return path


def pixels() -> NDArray[Any]:
    values = np.random.default_rng(0).integers(0, 4000, (2, 3, 20, 24))
    values[1] //= 8
    return values.astype(np.uint16)


def run_of(path: Path, *, axes: str = "", **asked: Any) -> BatchRun:
    target = path.parent.with_name("out") / path.name
    settings = RestoreOptions(**{"task": "denoise", "level": 30.0, **asked})
    return BatchRun([Job(path, target, probe(path), axes=axes)], settings)


def only_outcome(run: BatchRun) -> Outcome:
    list(run.events())
    (outcome,) = run.outcomes
    return outcome


@pytest.mark.parametrize("choice", ["auto", "percentile", (0.0, 4000.0)], ids=str)
def test_planes_become_what_the_image_becomes(
    choice: Any, install: Install, stack: Path
) -> None:
    install("low", 5, 75, task="denoise")
    outcome = only_outcome(run_of(stack, value_range=choice))
    assert outcome.status == "done"
    whole = restore(pixels(), level=30, axes="CZYX", value_range=choice)
    np.testing.assert_array_equal(tifffile.imread(outcome.job.output), whole)


def test_each_channel_has_a_range_of_its_own(install: Install, stack: Path) -> None:
    install("low", 5, 75, task="denoise")
    restored = tifffile.imread(only_outcome(run_of(stack)).job.output)
    for channel in range(2):
        alone = restore(pixels()[channel], level=30, axes="ZYX")
        np.testing.assert_array_equal(restored[channel], alone)


def test_planes_have_ranges_of_their_own_only_when_asked(
    install: Install, stack: Path
) -> None:
    install("low", 5, 75, task="denoise")
    outcome = only_outcome(run_of(stack, value_range="plane"))
    assert outcome.remark == "each plane by its own percentiles"
    restored = tifffile.imread(outcome.job.output)
    alone = stack.with_name("alone.ome.tif")
    tifffile.imwrite(
        alone, pixels()[1, 2:], photometric="minisblack", metadata={"axes": "ZYX"}
    )
    only = only_outcome(run_of(alone, value_range="percentile"))
    np.testing.assert_array_equal(
        np.squeeze(tifffile.imread(only.job.output)), restored[1, 2]
    )


def test_noise_of_a_stack_is_that_of_its_middle_plane(
    install: Install, stack: Path
) -> None:
    install("low", 1, 200, task="denoise")
    run = run_of(stack, level=None, value_range=(0.0, 4000.0))
    outcome = only_outcome(run)
    # Of two channels with a level each, the stronger one decides over the model.
    plane = (pixels()[0, 1] / 4000).astype(np.float32)
    read = readings_of(shipped_noise_network(), [plane])
    middle = read.level(read.curve())
    assert outcome.level == round(middle, 1)
    assert outcome.remark.startswith(f"σ estimated as {middle:.1f}")


def test_enlarged_stack_keeps_its_axes_with_smaller_pixels(
    install: Install, stack: Path
) -> None:
    install("two", 2, task="sr")
    outcome = only_outcome(run_of(stack, task="sr", level=2))
    assert outcome.shape == (2, 3, 40, 48)
    with tifffile.TiffFile(outcome.job.output) as file:
        assert file.series[0].axes == "CZYX"
        assert file.series[0].shape == (2, 3, 40, 48)
        assert 'PhysicalSizeX="0.25"' in str(file.ome_metadata)


def test_closing_within_a_stack_leaves_nothing(install: Install, stack: Path) -> None:
    install("low", 5, 75, task="denoise")
    run = run_of(stack)
    done = []
    with closing(run.events()) as events:
        for event in events:
            if isinstance(event, FileProgress):
                done.append(event.fraction)
            if len(done) == 5:
                break
    assert 0 < done[0] < done[-1] < 1
    assert not any(run.jobs[0].output.parent.iterdir())
    assert run.outcomes == []


def test_bad_plane_fails_its_file_and_leaves_nothing(
    install: Install, tmp_path: Path
) -> None:
    install("low", 5, 75, task="denoise")
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    planes = np.zeros((3, 8, 9), np.float32)
    planes[:] = np.random.default_rng(0).random(planes.shape)
    tifffile.imwrite(path, planes, photometric="minisblack", compression="zlib")
    damage_page(path, 2)
    outcome = only_outcome(run_of(path))
    assert outcome.status == "failed"
    assert outcome.message.startswith(f"{path} cannot be read: ")
    assert not outcome.job.output.exists()


def damage_page(path: Path, page: int) -> None:
    """Damage the pixels of a page, not its header."""
    with tifffile.TiffFile(path) as file:
        start = file.pages[page].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)


def test_axes_are_named_for_the_result(install: Install, tmp_path: Path) -> None:
    install("low", 5, 75, task="denoise")
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.zeros((3, 8, 9), np.uint8), photometric="minisblack")
    outcome = only_outcome(run_of(path, axes="TYX"))
    with tifffile.TiffFile(outcome.job.output) as file:
        assert file.series[0].axes == "TYX"


def test_axes_without_a_place_for_them_are_refused(
    install: Install, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    install("low", 5, 75, task="denoise")
    path = write_picture(tmp_path / "in" / "a.png")
    outcome = only_outcome(run_of(path, axes="YXZ"))
    assert outcome.status == "failed"
    assert outcome.message.startswith(f"{outcome.job.output} cannot be written: ")
    assert not outcome.job.output.exists()


@pytest.fixture
def zarr_job(install: Install, stack: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Plan a result of six shards, two of them of the lower resolution."""
    install("low", 5, 75, task="denoise")
    for name, value in (("CHUNK", 8), ("SHARD", 16), ("SMALLEST_LEVEL", 20)):
        monkeypatch.setattr(f"memnet_core.io.zarr.image._{name}", value)
    return Job(stack, stack.parent.with_name("out") / "a.ome.zarr", probe(stack))


SETTINGS = RestoreOptions(task="denoise", level=30)


def test_steps_done_twice_and_by_others_make_one_result(zarr_job: Job) -> None:
    ours, theirs = StepExecutor(SETTINGS), StepExecutor(SETTINGS)
    plan = result_of(ours.execute(first_step(zarr_job)))
    *stages, (last,) = plan.stages
    assert {step.action for stage in stages for step in stage} == {"block"}
    assert plan.total == sum(map(len, stages))
    for stage in stages:
        for step in stage:
            for workshop in (ours, theirs, ours):
                answer = result_of(workshop.execute(step))
                assert (answer.outcome, answer.is_postponed) == (None, False)
        assert ours.left_over(stage) is None
    done = result_of(ours.execute(last)).outcome
    again = result_of(theirs.execute(last)).outcome
    assert done is not None
    assert again is not None
    assert (done.status, done.model) == ("done", "low")
    assert (again.status, again.remark) == ("done", "completed by another run")
    late = result_of(theirs.execute(stages[0][0]))
    assert (late.outcome, late.is_postponed) == (None, False)
    skipped = result_of(theirs.execute(first_step(zarr_job))).outcome
    assert skipped is not None
    assert skipped.status == "skipped"
    ours.close()
    theirs.close()


def test_shard_that_another_process_makes_is_postponed_and_counted(
    zarr_job: Job,
) -> None:
    workshop = StepExecutor(SETTINGS)
    plan = result_of(workshop.execute(first_step(zarr_job)))
    stage: tuple[Step, ...] = plan.stages[0]
    work = SharedResult(Path(stage[0].folder))
    with work.claimed(f"0-{stage[0].index}", wait=False) as held:
        assert held
        first, *rest = (result_of(workshop.execute(s, wait=False)) for s in stage)
    workshop.close()
    assert first.is_postponed
    assert not any(answer.is_postponed for answer in rest)
    left = workshop.left_over(stage)
    assert left is not None
    assert left.status == "partial"
    assert left.remark.endswith("1 shards to go")


def test_model_is_announced_once_for_all_jobs_of_a_workshop(zarr_job: Job) -> None:
    workshop = StepExecutor(SETTINGS)
    again = replace(zarr_job, output=zarr_job.output.with_name("b.ome.zarr"))
    found = []
    for job in (zarr_job, again):
        events = GeneratorWithResult(workshop.execute(first_step(job)))
        found += [event for event in events if isinstance(event, ModelReady)]
        for step in events.result.stages[0]:
            inner = GeneratorWithResult(workshop.execute(step))
            found += [event for event in inner if isinstance(event, ModelReady)]
    workshop.close()
    assert [ready.entry.card.name for ready in found] == ["low"]
