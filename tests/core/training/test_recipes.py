from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memnet_core.errors import TrainingError
from memnet_core.model.architecture import Architecture
from memnet_core.tasks import Levels
from memnet_core.training.recipes import (
    config_from,
    config_of_run,
    parse_levels,
    read_settings,
    write_config,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

BASE = {"data": [Path("clean")], "out": Path("runs/mine"), "steps": 10}


@pytest.mark.parametrize(
    ("task", "levels"),
    [("deblock", (10, 20)), ("denoise", (30, 50, 70)), ("sr", (2, 3, 4))],
)
def test_paper_recipe_is_that_of_the_paper(
    task: str, levels: tuple[float, ...]
) -> None:
    layer = {**BASE, "recipe": "paper", "task": task, "steps": None}
    config = config_from(layer)
    assert config.architecture == Architecture()
    assert config.levels == Levels(values=levels, continuous=False)
    [phase] = config.phases
    assert (phase.patch, phase.batch, config.stride) == (31, 64, 21)
    assert (config.optimizer, config.learning_rate) == ("sgd", 0.1)
    assert (config.schedule, config.decay_epochs) == ("steps", 20)
    assert (config.weight_decay, config.clip_theta, config.clip_norm) == (
        1e-4,
        0.01,
        None,
    )
    assert (config.loss, config.alpha, config.average_decay) == ("euclidean", None, 0)
    assert config.epochs == 60


def test_later_layers_and_the_file_take_precedence_over_the_recipe() -> None:
    file = {"learning_rate": 1e-3, "minutes": 30, "architecture": {"channels": 32}}
    config = config_from({**BASE, "steps": None}, file, {"steps": 5, "seed": 3})
    assert (config.learning_rate, config.seed) == (1e-3, 3)
    assert (config.steps, config.minutes) == (5, None)
    assert config.architecture == Architecture(
        memory_blocks=8, recursions=2, channels=32, unshuffle=2, batch_norm=False
    )
    assert config.name == "mine"


def test_patches_on_a_grid_are_taken_as_they_are() -> None:
    phases = [{"until": 1, "patch": 32, "batch": 4}]
    config = config_from({**BASE, "stride": 16, "phases": phases})
    assert (config.luminance, config.plain_share) == ("studio", 0)
    drawn = config_from(BASE)
    assert (drawn.luminance, drawn.plain_share) == ("both", 0.08)
    assert drawn.optimizer == "muon"


def test_length_replaces_the_epochs_of_the_paper() -> None:
    config = config_from({**BASE, "recipe": "paper"})
    assert (config.steps, config.epochs) == (10, None)


def test_model_of_pairs_serves_every_level_of_its_task() -> None:
    pairs = {"pairs": (Path("a"), Path("b")), "out": Path("x"), "steps": 1}
    levels = config_from({**pairs, "task": "denoise"}).levels
    assert levels.covers(0)
    assert levels.covers(255)
    with pytest.raises(TrainingError, match="setting levels: Field required"):
        config_from({**pairs, "task": "sr"})


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("5-75", Levels(values=(5, 75), continuous=True)),
        ("20, 10", Levels(values=(10, 20), continuous=False)),
        ("2.5", Levels(values=(2.5,), continuous=False)),
    ],
)
def test_levels_are_a_range_or_a_list(text: str, levels: Levels) -> None:
    assert parse_levels(text) == levels


@pytest.mark.parametrize("text", ["", "5-", "-5", "5..75", "a,b", "1e9-2"])
def test_other_levels_are_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="write a range such as 5-75"):
        parse_levels(text)


def test_configuration_is_found_again_in_a_folder_that_was_moved(
    make_config: Make, tmp_path: Path
) -> None:
    config = make_config(seed=7, value_range=(0, 4095))
    write_config(config)
    config.out.rename(tmp_path / "moved")
    found = config_of_run(tmp_path / "moved")
    assert found == config.model_copy(update={"out": tmp_path / "moved"})


def test_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no run to resume"):
        config_of_run(tmp_path)


@pytest.mark.parametrize("text", ["- 1", "a: [", "just words"])
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(TrainingError, match=r"s\.yaml"):
        read_settings(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("out: 5", "out is a folder such as runs/NAME, not 5"),
        ("out: null", "out is a folder such as runs/NAME, not None"),
        ("out: [a]", r"out is a folder such as runs/NAME, not \['a'\]"),
        ("5: fast", "5 is no name of a setting"),
    ],
)
def test_settings_of_a_wrong_kind_are_named(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(TrainingError, match=rf"s\.yaml: {message}"):
        read_settings(file)


def test_folders_have_names_and_places_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_from({"data": [Path(".")], "out": Path("."), "steps": 1})
    assert config.data == (tmp_path,)
    assert config.name == tmp_path.name


def test_configuration_that_cannot_be_written_whole_stays_as_it_was(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(path: Path, text: str, **_: str) -> None:
        path.write_bytes(text[:20].encode())
        raise OSError(28, "No space left on device")

    config = make_config()
    write_config(config)
    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(TrainingError, match="No space left"):
        write_config(make_config(seed=3))
    assert config_of_run(config.out) == config
    assert [path.name for path in config.out.iterdir()] == ["config.yaml"]


def test_settings_hold_levels_as_text(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "task: denoise\nlevels: 10-50\nphases:\n- {until: 1, patch: 8, batch: 2}\n"
    )
    config = config_from(BASE, read_settings(file))
    assert config.levels == Levels(values=(10, 50), continuous=True)
    assert config.phases[0].patch == 8
