"""How strongly a model works, where that can be chosen."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core import restore
from memnet_core.errors import UsageError
from memnet_core.inference.plan import RestorePlan, check_model, plan_restore
from memnet_core.inference.settings import (
    SETTINGS,
    RestoreKeywords,
    RestoreOptions,
    options_from,
)
from memnet_core.io import Image, in_memory
from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.io import ImageFile

    Install = Callable[..., Path]


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 20), np.uint8)


def source(tmp_path: Path) -> ImageFile:
    return in_memory(tmp_path / "image", Image(picture(), "YX"))


@pytest.mark.parametrize("task", ["denoise", "deblock"])
def test_strength_scales_what_the_network_is_told(task: str) -> None:
    kind = TASKS[task]
    for level in (5, 40, 75):
        told = kind.level_map_value(level)
        for strength in (0, 0.3, 1, 1.5):
            applied = kind.at_strength(level, strength)
            assert kind.level_map_value(applied) == pytest.approx(
                strength * told, abs=1e-12
            )


@pytest.mark.parametrize(("task", "level"), [("denoise", 25.0), ("deblock", 20.0)])
def test_a_strength_is_as_the_level_that_it_stands_for(
    install: Install, task: str, level: float
) -> None:
    install("map", 1, 100, task=task, level_map=True)
    half = restore(picture(), task, level, strength=0.5, device="cpu")
    full = restore(picture(), task, level, device="cpu")
    assert np.mean(half != full) > 0.1
    if task == "denoise":
        same = restore(picture(), task, 12.5, device="cpu")
        assert np.array_equal(half, same)


@pytest.mark.parametrize(
    "pixels",
    [
        picture(),
        picture().astype(np.float32) * 9 - 300,
        np.where(picture() > 99, np.nan, picture()).astype(np.float32),
        np.stack([picture()] * 4, axis=-1) // np.arange(1, 5, dtype=np.uint8),
    ],
    ids=["uint8", "float32", "nan", "rgba"],
)
def test_strength_0_gives_back_every_value(install: Install, pixels: Any) -> None:
    install("map", 0, 100, task="denoise", level_map=True)
    result = restore(pixels, "denoise", 25, strength=0, device="cpu")
    assert result.dtype == pixels.dtype
    assert np.array_equal(result, pixels, equal_nan=pixels.dtype.kind == "f")


@pytest.mark.parametrize("strength", [-0.1, 1.6, math.nan, math.inf])
def test_strength_that_does_not_exist_is_refused(strength: float) -> None:
    with pytest.raises(UsageError, match=r"give a number from 0 to 1.5"):
        RestoreOptions(task="denoise", strength=strength)


def test_model_that_knows_one_strength_refuses_others(
    install: Install, tmp_path: Path
) -> None:
    install("blind", 0, 100, task="denoise")
    half = RestoreOptions(task="denoise", level=20, strength=0.5)
    for refusing in (
        lambda: plan_restore(source(tmp_path), half),
        lambda: check_model(half),
    ):
        with pytest.raises(UsageError, match="'blind' is not told the level"):
            refusing()
    install("map", 0, 50, task="denoise", level_map=True)
    check_model(half)
    assert plan_restore(source(tmp_path), half).strength == 0.5


def test_enlarging_has_no_strength(install: Install, tmp_path: Path) -> None:
    install("large", 2, 4, task="sr", level_map=True)
    settings = RestoreOptions(task="sr", level=2, strength=0.5)
    with pytest.raises(UsageError, match="The task sr has no strength"):
        plan_restore(source(tmp_path), settings)


@pytest.mark.parametrize(
    ("strength", "said"),
    [
        (1.0, ()),
        (0.5, ("strength 0.5, as σ 10",)),
        (0.0, ("strength 0, which changes nothing",)),
        (
            1.5,
            (
                "strength 1.5, as σ 30, beyond what the model is trained for "
                "(denoise σ 5-25)",
            ),
        ),
        (
            0.1,
            (
                "strength 0.1, as σ 2, beyond what the model is trained for "
                "(denoise σ 5-25)",
            ),
        ),
    ],
)
def test_strength_is_said(
    install: Install, tmp_path: Path, strength: float, said: tuple[str, ...]
) -> None:
    install("map", 5, 25, task="denoise", level_map=True)
    settings = RestoreOptions(task="denoise", level=20, strength=strength)
    decision = plan_restore(source(tmp_path), settings)
    assert decision.remarks == said
    assert RestorePlan.model_validate_json(decision.model_dump_json()) == decision


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"noise": "banana"},
            "noise='banana' is not valid; give 'auto', 'gaussian', 'photons', or A,B",
        ),
        ({"noise": "2,x"}, "noise='2,x' is not valid"),
        (
            {"channels": "xx"},
            "channels='xx' is not valid; give 'luminance', 'each' or 'joint'",
        ),
        ({"context": 7}, "context=7 is not valid; give 1 or 3"),
        (
            {"precision": "xx"},
            "precision='xx' is not valid; give 'float32', 'bfloat16' or 'float16'",
        ),
        ({"range": (9, 5)}, r"range=\(9, 5\) is not valid; give 'auto', 'dtype'"),
        ({"exit_block": 0}, "exit_block=0 is not valid; give a whole number from 1"),
        ({"exit_block": 1.5}, "exit_block=1.5 is not valid"),
        ({"tta": "yes"}, "tta='yes' is not valid; give True or False"),
        ({"sigma": "loud"}, "sigma='loud' is not valid; give a number or 'auto'"),
        ({"q": 10}, "q= does not go with task='denoise'; give sigma="),
        ({"level": 10, "sigma": 20}, "level= and sigma= are the same setting"),
        ({"range": "auto", "value_range": "auto"}, "range= are the same setting"),
        (
            {"sharpness": 2},
            "There is no setting 'sharpness'; the settings are q, sigma, ",
        ),
    ],
)
def test_an_invalid_setting_is_refused_with_what_is_valid(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        restore(picture(), **settings)


def test_python_takes_the_names_and_spellings_of_the_command() -> None:
    def found(**keywords: Any) -> RestoreOptions:
        return options_from("denoise", keywords=keywords)

    assert found(sigma=25) == RestoreOptions(task="denoise", level=25)
    assert found(sigma="auto") == RestoreOptions(task="denoise")
    assert found(range="0,9").value_range == (0, 9)
    assert found(noise="2.17,-200").noise == (2.17, -200)
    assert found(context="3").context == 3
    assert options_from("deblock", keywords={"q": 10}).level == 10
    assert options_from("sr", keywords={"scale": 2}).level == 2


def test_sigma_as_keyword_restores_as_a_level_does(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    given = restore(picture(), sigma=25, range=(0, 255), device="cpu")
    level = restore(picture(), "denoise", 25, value_range=(0.0, 255.0), device="cpu")
    assert np.array_equal(given, level)


def test_keywords_for_type_checkers_are_those_of_the_table() -> None:
    levels = {task.option for task in TASKS.values()}
    names = {setting.option for setting in SETTINGS.values() if setting.option}
    assert set(RestoreKeywords.__annotations__) == levels | names | set(SETTINGS)
    assert set(SETTINGS) | {"task", "level"} == {
        field.name for field in fields(RestoreOptions)
    }
