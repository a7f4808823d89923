"""``memnet evaluate`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


def test_shipped_model_scores_as_its_card_says(
    memnet: Callable[..., Result], shared_data: Path
) -> None:
    classic5 = shared_data / "bench" / "classic5"
    result = memnet("evaluate", "deblock", classic5, "--levels", 10, "--json", "e.json")
    assert result.exit_code == 0, result.output
    assert "DnCNN (published)" in result.output
    [found] = json.loads(Path("e.json").read_text())["evaluations"]
    assert found["mean"]["input_psnr"] == pytest.approx(27.82, abs=0.005)
    assert found["mean"]["psnr"] == pytest.approx(29.26, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing", "."], 2, "There is no model 'nothing'"),
        (["deblock", "missing"], 2, "missing is not a folder"),
        (["deblock", "."], 2, "holds no image"),
        (["deblock", ".", "--levels", "many"], 2, "write a list such as 10,20"),
        (["deblock", ".", "--csv", "no/where.csv"], 2, "create it first"),
    ],
    ids=str,
)
def test_wrong_use_is_explained_in_one_sentence(
    memnet: Callable[..., Result], arguments: list[str], code: int, message: str
) -> None:
    result = memnet("evaluate", *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.output.split())
