"""Files and options with the names of earlier versions: ``licence``, ``colours``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from memnet_core.cli._app import main
from memnet_core.cli.evaluate import evaluate
from memnet_core.cli.train import train
from memnet_core.inference.plan import RestorePlan
from memnet_core.model.card import Card
from memnet_core.model.checkpoint import read_card
from memnet_core.training.config import validated_config
from memnet_core.training.recipes import config_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_cards_are_read_and_written_anew(install: Callable[..., Path]) -> None:
    card = read_card(install("tiny", 10, 20))
    older = card.model_dump(mode="json")
    older["licence"] = older.pop("license")
    assert Card.model_validate(older) == card


def test_settings_of_a_run_are_read(tmp_path: Path) -> None:
    found = config_from(
        {
            "task": "deblock",
            "data": [tmp_path],
            "out": tmp_path,
            "licence": "MIT",
            "minutes": 1,
        }
    )
    assert found.license == "MIT"
    older = found.model_dump(mode="json")
    older["licence"] = older.pop("license")
    assert validated_config(**older) == found


def test_plans_of_results_that_are_half_done_are_read() -> None:
    plan = {
        "task": "denoise",
        "model": "m",
        "checksum": "0",
        "channels": [
            {"level": 25, "scaling": {"kind": "linear", "low": 0, "high": 255}}
        ],
        "colours": "each",
    }
    assert RestorePlan.model_validate(plan).colors == "each"


def test_options_are_taken_by_their_older_names() -> None:
    with main.make_context("memnet", ["evaluate"], resilient_parsing=True) as group:
        for option, value in (("--color", True), ("--colour", True), ("--gray", False)):
            context = evaluate.make_context("evaluate", ["m", "d", option], group)
            assert context.params["color"] is value
        for option in ("--license", "--licence"):
            context = train.make_context("train", [option, "MIT"], group)
            assert context.params["license"] == "MIT"


def test_help_names_options_as_they_are_now() -> None:
    found = CliRunner().invoke(main, ["evaluate", "--help"])
    assert "--color / --gray" in found.output
    assert "colour" not in found.output
