"""Recipes: the settings of a run that a user does not have to think of."""

from __future__ import annotations

import os
import re
import reprlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._util.safe_yaml import load_plain
from memnet_core.errors import SettingRef, TrainingError
from memnet_core.model.registry import find_model
from memnet_core.tasks import TASKS, Levels
from memnet_core.training.config import TrainingConfig, validated_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "CONFIG_FILE",
    "config_from",
    "config_of_run",
    "parse_levels",
    "read_settings",
    "write_config",
]

CONFIG_FILE = "config.yaml"

_FAST: dict[str, Any] = {
    "architecture": {
        "memory_blocks": 8,
        "recursions": 2,
        "channels": 48,
        "unshuffle": 2,
        "batch_norm": False,
    },
    "phases": [
        {"until": 0.7, "patch": 48, "batch": 8},
        {"until": 1.0, "patch": 64, "batch": 8},
    ],
    "stride": None,
    "luminance": "both",
    "plain_share": 0.08,
    "optimizer": "muon",
    "learning_rate": 5e-3,
    "weight_decay": 0.5,
    "schedule": "linear",
    "warmup_steps": 60,
    "clip_norm": None,
    "clip_theta": None,
    "alpha": 0.8,
    "loss": "log",
    "average_decay": 0.998,
    "freeze_norm_from": 1.0,
    "recalibration_batches": 10,
}
"""Many small steps with Muon. The weight decay is what lets long runs go on learning:
without it weights grow until blocks die (docs/decisions/shape-and-recipe.md). α = 0.8
gives the mean over the y_m a quarter of the weight of y."""

_TUNE: dict[str, Any] = _FAST | {
    "phases": [{"until": 1.0, "patch": 48, "batch": 8}],
    "learning_rate": 2e-3,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "warmup_steps": 50,
    "clip_norm": 1.0,
    "alpha": None,
    "loss": "charbonnier",
    "squared_error_from": 0.0,
    "average_decay": 0.999,
    "freeze_norm_from": 0.0,
}
"""From a trained model: smaller steps, its normalization kept, squared error, of which
the mean of noisy images is the best."""

_PAPER: dict[str, Any] = {
    "architecture": {
        "memory_blocks": 6,
        "recursions": 6,
        "channels": 64,
        "unshuffle": 1,
    },
    "phases": [{"until": 1.0, "patch": 31, "batch": 64}],
    "stride": 21,
    "luminance": "studio",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "schedule": "steps",
    "decay_epochs": 20,
    "warmup_steps": 0,
    "clip_norm": None,
    "clip_theta": 0.01,
    "alpha": None,
    "loss": "euclidean",
    "average_decay": 0.0,
    "freeze_norm_from": 1.0,
    "epochs": 60,
}
"""Sections 5.1 and 5.2 of the paper, which does not say how many epochs it took."""

_RECIPES = {"fast": _FAST, "tune": _TUNE, "paper": _PAPER}

_ON_A_GRID = {"luminance": "studio", "plain_share": 0.0}
"""What recipes say of patches that are drawn does not go with those of a grid."""

_LENGTHS = ("minutes", "steps", "epochs")

_TEACHER_SHARE = 0.5
"""Of the target: what a teacher says where nothing else is said."""

_MOST_BYTES = 2**20
"""Of a file of settings; those of a run have one or two thousand."""


def config_from(*layers: Mapping[str, Any]) -> TrainingConfig:
    """Return the configuration of a run.

    Parameters
    ----------
    *layers : mapping
        Settings, named as in `TrainingConfig`; later ones take precedence, and all of
        them do before the recipe. An architecture may be given in part. A model that
        is trained on pairs serves every level of its task, unless levels are given.
        The recipe ``tune`` takes the architecture, the task and the levels of the model
        that it starts from, which is one that ships unless it is given.

    Raises
    ------
    TrainingError
        If a setting is unknown, missing, or out of range.
    ModelError
        If there is no model to start from.
    """
    given: dict[str, Any] = {"recipe": "fast", "task": "deblock"}
    for layer in layers:
        if any(layer.get(length) is not None for length in _LENGTHS):
            given = {k: v for k, v in given.items() if k not in _LENGTHS}
        shape = {**_part(given, "architecture"), **_part(layer, "architecture")}
        given |= {**layer, "architecture": shape}
    if given["recipe"] not in tuple(_RECIPES):
        raise TrainingError(
            f"Training setting recipe: give 'fast', 'tune' or 'paper', not "
            f"{reprlib.repr(given['recipe'])}."
        )
    if given["recipe"] == "tune":
        given = _of_model(given, is_task_given=any("task" in layer for layer in layers))
    recipe = _RECIPES[given["recipe"]]
    if given.get("stride"):
        recipe = recipe | _ON_A_GRID
    settings = {**recipe, **given}
    if any(given.get(length) is not None for length in _LENGTHS):
        settings |= {length: given.get(length) for length in _LENGTHS}
    settings["architecture"] = (
        recipe["architecture"] | _norms_of(given.get("start")) | given["architecture"]
    )
    if settings.get("teacher") and settings.get("teacher_share") is None:
        settings["teacher_share"] = _TEACHER_SHARE
    if "levels" not in settings and given["task"] in tuple(TASKS):
        kind = "pairs" if given.get("pairs") else given["recipe"]
        if levels := TASKS[given["task"]].recipe_levels.get(kind):
            settings["levels"] = levels
    if "name" not in settings and "out" in settings:
        settings["name"] = os.path.basename(os.path.abspath(settings["out"]))
    return validated_config(**settings)


