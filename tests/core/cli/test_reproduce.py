"""``memnet reproduce``: tables of the paper from tiny networks and pictures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from memnet_core.paper.plan import TABLES, Network, ReproductionPlan
from memnet_core.paper.report import Outcome, Training, as_markdown, order

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]

SCALED = ("--scale-down", 16, "--steps", 2)


def pictures(folder: Path, number: int, side: int = 64) -> None:
    """Write smooth pictures of noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(number)
    for name in range(number):
        small = Image.fromarray(rng.integers(0, 256, (6, 6), np.uint8))
        large = small.resize((side, side), Image.Resampling.BICUBIC)
        large.save(folder / f"{name}.png")


@pytest.fixture
def data(folder: Path) -> Path:
    """Make folders of training images, and none to test on."""
    for name in ("T91", "BSDS500_train", "BSDS500_val"):
        pictures(Path("data/train", name), 2)
    return Path("data")


@pytest.fixture
def unpublished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any five pictures pass for Set5."""
    monkeypatch.setattr("memnet_core.evaluation.run._check_baseline", lambda *_: None)


def figures(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def outcome(network: Network, **psnr: float) -> Outcome:
    """Make what came of a network that reaches some PSNRs on Set5, by scale."""
    scores = {level: [30.0, 0.8, value, 0.9] for level, value in psnr.items()}
    levels = {level.strip("x"): found for level, found in scores.items()}
    return Outcome(network, Training(291, 600, 9.2, 3.5), {"Set5": levels}, [])


@pytest.mark.parametrize(
    ("table", "title", "depth", "multiply_adds"),
    [
        (6, "M4R6", 54, 1.91),
        (6, "M6R6", 80, 2.89),
        (6, "M6R8", 104, 3.82),
        (6, "M10R10", 212, 8.01),
        (1, "MemNet_NL", 80, 2.80),
        (1, "MemNet_NS", 80, 2.77),
    ],
)
def test_networks_are_those_of_the_paper(
    table: int, title: str, depth: int, multiply_adds: float
) -> None:
    network = TABLES[table].networks[title]
    assert network.architecture.depth == depth
    found = network.architecture.multiply_adds() / 1e6
    assert found == pytest.approx(multiply_adds, abs=0.005)


def test_network_of_several_tables_is_trained_once_at_the_papers_size(
    data: Path,
) -> None:
    plan = ReproductionPlan(tables=(1, 2, 4, 6), data=data, out=Path("o"))
    names = [network.name for network in plan.networks()]
    assert len(names) == len(set(names)) == 3 + 2 + 3
    full = next(each for each in plan.networks() if each.name == "sr-M6R6-291")
    settings = plan.settings(full)
    assert (settings["recipe"], settings["architecture"]["channels"]) == ("paper", 64)
    assert [path.name for path in settings["data"]] == ["T91", "BSDS500_train"]
    assert "steps" not in settings


def test_factor_divides_filters_patches_and_steps(data: Path) -> None:
    plan = ReproductionPlan(tables=(1,), data=data, out=Path("o"), factor=8)
    settings = plan.settings(plan.networks()[0])
    assert settings["architecture"]["channels"] == 8
    assert settings["architecture"]["long_term"] is False
    assert settings["phases"] == [{"until": 1.0, "patch": 31, "batch": 8}]
    assert settings["steps"] == 390


@pytest.mark.slow
@pytest.mark.usefixtures("unpublished")
def test_ablation_is_trained_scored_and_set_beside_the_papers(
    memnet: Command, data: Path
) -> None:
    pictures(data / "bench/Set5", 5, 96)
    result = memnet("reproduce", 1, "--data", data, "--out", "out", *SCALED)
    assert result.exit_code == 0, result.output
    rows = figures("out/table-1.csv")
    assert len(rows) == 3 * (3 + 4)
    paper = [row for row in rows if row["source"] == "paper"]
    assert [row["psnr"] for row in paper[:3]] == ["37.68", "37.71", "37.78"]
    ours = {row["system"]: row for row in rows if row["source"] == "ours"}
    assert [*ours] == ["degraded", "MemNet_NL", "MemNet_NS", "MemNet"]
    assert len({row["psnr"] for row in ours.values()}) == 4
    text = Path("out/table-1.md").read_text(encoding="utf-8")
    assert text in result.stdout
    assert "1/16 of the paper's 64 filters" in text
    assert "| MemNet_NS | 80 | 4 |" in text
    assert text.count("order.") == 3
    with Image.open("out/table-1-curves.png") as picture:
        assert picture.convert("L").getextrema() == (0, 255)


@pytest.mark.usefixtures("unpublished")
def test_finished_networks_are_not_trained_again(memnet: Command, data: Path) -> None:
    pictures(data / "bench/classic5", 5)
    command = ("reproduce", 5, "--data", data, "--out", "out", *SCALED)
    first = memnet(*command)
    assert first.exit_code == 0, first.output
    assert "Training deblock-M6R6-300 (1 of 1)." in first.stderr
    told = "lacks the test images LIVE1 of Table 5, whose rows stay empty."
    assert told in first.stderr
    assert "| LIVE1 | q 10 | 27.77/0.7730 |" in first.stdout
    ours = [row for row in figures("out/table-5.csv") if row["source"] == "ours"]
    assert {row["set"] for row in ours} == {"Classic5"}
    made = {p: p.stat().st_mtime_ns for p in Path("out").glob("deblock-*/*")}

    again = memnet(*command)
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert "Training" not in again.stderr
    assert {p: p.stat().st_mtime_ns for p in Path("out").glob("deblock-*/*")} == made

    next(Path("out").glob("*/scores.json")).write_text("{")
    scored = memnet(*command)
    assert (scored.exit_code, scored.stdout) == (0, first.stdout)
    assert "Training" not in scored.stderr

    other = memnet(*command[:-1], 3)
    assert other.exit_code == 2
    assert "was trained with other settings (steps); choose another" in other.stderr


@pytest.mark.usefixtures("unpublished")
def test_interrupted_network_goes_on(
    memnet: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(data / "classic5", 5)
    command = ("reproduce", 5, "--data", data, "--out", "out", *SCALED)

    class Pressed:
        requested = True

    with monkeypatch.context() as patched:
        patched.setattr("memnet_core.cli.reproduce.StopSignal", Pressed)
        stopped = memnet(*command)
    assert stopped.exit_code == 130
    assert "the same command goes on" in stopped.stderr
    assert not Path("out/table-5.csv").exists()
    assert memnet(*command).exit_code == 0
    assert len(figures("out/table-5.csv")) == 4 * 5 + 2 * 2


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        ("", (1,), "lacks the test images Set5 of Table 1; put some"),
        ("-BSDS500_val", (3,), "lacks the training images BSDS500_val; put each"),
        ("", (7,), "7 is not in the range 1<=x<=6"),
        ("", (1, "--scale-down", 17), "17 is not in the range"),
        ("", (), "Missing argument 'TABLE...'"),
    ],
)
def test_wrong_use_is_explained_in_one_sentence(
    memnet: Command,
    data: Path,
    prepare: str,
    arguments: tuple[object, ...],
    message: str,
) -> None:
    if prepare:
        (data / "train" / prepare[1:]).rename(data / "elsewhere")
    result = memnet("reproduce", *arguments, "--data", data, "--out", "out")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_order_is_judged_row_by_row() -> None:
    networks = TABLES[1].networks
    outcomes = {
        networks["MemNet_NL"].name: outcome(networks["MemNet_NL"], x2=33.0, x3=31.0),
        networks["MemNet_NS"].name: outcome(networks["MemNet_NS"], x2=33.5, x3=30.0),
        networks["MemNet"].name: outcome(networks["MemNet"], x2=34.0, x3=32.0),
    }
    assert [*order(TABLES[1], outcomes)] == [
        "Set5 × 2: MemNet_NL (33.00) < MemNet_NS (33.50) < MemNet (34.00): the paper's "
        "order.",
        "Set5 × 3: MemNet_NS (30.00) < MemNet_NL (31.00) < MemNet (32.00): not the "
        "paper's order.",
    ]


def test_table_says_where_nothing_was_measured(data: Path) -> None:
    network = TABLES[4].networks["MemNet"]
    plan = ReproductionPlan(tables=(4,), data=data, out=Path("o"))
    text = as_markdown(TABLES[4], {network.name: outcome(network, x2=37.5)}, plan)
    assert "At the paper's size." in text
    assert "37.78/0.9597 | 30.00/0.8000 | 37.50/0.9000 |" in text
    assert "27.40/0.7281 | - | - |" in text
    assert "| MemNet | 80 | 64 | 2889 K | 291 | 600 | 9.2 | 3.5 |" in text
