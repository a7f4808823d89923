"""``memnet adapt``: what it prints, writes, and ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from memnet_core.adaptation import loop
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import read_card, save_model
from memnet_core.model.network import MemNet
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Command = Callable[..., Result]


@pytest.fixture
def movie(folder: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write takes of the same, beside a model that learned nothing yet."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"memory_blocks": 1, "recursions": 1, "channels": 4}
    save_model(
        models_folder / "noisy.safetensors",
        MemNet(Architecture(**shape)),
        name="noisy",
        task="denoise",
        levels=Levels.between(1, 75),
        version="1",
        license="BSD-3-Clause",
    )
    recipe = loop._Optimization(learning_rate=0.05)
    monkeypatch.setattr(loop, "_Optimization", lambda: recipe)
    monkeypatch.setattr(loop, "_PATCH", 24)
    y, x = np.mgrid[:48, :56] / 7
    scene = 3000 + 2000 * np.sin(x) * np.cos(y)
    noise = np.random.default_rng(0).normal(0, 400, (6, *scene.shape))
    pixels = (scene + noise).clip(0).astype(np.uint16)
    tifffile.imwrite("movie.tif", pixels, imagej=True, metadata={"axes": "TYX"})
    return models_folder


def test_a_model_and_a_picture_are_written(memnet: Command, movie: Path) -> None:
    result = memnet("adapt", "movie.tif", "--axis", "t", "--steps", 20)
    assert result.exit_code == 0, result.output
    loss, verdict, written = result.stdout.splitlines()
    assert loss.startswith("Held-out loss ")
    assert verdict == "The model movie-adapted is adapted to this."
    assert str(movie / "movie-adapted.safetensors") in written
    assert "Adapting noisy (denoise σ 1-75) on cpu" in result.stderr
    assert "held out" in result.stderr
    with Image.open(movie / "movie-adapted.png") as picture:
        assert picture.size == (960, 272)
    listed = memnet("models", "list").stdout
    assert "movie-adapted" in listed
    told = memnet("models", "info", "movie-adapted").stdout
    assert "adapted to     movie.tif" in told
    assert "started from   noisy" in told
    task = ("--task", "denoise", "--model", "movie-adapted")
    restored = memnet("restore", "movie.tif", "out.tif", *task)
    assert restored.exit_code == 0, restored.output


def test_a_file_can_be_named_and_is_not_replaced_by_accident(
    memnet: Command, movie: Path
) -> None:
    command = ("adapt", "movie.tif", "--out", "mine.safetensors", "--steps", 10)
    assert memnet(*command).exit_code == 0
    again = memnet(*command)
    assert again.exit_code == 2
    assert "already a model mine.safetensors" in again.stderr
    assert memnet(*command, "--overwrite").exit_code == 0
    assert read_card(movie.parent / "work" / "mine.safetensors").name == "mine"


def test_nothing_is_written_where_nothing_is_learned(
    memnet: Command, movie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = loop._Optimization()
    object.__setattr__(recipe, "learning_rate", 0.0)
    monkeypatch.setattr(loop, "_Optimization", lambda: recipe)
    result = memnet("adapt", "movie.tif", "--steps", 2)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == (
        "The held-out loss does not fall beyond chance, so noisy stays and nothing is "
        "written."
    )
    assert [file.name for file in movie.iterdir()] == ["noisy.safetensors"]


@pytest.mark.usefixtures("movie")
def test_a_single_image_is_refused_in_a_sentence(memnet: Command) -> None:
    tifffile.imwrite("single.tif", np.eye(64, dtype=np.uint8))
    result = memnet("adapt", "single.tif")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "A single image has no other frame to learn from" in result.stderr
    assert "or the objective noise2void" in result.stderr


@pytest.mark.usefixtures("movie")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.tif",), "missing.tif"),
        (("movie.tif", "--axis", "Z"), "has the axes TYX"),
        (("movie.tif", "--minutes", "0"), "x>0"),
        (("movie.tif", "--minutes", "1", "--steps", "2"), "minutes or steps"),
        (("movie.tif", "--model", "none"), "no model 'none'"),
        (("movie.tif", "--device", "abacus"), "no device 'abacus'"),
    ],
)
def test_bad_input_gets_a_sentence(
    memnet: Command, arguments: tuple[str, ...], words: str
) -> None:
    result = memnet("adapt", *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.stderr
    assert "Traceback" not in result.stderr