def _of_model(given: dict[str, Any], *, is_task_given: bool) -> dict[str, Any]:
    """Return settings with what follows from the model that is tuned."""
    from memnet_core.training.finetune import start_card

    task = given["task"] if is_task_given or not given.get("start") else None
    card = start_card(
        given.get("start"),
        task,
        given.get("grain") or "white",
        given["architecture"].get("image_channels", 1),
    )
    levels = {} if given.get("pairs") else {"levels": card.levels}
    return {
        "grain": card.grain,
        **levels,
        **given,
        "start": given.get("start") or card.name,
        "task": card.task,
        "architecture": asdict(card.architecture) | given["architecture"],
    }


def _norms_of(start: str | None) -> dict[str, Any]:
    """Return whether the model to start from has BatchNorm, which a run keeps."""
    if start is None:
        return {}
    return {"batch_norm": find_model(start).card.architecture.batch_norm}


def _part(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = settings.get(name, {})
    if not isinstance(value, dict):
        raise TrainingError(
            f"Training setting {name}: give a mapping, not {reprlib.repr(value)}."
        )
    return value


def parse_levels(text: str) -> Levels:
    """Return the levels that ``5-75`` (a range) or ``10,20`` (a list) stand for.

    Raises
    ------
    TrainingError
        If the text is neither.
    """
    number = r"\d{1,9}(?:\.\d{1,9})?"
    if match := re.fullmatch(rf"({number})-({number})", text.strip()):
        values = sorted({float(match[1]), float(match[2])})
        return Levels(values=tuple(values), continuous=True)
    if re.fullmatch(rf"{number}(?:\s*,\s*{number})*", text.strip()):
        values = sorted({float(part) for part in text.split(",")})
        return Levels(values=tuple(values), continuous=False)
    raise TrainingError(
        f"{reprlib.repr(text)} are no levels; write a range such as 5-75 or a list "
        "such as 10,20."
    )


def read_settings(path: Path) -> dict[str, Any]:
    """Read settings from a YAML file; folders in it are relative to where you are.

    Raises
    ------
    TrainingError
        If the file cannot be read or holds no mapping.
    """
    try:
        if not path.is_file():
            raise OSError("it is no regular file")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise OSError(f"it has more than {_MOST_BYTES} bytes")
        settings = load_plain(content.decode("utf-8"))
    except (
        OSError,
        OverflowError,
        RecursionError,
        ValueError,
        yaml.YAMLError,
    ) as error:
        reason = " ".join(str(error).split()).removesuffix(".")
        raise TrainingError(f"Cannot read the settings in {path}: {reason}.") from error
    if not isinstance(settings, dict):
        raise TrainingError(
            f"{path} holds no settings; write lines such as 'learning_rate: 0.001'."
        )
    if unnamed := [key for key in settings if not isinstance(key, str)]:
        raise TrainingError(
            f"{path}: {reprlib.repr(unnamed[0])} is no name of a setting; write lines "
            "such as 'learning_rate: 0.001'."
        )
    out = settings.get("out", "")
    if not isinstance(out, str):
        raise TrainingError(
            f"{path}: out is a folder such as runs/NAME, not {reprlib.repr(out)}."
        )
    if isinstance(settings.get("levels"), str):
        settings["levels"] = parse_levels(settings["levels"]).model_dump()
    return settings


def write_config(config: TrainingConfig) -> None:
    """Write a configuration into the folder of its run, which is created."""
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        with replaced_when_complete(config.out / CONFIG_FILE) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TrainingError(
            f"Cannot write to the folder {config.out}: {error.strerror}."
        ) from error


def config_of_run(out: Path, **length: float) -> TrainingConfig:
    """Return the configuration of the run in a folder, wherever that has moved.

    Parameters
    ----------
    out : Path
        The folder.
    **length
        The whole length that it is to have now, if not that of before.

    Raises
    ------
    TrainingError
        If there is no run, or it was as long before or longer.
    """
    path = out / CONFIG_FILE
    if not path.exists():
        resume = SettingRef("resume", True)
        raise TrainingError(
            f"{out} holds no run to resume; start one without {resume}.",
            settings=[resume],
        )
    settings = {**read_settings(path), "out": out}
    for name, value in length.items():
        before = settings.get(name)
        if isinstance(before, (int, float)) and value <= before:
            raise TrainingError(
                f"The run in {out} has {before:g} {name} already; give more, the "
                "whole length, to make it longer."
            )
    return validated_config(**settings | length)
