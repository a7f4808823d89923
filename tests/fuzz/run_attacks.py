"""Hostile models, settings, runs and plans, and the whole ones they are made of."""

from __future__ import annotations

import json
import shutil
import struct
from typing import TYPE_CHECKING, Any

import tifffile
import yaml
from mutations import ESCAPE, damaged, mutated, mutated_text, pixels
from PIL import Image

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["model_file", "plan", "prepare", "run_file", "settings_file"]


def model_file(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a model file with a damaged header or card."""
    data = model.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    path = folder / "a.safetensors"
    if rng.randrange(2):
        path.write_bytes(damaged(data, rng))
        return path
    header = json.loads(data[8 : 8 + size])
    if rng.randrange(2):
        header = mutated(header, rng)
    else:
        card = json.loads(header["__metadata__"]["memnet"])
        header["__metadata__"]["memnet"] = json.dumps(mutated(card, rng))
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return path


def settings_file(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write hostile settings of a training."""
    path = folder / "a.yaml"
    settings = yaml.safe_load((model.parent / "run" / "config.yaml").read_text())
    text = json.dumps(mutated(settings, rng))
    if rng.randrange(2):
        text = mutated_text(yaml.safe_dump(settings), r": (\S+)", rng)
    if rng.randrange(4) == 0:
        extra = (
            "!!int x",
            "&a [*a]",
            "2024-99-99",
            "!!python/name:os.system",
            "?",
            "\0",
        )
        text += f"\nname: {rng.choice(extra)}\n"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


def run_file(name: str) -> Callable[[Path, random.Random, Path], Path]:
    """Return what writes a run of a training in which a file is damaged."""

    def make(folder: Path, rng: random.Random, model: Path) -> Path:
        run = folder / "run"
        shutil.copytree(model.parent / "run", run)
        path = run / name
        path.write_bytes(damaged(path.read_bytes(), rng))
        return run

    return make


def plan(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a planned result whose plan is hostile."""
    shutil.copytree(model.parent / "planned", folder / "planned")
    (plan,) = (folder / "planned").glob(".*.memnet/plan.json")
    tree = mutated(json.loads(plan.read_text()), rng)
    text = json.dumps(tree)
    content = text.encode()
    plan.write_bytes(damaged(content, rng) if rng.randrange(4) == 0 else content)
    return folder / "planned"


def prepare(folder: Path) -> None:
    """Write a tiny model, a paused run and a planned result."""
    from memnet_core.model.architecture import Architecture
    from memnet_core.model.checkpoint import save_model
    from memnet_core.model.network import MemNet
    from memnet_core.tasks import Levels
    from memnet_core.training.loop import Trainer
    from memnet_core.training.recipes import config_from, write_config
    from memnet_core.training.runner import train_session

    model = folder / "tiny.safetensors"
    small: dict[str, Any] = {
        "memory_blocks": 1,
        "recursions": 1,
        "channels": 2,
        "unshuffle": 1,
    }
    save_model(
        model,
        MemNet(Architecture(**small)).eval(),
        name="tiny",
        task="denoise",
        levels=Levels(values=(5, 75), continuous=True),
        version="1",
        license="none",
        description=ESCAPE,
    )
    (folder / "images").mkdir()
    Image.fromarray(pixels(64, 64)).save(folder / "images" / "a.png")
    stack = pixels(3, 16, 24)
    tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack")
    settings = {
        "data": [str(folder / "images")],
        "out": str(folder / "run"),
        "steps": 4,
        "architecture": small,
        "phases": [{"until": 1, "patch": 16, "batch": 2}],
        "recalibration_batches": 1,
        "validations": 1,
        "report_every": 1e-6,
    }
    config = config_from(settings)
    write_config(config)
    for _ in train_session(Trainer(config, "cpu"), stop_at=2):
        pass
    _begin_result(folder, model)


def _begin_result(folder: Path, model: Path) -> None:
    """Plan an OME-Zarr result, as a run does that is killed at once."""
    from memnet_core.batch import find_inputs, plan_jobs
    from memnet_core.batch.shared_output import join_or_create
    from memnet_core.inference.settings import RestoreOptions

    planned = folder / "planned"
    planned.mkdir()
    found = find_inputs([str(folder / "stack.tif")], planned, recursive=False)
    (job,) = plan_jobs(found.sources, planned, "ome-zarr", overwrite=False)
    join_or_create(job, RestoreOptions(task="denoise", level=25.0, model=str(model)))
