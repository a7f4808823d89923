"""``memnet evaluate`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


@pytest.mark.slow
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
        (["deblock", ".", "--csv", "/proc/s.csv"], 2, "s.csv cannot be written"),
        (["deblock", ".", "--seed", -1], 2, "-1 is not in the range"),
        (["deblock", ".", "--gray", "--channels", "each"], 2, "leave --gray out"),
    ],
    ids=str,
)
def test_wrong_use_is_explained_in_one_sentence(
    memnet: Callable[..., Result], arguments: list[str], code: int, message: str
) -> None:
    result = memnet("evaluate", *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.output.split())


def test_scores_are_written_as_table_and_plot(
    memnet: Callable[..., Result], picture: Callable[..., Path]
) -> None:
    Path("mine").mkdir()
    picture("mine/a.png", 32, 40)
    result = memnet(
        *("evaluate", "deblock", "mine", "--levels", "10,20"),
        *("--csv", "s.csv", "--png", "s.png"),
    )
    assert result.exit_code == 0, result.output
    rows = [row.split(",")[:3] for row in Path("s.csv").read_text().splitlines()]
    assert rows[1:] == [
        ["mine", level, image] for level in ("10", "20") for image in ("a.png", "mean")
    ]
    assert Path("s.png").read_bytes().startswith(b"\x89PNG")


def test_scores_of_earlier_folders_are_kept_when_a_later_one_is_refused(
    memnet: Callable[..., Result], picture: Callable[..., Path]
) -> None:
    for name in ("mine", "classic5"):
        Path(name).mkdir()
        picture(f"{name}/a.png", 32, 40)
    result = memnet(
        *("evaluate", "deblock", "mine", "classic5", "--levels", 10),
        *("--json", "s.json"),
    )
    assert result.exit_code == 2
    assert "classic5 holds 1 images" in result.output
    [found] = json.loads(Path("s.json").read_text())["evaluations"]
    assert found["dataset"] == "mine"


def test_file_that_cannot_be_replaced_is_reported_in_one_sentence(
    memnet: Callable[..., Result], picture: Callable[..., Path]
) -> None:
    Path("mine").mkdir()
    picture("mine/a.png", 32, 40)
    name = 300 * "x" + ".csv"
    result = memnet("evaluate", "deblock", "mine", "--levels", 10, "--csv", name)
    assert result.exit_code == 2
    assert "cannot be written: File name too long" in " ".join(result.output.split())


def test_colors_are_scored_where_model_and_pictures_have_some_or_as_asked(
    memnet: Callable[..., Result],
    picture: Callable[..., Path],
    install: Callable[..., Path],
) -> None:
    for name, shape in (("colored", (32, 40, 3)), ("gray", (32, 40))):
        Path(name).mkdir()
        picture(f"{name}/a.png", *shape)
    install("mine", 10, 20)
    install("mine-color", 10, 20, image_channels=3)

    def scored(model: str, folder: str, *arguments: str) -> str:
        result = memnet("evaluate", model, folder, "--levels", 10, *arguments)
        assert result.exit_code == 0, result.output
        title = result.output.splitlines()[0]
        return title.partition(", colors restored: ")[2]

    assert scored("mine-color", "colored") == "joint"
    assert scored("mine-color", "gray") == ""
    assert scored("mine-color", "colored", "--gray") == ""
    assert scored("mine-color", "colored", "--channels", "each") == "each"
    assert scored("mine", "colored") == ""
    assert scored("mine", "colored", "--color") == "chroma"
    assert scored("mine", "colored", "--channels", "each") == "each"


def test_json_of_colors_has_both_scores(
    memnet: Callable[..., Result], picture: Callable[..., Path]
) -> None:
    Path("mine").mkdir()
    picture("mine/a.png", 32, 40, 3)
    result = memnet(
        *("evaluate", "deblock", "mine", "--levels", 10, "--color"),
        *("--json", "s.json"),
    )
    assert result.exit_code == 0, result.output
    [found] = json.loads(Path("s.json").read_text())["evaluations"]
    assert found["colors"] == "chroma"
    assert {"input_psnr", "psnr"} <= set(found["mean"]["luminance"])


def test_html_names_what_replaces_it(memnet: Callable[..., Result]) -> None:
    result = memnet("evaluate", "deblock", "mine", "--html", "s.html")
    assert result.exit_code == 2
    assert "--csv or --json" in " ".join(result.output.split())
