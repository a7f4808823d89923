"""What all tasks have in common, and levels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from memnet_core.errors import LevelError, UsageError
from memnet_core.tasks import TASKS, Levels, Task, find_task

ALL = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def test_tasks_are_listed_in_order_and_found_by_name() -> None:
    assert list(TASKS) == ["deblock", "denoise", "sr"]
    assert find_task("sr") is TASKS["sr"]
    with pytest.raises(UsageError, match="no task 'sharpen'; give one of deblock, den"):
        find_task("sharpen")


@ALL
def test_levels_of_recipes_protocol_and_forms_are_levels_of_the_task(
    task: Task,
) -> None:
    for levels in task.recipe_levels.values():
        task.check_levels(levels)
    for level in (*task.validation_levels, *task.standard_levels, task.field.value):
        task.check(level)
    assert {"fast", "paper"} <= set(task.recipe_levels)
    assert task.bounds[0] <= task.field.low < task.field.high <= task.bounds[1]


@ALL
def test_value_of_the_level_map_is_between_zero_and_one_and_tells_levels_apart(
    task: Task,
) -> None:
    values = [task.level_map_value(level) for level in np.linspace(*task.bounds, 50)]
    assert 0 <= min(values) < max(values) <= 1
    rising = np.sign(np.diff(values))
    assert set(rising) in ({1}, {-1})


@ALL
def test_degraded_pixels_have_the_shape_of_the_clean_ones_which_stay(
    task: Task,
) -> None:
    clean = np.random.default_rng(0).integers(0, 256, (24, 36), np.uint8)
    before = clean.copy()
    level = task.standard_levels[0]
    degraded = task.degrade(clean, level, np.random.default_rng(0))
    assert degraded.shape == clean.shape
    assert degraded.dtype == np.float64
    assert not np.array_equal(degraded, clean)
    np.testing.assert_array_equal(clean, before)


@pytest.mark.parametrize(
    ("name", "level", "told"),
    [
        ("deblock", 0, "0 is no JPEG quality; give a whole number from 1 to 100."),
        ("deblock", 10.5, "10.5 is no JPEG quality; give a whole number from 1"),
        ("denoise", -1, "-1 is no noise deviation; give a number from 0 to 255."),
        ("denoise", 500, "500 is no noise deviation; give a number from 0 to 255."),
        ("sr", 1, "1 is no scale; give a whole number from 2 to 16."),
        ("sr", float("nan"), "nan is no scale"),
    ],
)
def test_level_that_there_is_not_is_refused(name: str, level: float, told: str) -> None:
    with pytest.raises(LevelError, match=told):
        TASKS[name].check(level)


@ALL
def test_one_of_a_list_of_levels_is_drawn(task: Task) -> None:
    rng = np.random.default_rng(0)
    levels = Levels.listed(*task.standard_levels)
    drawn = [task.draw_level(levels, rng) for _ in range(60)]
    assert set(drawn) == set(task.standard_levels)


def test_levels_are_a_range_or_a_list() -> None:
    between, listed = Levels.between(5, 75), Levels.listed(10, 20)
    assert (str(between), str(listed)) == ("5-75", "10, 20")
    assert between.covers(17.5)
    assert not listed.covers(17.5)
    assert (between.nearest(90), listed.nearest(17.5)) == (75, 20)


@pytest.mark.parametrize("values", [(), (20, 10), (5, 5), (float("inf"),)])
def test_levels_that_do_not_ascend_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        Levels(values=values, continuous=False)


def test_tasks_need_neither_torch_nor_files() -> None:
    code = (
        "import sys, memnet_core.tasks\n"
        "print([m for m in sys.modules if m == 'torch' or m.startswith('memnet_core.') "
        "and m.split('.')[1] not in ('tasks', 'errors', 'image_ops', 'noise', 'jpeg', "
        "'_version')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
