from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from memnet_core.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: Input should be greater than or equal to 1"),
        ({"steps": 5, "minutes": 2}, "give one of minutes, steps and epochs"),
        ({"steps": None}, "give one of minutes, steps and epochs"),
        ({"data": []}, "give either data"),
        ({"color": "red"}, "color: Extra inputs are not permitted"),
        ({"recipe": "slow"}, "recipe: give 'fast', 'tune' or 'paper', not 'slow'"),
        ({"grain": "correlated"}, "only noise has a grain; give the task denoise"),
        ({"task": "sharpen"}, "task: There is no task 'sharpen'; give one of deblock"),
        ({"architecture": {"channels": 0}}, "channels must be at least 1"),
        ({"phases": []}, "phases have to end at rising fractions"),
        (
            {"phases": [{"until": 0.5, "patch": 16, "batch": 1}]},
            "phases have to end at rising fractions of the run, the last at 1",
        ),
        (
            {
                "architecture": {"unshuffle": 3},
                "phases": [{"until": 1, "patch": 16, "batch": 1}],
            },
            "a patch of 16 px is not a multiple of unshuffle 3",
        ),
        ({"epochs": 3, "steps": None}, "are counted in epochs"),
        (
            {"levels": {"values": [0, 200], "continuous": True}},
            "0 is no JPEG quality; give a whole number from 1 to 100",
        ),
        (
            {"levels": {"values": [10.5], "continuous": False}},
            "10.5 is no JPEG quality; give a whole number from 1 to 100",
        ),
        ({"steps": None, "minutes": math.inf}, "minutes: Input should be a finite"),
        ({"weight_decay": math.inf}, "weight_decay: Input should be a finite"),
        ({"recipe": ["fast"]}, "recipe: give 'fast', 'tune' or 'paper', not ['fast']"),
        ({"task": ["sr"]}, "task: Input should be a valid string"),
        ({"name": "my model"}, "unlike 'my model'; give another name"),
        (
            {"task": "sr", "levels": {"values": [2, 4], "continuous": True}},
            "A scale is one of a list, not of a range",
        ),
        (
            {
                "task": "sr",
                "levels": {"values": [2, 3], "continuous": False},
                "data": [],
                "pairs": ["a", "b"],
            },
            "pairs have a single scale",
        ),
        (
            {"data": [], "pairs": ["a", "b"], "architecture": {"level_map": True}},
            "pairs tell no level",
        ),
        ({"luminance": "full"}, "luminance: Input should be 'studio' or 'both'"),
        ({"plain_share": 1.5}, "plain_share: Input should be less than or equal to 1"),
        ({"task": "sr", "history_share": 0.1}, "only JPEGs made of clean images"),
        ({"noise": "all"}, "noise: all is for the task denoise"),
        (
            {"task": "denoise", "noise": "all", "grain": "correlated"},
            "noise: all has no grain",
        ),
        ({"optimizer": "adam"}, "optimizer: Input should be 'muon', 'adamw' or 'sgd'"),
        ({"stride": 21, "plain_share": 0.1}, "on a grid are taken as they are"),
        (
            {"stride": 21, "plain_share": 0, "border_share": 0.1},
            "on a grid are taken as they are",
        ),
        (
            {"stride": 21, "plain_share": 0, "luminance": "both"},
            "on a grid are taken as they are",
        ),
    ],
    ids=str,
)
def test_wrong_setting_is_named_in_one_sentence(
    make_config: Make, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        make_config(**change)
    assert message in str(caught.value)
    assert not str(caught.value).endswith("..")
    assert str(caught.value).startswith("Training setting ")


@pytest.mark.parametrize(
    ("progress", "patch"), [(0, 16), (0.49, 16), (0.5, 32), (0.99, 32), (1, 32)]
)
def test_phase_follows_the_progress(
    make_config: Make, progress: float, patch: int
) -> None:
    config = make_config(
        phases=[
            {"until": 0.5, "patch": 16, "batch": 4},
            {"until": 1, "patch": 32, "batch": 2},
        ]
    )
    assert config.phase(progress).patch == patch


@pytest.mark.parametrize(
    ("length", "count"),
    [({"minutes": 5}, 4), ({"minutes": 130}, 13), ({"steps": 7}, 10)],
)
def test_long_runs_are_validated_every_ten_minutes(
    make_config: Make, length: dict[str, float], count: int
) -> None:
    given = {"steps": None, "validations": None} | length
    assert make_config(**given).validation_count == count
