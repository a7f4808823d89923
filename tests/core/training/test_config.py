from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from memnet_core.errors import TrainingError
from memnet_core.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., TrainingConfig]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"minutes": 0}, "minutes: Input should be greater than 0"),
        ({"data": []}, "data: "),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
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
    ],
    ids=str,
)
def test_wrong_setting_is_named_in_one_sentence(
    make_config: Make, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        make_config(**change)
    assert message in str(caught.value)
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


def test_configuration_survives_its_file(make_config: Make) -> None:
    config = make_config(seed=7)
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
