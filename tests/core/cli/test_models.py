from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memnet_core.model.card import Score, TrainingSummary
from memnet_core.model.checkpoint import load_model, read_card

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]

SUMMARY = TrainingSummary(
    data="CLIC",
    steps=700,
    megapixels=12.5,
    minutes=80,
    hardware="2 cores",
    command="memnet train --task deblock",
    started_from="first",
)
SCORE = Score(
    dataset="classic5",
    level=10,
    input_psnr=27.82,
    input_ssim=0.7595,
    psnr=29.05,
    ssim=0.81,
)


def test_list_names_models_and_where_they_are_from(
    memnet: Command, install: Install, models_folder: Path
) -> None:
    install("low", 5, 20)
    shipped = install("noisy", 10, 50, task="denoise")
    shutil.move(shipped, models_folder.with_name("shipped"))
    result = memnet("models", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split(maxsplit=1)[0] for line in result.stdout.splitlines()] == [
        "low",
        "noisy",
    ]
    assert "deblock q 5-20 " in result.stdout
    assert result.stdout.splitlines()[0].endswith(" added")
    assert result.stdout.splitlines()[1].endswith(" shipped")


def test_list_of_shipped_models_fits_into_80_columns(
    memnet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMNET_MODELS", str(tmp_path / "none are added"))
    rows = memnet("models", "list").stdout.splitlines()
    assert len(rows) > 1
    assert max(map(len, rows)) <= 80


def test_list_names_unusable_files(
    memnet: Command, install: Install, models_folder: Path
) -> None:
    install("low", 5, 20)
    (models_folder / "bad.safetensors").write_text("nothing")
    result = memnet("models", "list")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr.startswith("Unusable: ")
    assert "bad.safetensors is not a safetensors file" in result.stderr


@pytest.mark.usefixtures("models_folder")
def test_empty_list_says_what_to_do(memnet: Command) -> None:
    result = memnet("models", "list")
    assert result.exit_code == 0
    assert "add one with 'memnet models add FILE'" in result.stdout


@pytest.mark.parametrize("by", ["name", "file"])
def test_info_prints_the_card(memnet: Command, install: Install, by: str) -> None:
    path = install("low", 5, 20, description="A try.", training=SUMMARY, scores=[SCORE])
    result = memnet("models", "info", "low" if by == "name" else path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line[:15].strip() for line in result.stdout.splitlines()] == [
        "name",
        "serves",
        "network",
        "description",
        "license",
        "trained on",
        "trained for",
        "started from",
        "command",
        "score",
        "sha256",
        "file",
    ]
    for told in (
        "low 1.0",
        "deblock q 5-20",
        "2 memory blocks, 1 recursions, 4 channels, unshuffle 1;",
        "halo 6 px",
        "A try.",
        "CLIC, 12.5 megapixels",
        "80 minutes, 700 steps, on 2 cores",
        "classic5 10: 27.82 -> 29.05 dB, SSIM 0.7595 -> 0.8100",
        read_card(path).sha256,
        str(path),
    ):
        assert told in result.stdout


def test_info_checks_the_weights(memnet: Command, install: Install) -> None:
    path = install("low", 5, 20)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    result = memnet("models", "info", "low")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "SHA-256 differs" in result.stderr


def test_added_model_is_installed_under_its_own_name(
    memnet: Command, install: Install, models_folder: Path
) -> None:
    shutil.move(install("low", 5, 20), "download.safetensors")
    assert "No model" in memnet("models", "list").stdout
    added = memnet("models", "add", "download.safetensors")
    target = models_folder / "low.safetensors"
    assert added.exit_code == 0
    assert added.stdout == f"Added 'low' (deblock q 5-20) as {target}.\n"
    assert memnet("models", "list").stdout.startswith("low ")

    again = memnet("models", "add", "download.safetensors")
    assert again.exit_code == 2
    assert "There is already a model 'low'" in again.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not a safetensors file, or a damaged one"),
        (pickle.dumps({"state": 1}, protocol=2), "looks like a Python pickle"),
        (None, "No such file or directory"),
    ],
)
def test_file_that_is_no_model_is_not_added(
    memnet: Command, models_folder: Path, content: bytes | None, told: str
) -> None:
    file = Path("model.safetensors")
    if content is not None:
        file.write_bytes(content)
    result = memnet("models", "add", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert told in result.stderr
    assert list(models_folder.iterdir()) == []


def test_renamed_model_keeps_its_weights_and_loads(
    memnet: Command, install: Install, models_folder: Path
) -> None:
    before = read_card(install("low", 5, 20))
    result = memnet("models", "rename", "low", "mine.2")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Renamed 'low' to 'mine.2'" in result.stdout
    assert [p.name for p in models_folder.iterdir()] == ["mine.2.safetensors"]
    _, card = load_model(models_folder / "mine.2.safetensors")
    assert (card.name, card.sha256) == ("mine.2", before.sha256)
    assert card.levels == before.levels


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ("high", "There is already a model 'high'"),
        ("shipped", "There is already a model 'shipped'"),
        ("../x", "'../x' is no name of a model"),
    ],
)
def test_name_that_is_none_or_taken_is_refused(
    memnet: Command, install: Install, models_folder: Path, new: str, told: str
) -> None:
    install("low", 5, 20)
    install("high", 5, 20)
    shutil.move(install("shipped", 5, 20), models_folder.with_name("shipped"))
    result = memnet("models", "rename", "low", new)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert memnet("models", "list").stdout.count("low ") == 1


def test_model_is_deleted_after_a_question(
    memnet: Command, install: Install, models_folder: Path
) -> None:
    path = install("low", 5, 20)
    declined = memnet("models", "delete", "low", answer="n\n")
    assert "Delete 'low' (deblock q 5-20)" in declined.stderr
    assert declined.stdout == "Kept.\n"
    assert path.exists()
    assert memnet("models", "delete", "low", answer="y\n").exit_code == 0
    assert not path.exists()
    install("low", 5, 20)
    assert memnet("models", "delete", "low", "--yes").exit_code == 0
    assert list(models_folder.iterdir()) == []


@pytest.mark.parametrize("command", [("delete", "low"), ("rename", "low", "other")])
def test_shipped_models_stay(
    memnet: Command, install: Install, models_folder: Path, command: tuple[str, ...]
) -> None:
    shutil.move(install("low", 5, 20), models_folder.with_name("shipped"))
    result = memnet("models", *command)
    assert result.exit_code == 2
    assert "ships with the package, and stays" in result.stderr
    assert "low " in memnet("models", "list").stdout
    unknown = memnet("models", "delete", "lwo")
    assert "There is no model 'lwo' of your own" in unknown.stderr
