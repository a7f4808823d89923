"""Two processes on the CPU, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from memnet_core.errors import TrainingError
from memnet_core.training import distributed
from memnet_core.training.logs import read_log
from memnet_core.training.loop import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def run(*command: object) -> str:
    """Run a command, and return its messages."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_of_two_processes_are_those_of_one_with_the_joined_batch(
    make_config: Make, tmp_path: Path, frozen: bool
) -> None:
    script = Path(__file__).parent / "gradients.py"
    found = []
    for count in (1, 2):
        config = make_config(
            out=tmp_path / str(count),
            phases=[{"until": 1, "patch": 16, "batch": 4}],
            freeze_norm_from=0 if frozen else 1,
            precision="float32",
        )
        file, result = tmp_path / f"{count}.json", tmp_path / f"{count}.pt"
        file.write_text(config.model_dump_json())
        run(*TORCHRUN, f"--nproc-per-node={count}", script, file, result)
        found.append(torch.load(result, weights_only=True))
    for name, expected in found[0].items():
        torch.testing.assert_close(
            found[1][name], expected, rtol=1e-3, atol=2e-6, msg=name
        )


def test_first_process_alone_writes(clean_images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    memnet = Path(sys.executable).parent / "memnet"
    options = "--memory-blocks 1 --recursions 1 --channels 4 --steps 4".split()  # noqa: SIM905
    command = [memnet, "train", "--data", clean_images, "--out", out, *options]
    file = tmp_path / "s.yaml"
    file.write_text("phases: [{until: 1, patch: 16, batch: 2}]\nvalidations: 2\n")
    launcher = [*TORCHRUN, "--nproc-per-node=2", "--no-python"]
    assert "Warning" not in run(*launcher, *command, "--config", file)
    steps = [step for step, _, name, _ in read_log(out) if name == "loss/evaluation"]
    assert steps == [2, 4]
    assert len((out / "commands.txt").read_text().splitlines()) == 1
    assert (out / "run.safetensors").exists()


def test_batch_that_cannot_be_shared_evenly_is_refused(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "world", lambda: 3)
    with pytest.raises(TrainingError, match="2 patches cannot be shared evenly by 3"):
        Trainer(make_config())
