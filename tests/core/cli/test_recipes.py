"""The recipes for clusters, run as the documents show them.

`sbatch` is a stand-in that runs the jobs of an array one after the other; paths, ports
and the number of jobs are changed, and nothing else.
"""

from __future__ import annotations

import os
import re
import socket
import stat
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

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell"),
]

DOCS = Path(__file__).resolve().parents[3] / "docs"
JOBS = 2
SBATCH = """#!/bin/bash
# Checks the options as far as this recipe has some, and runs the array.
options=$(sed -n 's/^#SBATCH //p' "$1")
for option in $options; do
    case $option in
        --array=*) range=${option#--array=} ;;
        --gres=* | --cpus-per-task=* | --time=*:*:* | --requeue) ;;
        *) echo "sbatch: unrecognized option '$option'" >&2; exit 1 ;;
    esac
done
for task in $(seq "${range%-*}" "${range#*-}"); do
    SLURM_ARRAY_TASK_ID=$task bash "$1" || exit 1
done
echo "Submitted batch job 1"
"""


def blocks(document: str, holding: str) -> list[str]:
    """Return the blocks of shell of a document that hold some words."""
    text = (DOCS / document).read_text(encoding="utf-8")
    found = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for block in found if holding in block]


@pytest.fixture
def programs(folder: Path) -> dict[str, str]:
    """Give an environment in which the recipe's programs are found."""
    own = folder / "bin"
    own.mkdir()
    lines = {
        "sbatch": SBATCH,
        "memnet": f'#!/bin/sh\nexec "{sys.executable}" -m memnet_core "$@"\n',
        "dask": f'#!/bin/sh\nexec "{sys.executable}" -m dask "$@"\n',
    }
    for name, text in lines.items():
        program = own / name
        program.write_text(text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return os.environ | {"PATH": f"{own}:{os.environ['PATH']}"}


@pytest.fixture(autouse=True)
def stack(folder: Path, install: Callable[..., Path]) -> None:
    """Write a stack of several shards, and install a model."""
    install("low", 5, 75, task="denoise")
    (folder / "in").mkdir()
    values: Any = np.random.default_rng(0).integers(0, 65536, (4, 2, 100, 90))
    tifffile.imwrite(
        folder / "in" / "a.ome.tif",
        values.astype(np.uint16),
        photometric="minisblack",
        metadata={"axes": "TZYX"},
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def alone(memnet: Callable[..., Result], folder: Path, stack: None) -> dict[str, bytes]:
    """Restore the stack in one process."""
    result = memnet(
        *("batch", "--task", "denoise", "--sigma", 30, "--format", "ome-zarr"),
        *("in", "alone"),
    )
    assert result.exit_code == 0
    return contents(folder / "alone")


@pytest.mark.parametrize("document", ["clusters.md", "tutorials/cluster.md"])
def test_job_array_makes_the_whole_result(
    document: str, folder: Path, programs: dict[str, str], alone: dict[str, bytes]
) -> None:
    (recipe,) = blocks(document, "#SBATCH --array")
    last, count = re.findall(r"--array=0-(\d+)|TASK_ID/(\d+)", recipe)
    assert int(last[0]) + 1 == int(count[1])
    recipe = recipe.replace(f"0-{last[0]}", f"0-{JOBS - 1}")
    recipe = recipe.replace(f"TASK_ID/{count[1]}", f"TASK_ID/{JOBS}")
    recipe = recipe.replace("/project", str(folder))
    Path("restore.sbatch").write_text(recipe)
    ran = subprocess.run(
        ["sbatch", "restore.sbatch"],
        env=programs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("Submitted batch job 1\n")
    assert ran.stderr.count("restored in part") == JOBS - 1
    assert contents(folder / "out") == alone


def test_scheduler_and_worker_of_the_tutorial_make_the_whole_result(
    folder: Path, programs: dict[str, str], alone: dict[str, bytes]
) -> None:
    pytest.importorskip("distributed")
    pytest.importorskip("cryptography")
    (recipe,) = blocks("tutorials/cluster.md", "dask scheduler")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    recipe = recipe.replace("--host 127.0.0.1", f"--host 127.0.0.1 --port {port}")
    recipe = recipe.replace("8786", port)
    script = f"trap 'kill $(jobs -p)' EXIT\nset -e\n{recipe}"
    ran = subprocess.run(
        ["bash", "-c", script],
        env=programs,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert ran.returncode == 0, ran.stderr
    assert contents(folder / "out") == alone
