"""What version 0.1 wrote is read as before; see tests/data/version_0_1/README.md."""

from __future__ import annotations

import csv
import json
import os
import runpy
import shlex
import shutil
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[[str], str]

DATA = Path(__file__).parents[1] / "data" / "version_0_1"
BATCHES: dict[str, str] = json.loads((DATA / "commands.json").read_text())
MOVIE_CHANGED = 1_700_000_000
MADE_WITH = "/tmp/v01/models/tiny.safetensors"
HALF = (
    "batch --task denoise --sigma 20 --strength 0.8 --model tiny --format ome-zarr "
    "/proc/self/cwd/in/movie.ome.tif half"
)

needs_proc = pytest.mark.skipif(
    not os.path.exists("/proc/self/cwd"), reason="paths in the files begin there"
)


LOGGED = {"loss/training mean", "loss/evaluation"} | {
    f"PSNR/σ {level}" for level in (15, 30, 50)
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a copy of what version 0.1 wrote, its models among the user's."""
    folder = tmp_path / "earlier"
    shutil.copytree(DATA, folder)
    os.utime(folder / "in" / "movie.ome.tif", (MOVIE_CHANGED, MOVIE_CHANGED))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MEMNET_MODELS", "models")
    return folder


@pytest.fixture
def memnet(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run the command as ``python -m`` does, and give what it says; it succeeds."""

    def memnet(line: str) -> str:
        monkeypatch.setattr(sys, "argv", ["memnet", *shlex.split(line)])
        # Other tests may have imported it, of which runpy warns.
        monkeypatch.delitem(sys.modules, "memnet_core.__main__", raising=False)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("memnet_core", run_name="__main__", alter_sys=True)
        said = "".join(capfd.readouterr())
        assert not ended.value.code, said
        return said

    return memnet


def pixels_of(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def contents(folder: str) -> dict[str, tuple[bytes, int]]:
    """Give every file below a folder, and when it was written."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def test_a_model_is_described_and_restores_as_it_did(memnet: Command) -> None:
    said = memnet("models info tiny").split()
    assert said[said.index("serves") + 1 :][:3] == ["denoise", "σ", "5-50"]
    # By its file; what the batch of pictures made of it lies beside.
    options = "--task denoise --sigma 20 --strength 0.8 --range 0,250"
    memnet(f"restore {options} --model models/tiny.safetensors in/gray.png new.png")
    before, after = pixels_of("out/pictures/gray.png"), pixels_of("new.png")
    assert np.abs(before - after).max() <= 1  # processors round differently
    assert np.abs(pixels_of("in/gray.png") - after).max() > 5


@needs_proc
def test_a_paused_run_is_resumed_to_where_it_was_going(memnet: Command) -> None:
    said = memnet("train --resume --out run")
    assert "from step 12" in said
    with open("run/log.csv", newline="") as file:
        # Later versions log more, such as the sizes of weights.
        rows = [row for row in csv.DictReader(file) if row["quantity"] in LOGGED]
    with open("run/reached.csv", newline="") as file:
        reached = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["10"] * 5 + ["20"] * 5
    for row, expected in zip(rows, reached, strict=True):
        assert row["quantity"] == expected["quantity"]
        # What was logged is kept; later versions draw other samples for what follows.
        near = 1e-3 if row["step"] == "10" else 0.2
        assert float(row["value"]) == pytest.approx(float(expected["value"]), rel=near)
    assert "20 steps" in memnet("models info run/paused.safetensors")


@needs_proc
def test_half_a_result_is_finished_and_not_begun_anew(memnet: Command) -> None:
    with tarfile.open("half.tar.gz") as archive:
        archive.extractall(filter="data")
    [work] = Path("half").iterdir()
    # It names its model by where that was, on the machine that began it.
    plan = Path("half/.movie.ome.zarr.memnet/plan.json")
    model = json.dumps(str(Path("models/tiny.safetensors").resolve()))
    plan.write_text(plan.read_text().replace(json.dumps(MADE_WITH), model))
    begun = contents(f"{work}/image/0/c")
    assert len(begun) == 2
    memnet(HALF)
    assert os.listdir("half") == ["movie.ome.zarr"]
    finished = contents("half/movie.ome.zarr/0/c")
    assert len(finished) == 3
    assert set(begun.values()) < set(finished.values())
    whole = np.asarray(zarr.open_array("half/movie.ome.zarr/0", mode="r")[...])
    expected = np.load("whole.npz")["pixels"].astype(float)
    assert whole.shape == expected.shape
    assert np.abs(whole - expected).max() <= 2  # processors round differently


@pytest.mark.parametrize("name", BATCHES)
def test_results_are_up_to_date(memnet: Command, name: str) -> None:
    # A checkout gives all files any time: at worst sources are newer than results.
    for path in Path("in").iterdir():
        os.utime(path, (time.time() + 60, time.time() + 60))
    before = contents(f"out/{name}")
    assert before
    said = memnet(f"batch {BATCHES[name]} --update")
    assert contents(f"out/{name}") == before
    assert "skipped" in said


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pictures", "--strength 0.8", "--strength 0.9"),
        ("pictures", "0,250", "0,251"),
        ("jpeg", "--no-consistency", ""),
        ("photons", "4,100", "4,101"),
        ("photons", "--context 3", ""),
        ("defaults", "--model tiny", "--sigma 12 --model tiny"),
        ("many", "--tta", ""),
        ("zarr", "--range plane", "--range percentile"),
    ],
)
def test_results_of_other_options_are_out_of_date(
    memnet: Command, name: str, old: str, new: str
) -> None:
    asked = BATCHES[name].replace(old, new)
    assert asked != BATCHES[name]
    said = memnet(f"batch {asked} --dry-run")
    assert "out of date: it was made " in said
