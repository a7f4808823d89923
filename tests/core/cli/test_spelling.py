"""Messages name settings as the entry point spells them."""

from __future__ import annotations

import pickle

import pytest

from memnet_core.cli._options import as_option
from memnet_core.errors import NotCovered, SettingRef, UsageError


@pytest.mark.parametrize(
    ("setting", "python", "command"),
    [
        (SettingRef("sigma"), "sigma=", "--sigma"),
        (SettingRef("sigma", 20.0), "sigma=20", "--sigma 20"),
        (
            SettingRef("hot_pixels", "keep"),
            "hot_pixels='keep'",
            "--hot-pixels keep",
        ),
        (SettingRef("nearest", True), "nearest=True", "--nearest"),
        (
            SettingRef("max_pixels", python="VARIABLE"),
            "VARIABLE",
            "--max-pixels or VARIABLE",
        ),
    ],
)
def test_a_setting_is_spelled_as_at_its_entry_point(
    setting: SettingRef, python: str, command: str
) -> None:
    error = UsageError(f"Leave {setting} out.", settings=[setting])
    assert str(error) == f"Leave {python} out."
    assert error.spelled(as_option) == f"Leave {command} out."


def test_settings_of_an_error_reach_another_process() -> None:
    nearest = SettingRef("nearest", True)
    error = NotCovered(f"Accept it with {nearest}.", settings=[nearest])
    again = pickle.loads(pickle.dumps(error))
    assert again.spelled(as_option) == "Accept it with --nearest."


def test_a_setting_whose_spelling_begins_another_does_not_spoil_it() -> None:
    settings = [SettingRef("sigma"), SettingRef("sigma", 20)]
    error = UsageError(f"{settings[0]} or {settings[1]}", settings=settings)
    assert error.spelled(as_option) == "--sigma or --sigma 20"
