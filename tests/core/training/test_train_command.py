from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from click.testing import CliRunner

from memnet_core.checkpoint import load_model
from memnet_core.cli import main

if TYPE_CHECKING:
    from pathlib import Path

TINY = "--memory-blocks 1 --recursions 1 --channels 4 --minutes 0.02".split()  # noqa: SIM905


def test_train_writes_a_model_that_describes_itself(
    clean_images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "tiny"
    arguments = ["train", "--data", clean_images, "--out", out, "--q", 10, 40, *TINY]
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    _, card = load_model(out / "tiny.safetensors")
    assert card.serves == "deblock q 10-40"
    assert card.training is not None
    assert card.training.steps > 0
    assert card.training.data == "clean"
    assert (out / "config.json").exists()


def test_train_logs_the_validation(clean_images: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    arguments = ["train", "--data", clean_images, "--val", clean_images, "--out", out]
    result = CliRunner().invoke(main, list(map(str, [*arguments, *TINY])))
    assert result.exit_code == 0, result.output
    with (out / "log.csv").open() as file:
        quantities = {row[2] for row in csv.reader(file)}
    assert {"psnr_10", "psnr_20", "psnr_40"} <= quantities


def test_wrong_setting_is_one_sentence_and_a_usage_error(
    clean_images: Path, tmp_path: Path
) -> None:
    arguments = ["train", "--data", clean_images, "--out", tmp_path / "x", *TINY]
    result = CliRunner().invoke(main, [*map(str, arguments), "--channels", "0"])
    assert result.exit_code == 2
    assert "channels must be at least 1" in result.stderr
    assert len(result.stderr.splitlines()) == 1
