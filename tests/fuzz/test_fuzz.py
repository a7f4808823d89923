from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_hostile_files_are_one_sentence_each_at_little_cost() -> None:
    run = Path(__file__).with_name("run.py")
    command = [sys.executable, str(run), "--attacks", "4", "--seed", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_killed_runs_lose_and_leave_nothing() -> None:
    kills = Path(__file__).with_name("kills.py")
    kinds = ("files, --overwrite", "Zarr, --overwrite", "adapt", "train")
    command = [sys.executable, str(kills), "--kills", "8", "--kinds", *kinds]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
