"""Stacks in processes of their own: killed, resumed, at work at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals"),
]

DENOISE = ["batch", "--task", "denoise", "--sigma", "30", "in"]
RUN = "from memnet_core.cli import main\nmain()\n"

KILLED_AFTER_TWO_SHARDS = """
import os, signal
from memnet_core.batch.shared_output import SharedResult
real = SharedResult.mark_done
def mark(self, level, index):
    real(self, level, index)
    if index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
SharedResult.mark_done = mark
"""

KILLED_WHILE_WRITING_A_SHARD = """
import os, signal
from memnet_core.batch import restoring
class Array:
    def __init__(self, array):
        self.array = array
    def __setitem__(self, block, pixels):
        self.array[block] = 0 * pixels + 7
        os.kill(os.getpid(), signal.SIGKILL)
real = restoring.open_level
restoring.open_level = lambda path, level: Array(real(path, level))
"""

KILLED_WHILE_WRITING_A_PLANE = """
import os, signal
from memnet_core.io import FileSink
real = FileSink.write
def write(self, plane, *window):
    real(self, plane, *window)
    if plane == 2:
        os.kill(os.getpid(), signal.SIGKILL)
FileSink.write = write
"""


def started(preparation: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", preparation + RUN, *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def contents(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(autouse=True)
def stack(folder: Path, install: Install) -> None:
    """Write a stack of six shards, and install a model."""
    install("low", 5, 75, task="denoise")
    (folder / "in").mkdir()
    values: Any = np.random.default_rng(0).integers(0, 65536, (6, 2, 100, 90))
    tifffile.imwrite(
        folder / "in" / "a.ome.tif",
        values.astype(np.uint16),
        photometric="minisblack",
        metadata={"axes": "TZYX"},
    )


@pytest.mark.parametrize(
    ("preparation", "file_format", "left"),
    [
        (KILLED_AFTER_TWO_SHARDS, "ome-zarr", ".a.ome.zarr.memnet"),
        (KILLED_WHILE_WRITING_A_SHARD, "ome-zarr", ".a.ome.zarr.memnet"),
        (KILLED_WHILE_WRITING_A_PLANE, "tiff", ".memnet-"),
    ],
)
def test_killed_run_is_resumed_to_what_it_would_have_been(
    preparation: str, file_format: str, left: str, memnet: Command
) -> None:
    command = [*DENOISE, "out", "--format", file_format]
    process = started(preparation, *command)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert any(name.startswith(left) for name in os.listdir("out"))
    assert not {"a.ome.zarr", "a.ome.tif"}.intersection(os.listdir("out"))
    assert memnet(*command).exit_code == 0
    assert memnet(*DENOISE, "reference", "--format", file_format).exit_code == 0
    assert contents("out") == contents("reference")
    assert os.listdir("out") == os.listdir("reference")


def test_two_runs_at_once_do_not_corrupt_the_result(memnet: Command) -> None:
    command = [*DENOISE, "out", "--format", "ome-zarr"]
    processes = [started("", *command) for _ in range(2)]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert memnet(*DENOISE, "reference", "--format", "ome-zarr").exit_code == 0
    assert contents("out") == contents("reference")
    assert os.listdir("out") == os.listdir("reference")


def test_parts_of_a_job_array_make_up_the_whole(memnet: Command) -> None:
    results = [
        memnet(*DENOISE, "out", "--format", "ome-zarr", "--shard", f"{part}/2")
        for part in range(2)
    ]
    assert [result.exit_code for result in results] == [0, 0]
    assert "1 restored in part" in results[0].stderr
    assert "1 restored in " in results[1].stderr
    assert os.listdir("out") == ["a.ome.zarr"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--shard 2/2", "'2/2' is no part; of 4 they are 0/4 to 3/4"),
        ("--shard 1", "'1' is no part"),
        ("--shard 0/2 --overwrite", "--shard does not go with --overwrite"),
        ("--shard 0/2 --workers 2", "Give one of --workers, --scheduler and --shard"),
        ("--scheduler host", "--scheduler host is no address"),
        ("--axes ZZ", "'ZZ' are no axes"),
    ],
)
def test_sharing_that_cannot_be_meant_is_refused(
    options: str, reason: str, memnet: Command
) -> None:
    result = memnet(*DENOISE, "out", *options.split())
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())
