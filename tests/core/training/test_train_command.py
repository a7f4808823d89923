"""``memnet train`` as it is typed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.cli import main
from memnet_core.model.checkpoint import load_model
from memnet_core.training.checkpoint import read_state
from memnet_core.training.logs import read_log

if TYPE_CHECKING:
    from click.testing import Result

CPU = torch.device("cpu")
TINY = "--memory-blocks 1 --recursions 1 --channels 4".split()  # noqa: SIM905


def memnet(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings for short steps."""
    file = tmp_path / "short.yaml"
    file.write_text(
        "phases: [{until: 1, patch: 16, batch: 2}]\n"
        "recalibration_batches: 2\nvalidations: 2\nreport_every: 0.05\n"
        "save_every: 0.05\n"
    )
    return file


def test_train_writes_a_model_that_describes_itself(
    clean_images: Path, settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "tiny"
    result = memnet(
        *("--data", clean_images, "--val", clean_images, "--out", out),
        *("--levels", "10-40", "--steps", 6, "--config", settings, *TINY),
    )
    assert result.exit_code == 0, result.output
    _, card = load_model(out / "tiny.safetensors")
    assert card.serves == "deblock q 10-40"
    assert card.architecture.channels == 4
    training = card.training
    assert training is not None
    assert (training.steps, training.data) == (6, "clean")
    assert [set(p.psnr) for p in training.curve] == [{"q 10", "q 20", "q 40"}] * 2
    assert "Finished after" in result.output


def test_level_map_and_optimizer_are_options(
    clean_images: Path, settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "told"
    result = memnet(
        *("--data", clean_images, "--out", out, "--steps", 2, "--config", settings),
        *("--level-map", "--optimizer", "adamw", *TINY),
    )
    assert result.exit_code == 0, result.output
    model, card = load_model(out / "told.safetensors")
    assert card.architecture.level_map
    assert model.fenet.weight.shape[1] == 2 * 4
    assert "optimizer: adamw" in (out / "config.yaml").read_text()
    refused = memnet("--data", clean_images, "--out", out, "--optimizer", "adam")
    assert refused.exit_code == 2
    assert "'adam' is not one of 'muon', 'adamw', 'sgd'" in refused.output


def test_images_that_are_too_small_are_told(
    clean_images: Path, settings: Path, tmp_path: Path
) -> None:
    Image.new("L", (5, 90)).save(clean_images / "tiny.png")
    result = memnet(
        *("--data", clean_images, "--out", tmp_path / "x", "--steps", 1),
        *("--config", settings, *TINY),
    )
    assert result.exit_code == 0, result.output
    assert "Training on 3 images" in result.output
    assert "1 of 4 images to train on are left out" in result.output


def test_train_logs_losses_side_by_side_and_draws_them(
    clean_images: Path, settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tiny"
    result = memnet(
        "--data", clean_images, "--out", out, "--steps", 40, "--config", settings, *TINY
    )
    assert result.exit_code == 0, result.output
    rows = read_log(out)
    for quantity in ("loss/training mean", "loss/evaluation", "PSNR/q 20"):
        assert [row[0] for row in rows if row[2] == quantity] == [20, 40]
    assert [row for row in rows if row[2] == "loss/training"]
    for picture in ("curves.png", "patches.png"):
        with Image.open(out / picture) as image:
            assert min(image.size) > 200
    assert list((out / "tensorboard").iterdir())


def test_paused_run_is_resumed_by_its_folder_alone(
    clean_images: Path, settings: Path, tmp_path: Path
) -> None:
    common = ["--data", clean_images, "--steps", 6, "--config", settings, *TINY]
    common += ["--name", "x"]
    # The best model is that of the end, whatever so few steps teach.
    settings.write_text(
        settings.read_text().replace("validations: 2", "validations: 1")
    )
    assert memnet("--out", tmp_path / "one", *common).exit_code == 0
    two = tmp_path / "two"
    assert memnet("--out", two, *common, "--stop-at", 3).exit_code == 0
    again = memnet("--out", two, *common)
    assert again.exit_code == 2
    assert "go on with it with --resume" in again.output
    other = memnet("--out", two, *common, "--seed", 5, "--resume")
    assert other.exit_code == 2
    assert "holds a run with other settings" in other.output
    assert memnet("--out", two, "--resume").exit_code == 0
    models = [load_model(tmp_path / name / "x.safetensors") for name in ("one", "two")]
    assert models[0][1].sha256 == models[1][1].sha256
    training = models[1][1].training
    assert training is not None
    assert training.command.count("memnet ") == 2


def test_finished_run_is_made_longer_by_its_folder_and_a_length(
    clean_images: Path, settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "one"
    common = ["--data", clean_images, "--config", settings, *TINY]
    assert memnet("--out", out, "--steps", 4, *common).exit_code == 0
    same = memnet("--out", out, "--resume", "--steps", 4)
    assert same.exit_code == 2
    assert "has 4 steps already" in same.output
    longer = memnet("--out", out, "--resume", "--steps", 8)
    assert longer.exit_code == 0, longer.output
    assert "from step 4" in longer.output
    assert read_state(out / "last.pt", CPU)["step"] == 8
    # What it is now is what is resumed later.
    assert memnet("--out", out, "--resume").exit_code == 0


def test_run_with_relative_folders_is_resumed_from_anywhere(
    clean_images: Path,
    settings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--data", clean_images.name, "--steps", 4, "--config", settings, *TINY]
    assert memnet("--out", "first", *common).exit_code == 0
    common += ["--init", "first/first.safetensors", "--stop-at", 2]
    assert memnet("--out", "second", *common).exit_code == 0
    shutil.rmtree("first")
    elsewhere = tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    result = memnet("--out", "../../second", "--resume")
    assert result.exit_code == 0, result.output
    assert "from step 2" in result.output


def test_validation_images_that_are_too_small_are_named_as_such(
    clean_images: Path, settings: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    Image.new("L", (11, 11)).save(small / "a.png")
    result = memnet(
        *("--data", clean_images, "--val", small, "--out", tmp_path / "run"),
        *("--steps", 4, "--config", settings, *TINY),
    )
    assert result.exit_code == 2
    assert "No image to validate on has both sides of" in result.output


def test_run_removes_what_a_killed_one_left(
    clean_images: Path, settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with replaced_when_complete(out / "last.pt") as temporary:
        left = out / temporary.name
        temporary.touch()
    (out / "last.pt").rename(left)
    os.utime(left, (0, 0))  # without its lock, it is left alone for a day
    result = memnet(
        "--data", clean_images, "--out", out, "--steps", 2, "--config", settings, *TINY
    )
    assert result.exit_code == 0, result.output
    assert not left.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_run_that_is_killed_is_resumed_bit_by_bit(
    clean_images: Path, settings: Path, tmp_path: Path, number: signal.Signals
) -> None:
    common = ["--data", clean_images, "--steps", 600, "--config", settings, *TINY]
    common += ["--name", "x"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [Path(sys.executable).parent / "memnet", "train", "--out", killed]
    process = subprocess.Popen(
        [str(part) for part in [*command, *common]],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (killed / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "go on with --resume" in messages
    state = read_state(killed / "last.pt", CPU)
    assert 0 < state["step"] < 600
    assert memnet("--out", killed, "--resume").exit_code == 0
    assert memnet("--out", whole, *common).exit_code == 0
    results = [read_state(out / "last.pt", CPU) for out in (whole, killed)]
    for part in ("model", "average"):
        for name, tensor in results[0][part].items():
            assert tensor.equal(results[1][part][name]), name
    steps = [row[0] for row in read_log(killed)]
    assert steps == sorted(steps)


def test_pairs_train_a_model_for_every_level(
    paired_images: tuple[Path, Path], settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    result = memnet(
        *("--task", "denoise", "--pairs", *paired_images, "--out", out),
        *("--steps", 2, "--config", settings, *TINY),
    )
    assert result.exit_code == 0, result.output
    assert load_model(out / "mine.safetensors")[1].serves == "denoise σ 0-255"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give the folder of the run with --out"),
        (["--out", "x"], "give one of minutes, steps and epochs"),
        (["--out", "x", "--steps", 2], "give either data"),
        (["--out", "x", "--resume"], "holds no run to resume"),
        (["--out", "x", "--levels", "few"], "write a range such as 5-75"),
        (["--out", "x", "--steps", 2, "--data", "."], "holds no image"),
    ],
    ids=str,
)
def test_wrong_use_is_explained_in_one_sentence(
    arguments: list[object], message: str, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        result = memnet(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output
