"""``benchmarks/train_on_gpu.sh``, on a CPU and with a tiny network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from memnet_core.model.checkpoint import load_model
from memnet_core.training.checkpoint import read_state
from memnet_core.training.recipes import config_from, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "train_on_gpu.sh"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


@pytest.fixture
def script(
    clean_images: Path, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the script as for a machine of its own, with seconds for minutes."""
    settings = tmp_path / "tiny.yaml"
    settings.write_text(
        "architecture: {memory_blocks: 1, recursions: 1, channels: 4, unshuffle: 1}\n"
        "phases: [{until: 1, patch: 16, batch: 2}]\nbatches: device\n"
        "validations: 1\nrecalibration_batches: 2\n"
    )

    def run(
        *arguments: str, machine: str = "one", **variables: object
    ) -> subprocess.CompletedProcess[str]:
        given = {
            "PYTHON": sys.executable,
            "IMAGES": clean_images,
            "VALIDATION": clean_images,
            "MEBIBYTES": 1,
            "RUNS": tmp_path / machine / "runs",
            "LINK": tmp_path / "link",
            "SETTINGS": settings,
            "DEVICE": "cpu",
            "OMP_NUM_THREADS": 1,
            "OUT": tmp_path / machine / "out",
            **variables,
        }
        environment = os.environ | {key: str(value) for key, value in given.items()}
        return subprocess.run(
            [SCRIPT, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.slow
def test_steps_go_on_where_the_last_one_ended_also_on_another_machine(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    packed = script("pack")
    assert packed.returncode == 0, packed.stderr
    assert packed.stdout.startswith("3 of 3 images, 0.0 MiB: ")
    first = script("denoise", MINUTES=60, OPTIONS="--stop-at 3")
    assert first.returncode == 0, first.stderr
    returned = tmp_path / "one" / "out" / "gpu-denoise"
    assert read_state(returned / "last.pt", torch.device("cpu"))["step"] == 3
    assert len(list(returned.iterdir())) <= 8
    # What came back, and the data, go to another machine.
    (tmp_path / "two" / "runs").mkdir(parents=True)
    shutil.copytree(returned, tmp_path / "two" / "runs" / "gpu-denoise")
    data = Path("runs", "gpu-data")
    shutil.move(tmp_path / "one" / data, tmp_path / "two" / data)
    again = script("denoise", machine="two", MINUTES=60, OPTIONS="--stop-at 5")
    assert again.returncode == 0, again.stderr
    assert "from step 3" in again.stderr
    state = tmp_path / "two" / "out" / "gpu-denoise" / "last.pt"
    assert read_state(state, torch.device("cpu"))["step"] == 5


@pytest.mark.slow
def test_step_returns_the_model_of_a_run_that_is_over(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    script("pack")
    done = script("deblock", MINUTES=0.01)
    assert done.returncode == 0, done.stderr
    assert "Finished" in done.stderr
    file = tmp_path / "one" / "out" / "gpu-deblock" / "gpu-deblock.safetensors"
    model, card = load_model(file)
    assert model.architecture.channels == 4
    assert card.training is not None
    assert card.training.data == "clean"


def test_step_without_images_says_how_to_make_them(
    script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    refused = script("deblock")
    assert refused.returncode == 2
    assert "make them with" in refused.stderr
    assert script("dehaze").returncode == 2


def test_settings_are_those_of_the_papers_network(tmp_path: Path) -> None:
    settings = read_settings(SCRIPT.with_suffix(".yaml"))
    config = config_from(settings, {"data": [tmp_path], "out": tmp_path, "minutes": 1})
    assert config.architecture.depth == 80
    assert (config.architecture.channels, config.architecture.unshuffle) == (64, 1)
