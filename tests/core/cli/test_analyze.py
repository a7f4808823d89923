"""``memnet analyze`` as it is typed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]
    Picture = Callable[..., Path]


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check_drawing(stem: str) -> None:
    """Check that a drawing is a picture in both formats, and not blank."""
    with Image.open(f"{stem}.png") as picture:
        low, high = picture.convert("L").getextrema()
    assert (low, high) == (0, 255)
    assert "<svg" in Path(f"{stem}.svg").read_text()


def test_gates_are_drawn_listed_and_judged(memnet: Command, install: Install) -> None:
    install("low", 5, 20)
    install("noisy", 5, 20, task="denoise")
    result = memnet("analyze", "gates", "low", "noisy", "--out", "found/new")
    assert (result.exit_code, result.stderr) == (0, "")
    check_drawing("found/new/gates")
    rows = table("found/new/gates.csv")
    maps = 4 * (1 + 1) + 4 * (2 + 1)
    assert len(rows) == 2 * maps
    assert rows[maps - 1]["memory"] == "H1"
    assert rows[maps - 1]["kind"] == "last recursion"
    assert max(float(row["normalized"]) for row in rows) == 1
    assert [row["block"] for row in table("found/new/gates-bars.csv")] == list("1212")
    words = Path("found/new/gates.txt").read_text(encoding="utf-8").splitlines()
    assert words == result.stdout.splitlines()[:-1]
    assert words[0].startswith("Different tasks have different distributions")
    assert [line.split(":")[0] for line in words[1:]] == ["low"] * 3 + ["noisy"] * 3


def test_spectra_are_drawn_for_an_image(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("a.png", 40, 44)
    result = memnet(
        *("analyze", "spectra", "low", "--image", "a.png", "--level", 10),
        *("--crop", 1, 2, 30, "--out", "."),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    check_drawing("spectra")
    images = dict.fromkeys((row["model"], row["image"]) for row in table("spectra.csv"))
    assert [*images] == [("", "degraded"), ("", "clean"), ("low", "y2")]
    assert "clean against low y2: low " in result.stdout


def test_predictions_are_drawn_against_their_cost(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("mine/a.png", 32, 40)
    result = memnet(
        *("analyze", "predictions", "low", "--data", "mine", "--level", 10),
        *("--out", "found"),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    check_drawing("found/predictions")
    rows = table("found/predictions.csv")
    assert [row["name"] for row in rows] == ["y1", "y2", "y"]
    weights = [36 + 36 + 288 + 32, 36 + 36 + 2 * 288 + 32 + 48]
    assert [int(row["weights"]) for row in rows] == [weights[0], weights[1], weights[1]]
    assert all(float(row["seconds"]) > 0 for row in rows)
    scored = memnet("evaluate", "low", "mine", "--levels", 10, "--csv", "s.csv")
    assert scored.exit_code == 0
    assert float(rows[-1]["psnr"]) == pytest.approx(float(table("s.csv")[-1]["psnr"]))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["gates", "nothing", "--out", "x"], "There is no model 'nothing'"),
        (["gates", "low", "--out", "a.png/x"], "name another folder"),
        (
            [
                "spectra",
                "low",
                "noisy",
                "--image",
                "a.png",
                "--level",
                10,
                "--out",
                "x",
            ],
            "'noisy' is for denoise, not for deblock",
        ),
        (
            ["predictions", "low", "--data", ".", "--level", 70, "--out", "x"],
            "covers q 5-20, not 70",
        ),
    ],
    ids=["no model", "no folder", "two tasks", "other level"],
)
def test_wrong_use_is_explained_in_one_sentence(
    memnet: Command,
    install: Install,
    picture: Picture,
    arguments: list[object],
    told: str,
) -> None:
    install("low", 5, 20)
    install("noisy", 5, 20, task="denoise")
    picture("a.png", 32, 40)
    result = memnet("analyze", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in " ".join(result.stderr.split())
