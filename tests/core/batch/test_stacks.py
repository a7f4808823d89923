"""Stacks in a run: plane by plane, metadata kept, whole or not at all."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from memnet_core._old_tasks import TaskSettings, plane_sigma, restore_image
from memnet_core.batch import BatchRun, BatchSettings, Job, TileFinished
from memnet_core.engine import result_of
from memnet_core.io import Image, probe
from memnet_core.values import ValueRange

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


def settings_for(**task: Any) -> TaskSettings:
    return TaskSettings(**{"task": "denoise", "level": 30.0, **task})


def run_of(path: Path, **settings: Any) -> BatchRun:
    target = path.parent.with_name("out") / path.name
    task = settings.pop("task", settings_for())
    return BatchRun(
        [Job(path, target, probe(path))], BatchSettings(task=task, **settings)
    )


def only_outcome(run: BatchRun) -> Outcome:
    list(run.events())
    (outcome,) = run.outcomes
    return outcome


@pytest.mark.parametrize("choice", ["dtype", "percentile", (0.0, 4000.0)], ids=str)
def test_planes_become_what_the_image_becomes(
    choice: Any, install: Install, stack: Path
) -> None:
    install("low", 5, 75, task="denoise")
    task = settings_for(value_range=choice)
    run = run_of(stack, task=task)
    outcome = only_outcome(run)
    assert outcome.status == "done"
    models = BatchRun([], BatchSettings(task=task))
    entry = models.settings.choose(30)
    restorer = result_of(models._models.load(entry))
    whole = result_of(restore_image(Image(pixels(), "CZYX"), restorer, task))
    found = tifffile.imread(outcome.job.output)
    np.testing.assert_array_equal(found, whole.pixels)


def test_range_by_a_sample_is_told(install: Install, stack: Path) -> None:
    install("low", 5, 75, task="denoise")
    task = settings_for(value_range="percentile")
    outcome = only_outcome(run_of(stack, task=task))
    low, high = np.percentile(pixels(), (0.1, 99.9))
    assert outcome.remark == f"range {low:g} to {high:g} by a sample of 6 of 6 planes"


def test_planes_have_ranges_of_their_own_only_when_asked(
    install: Install, stack: Path
) -> None:
    install("low", 5, 75, task="denoise")
    outcome = only_outcome(run_of(stack, task=settings_for(value_range="plane")))
    assert outcome.remark == "each plane by its own percentiles"
    restored = tifffile.imread(outcome.job.output)
    alone = stack.with_name("alone.ome.tif")
    tifffile.imwrite(
        alone, pixels()[1, 2:], photometric="minisblack", metadata={"axes": "ZYX"}
    )
    only = only_outcome(run_of(alone, task=settings_for(value_range="percentile")))
    np.testing.assert_array_equal(
        np.squeeze(tifffile.imread(only.job.output)), restored[1, 2]
    )


def test_noise_of_a_stack_is_that_of_its_middle_plane(
    install: Install, stack: Path
) -> None:
    install("low", 1, 200, task="denoise")
    task = settings_for(level=None, value_range=(0.0, 4000.0))
    outcome = only_outcome(run_of(stack, task=task))
    middle = plane_sigma(pixels()[1, 0, ..., None], ValueRange(0, 4000))
    assert outcome.level == round(middle, 1)
    assert outcome.remark == f"σ estimated as {middle:.1f}"


def test_enlarged_stack_keeps_its_axes_with_smaller_pixels(
    install: Install, stack: Path
) -> None:
    install("two", 2, task="sr")
    outcome = only_outcome(run_of(stack, task=settings_for(task="sr", level=2)))
    assert outcome.shape == (2, 3, 40, 48)
    with tifffile.TiffFile(outcome.job.output) as file:
        assert file.series[0].axes == "CZYX"
        assert file.series[0].shape == (2, 3, 40, 48)
        assert 'PhysicalSizeX="0.25"' in str(file.ome_metadata)


def test_closing_within_a_stack_leaves_nothing(install: Install, stack: Path) -> None:
    install("low", 5, 75, task="denoise")
    run = run_of(stack, tile=(8, 8), halo=0)
    done = []
    with closing(run.events()) as events:
        for event in events:
            if isinstance(event, TileFinished):
                done.append(event.fraction)
            if len(done) == 20:
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
    planes[2, 0, 0] = np.inf
    tifffile.imwrite(path, planes, photometric="minisblack")
    run = run_of(path, task=settings_for(value_range=(0.0, 1.0)))
    outcome = only_outcome(run)
    assert outcome.status == "failed"
    assert outcome.message == (
        f"{path} cannot be restored: 1 of 72 values are NaN or infinite; "
        "replace them first."
    )
    assert not any(outcome.job.output.parent.iterdir())


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
    outcome = only_outcome(run_of(path, axes="YXS"))
    assert outcome.status == "failed"
    assert "holds no axes to name; choose --format tiff" in outcome.message
