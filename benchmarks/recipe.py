"""Train small networks of several shapes, and in several ways, for equally many steps.

Usage: python benchmarks/recipe.py OUT [--steps N] [--only NAME ...]

Every network learns from nothing with one thread, from the same images and seed, and is
scored by the protocol: denoising σ 25 on the 14 images, deblocking quality 10 on
Classic5. OUT gets a folder for each and `recipe.csv`, with a line for each that is
done: multiply-adds a pixel, weights, megapixels, seconds of the processor (not of the
clock, so that other work on the machine hardly counts; about 15 of them are for reading
images and validating) and the PSNR. What is in the table already is not trained again.
Needs the images of ../shared.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import yaml
from peer_networks import SHARED

from memnet_core.evaluation.run import evaluate
from memnet_core.inference.engine import Engine
from memnet_core.model.checkpoint import load_model

TRAIN, BENCH = SHARED / "data" / "train", SHARED / "data" / "bench"
TASKS = {"denoise": (25, BENCH / "S14"), "deblock": (10, BENCH / "classic5")}
SHAPES = {
    "M4 R4 C48": {"memory_blocks": 4, "recursions": 4, "channels": 48},
    "M8 R2 C48": {"memory_blocks": 8, "recursions": 2, "channels": 48},
    "M14 R1 C48": {"memory_blocks": 14, "recursions": 1, "channels": 48},
    "M4 R2 C64": {"memory_blocks": 4, "recursions": 2, "channels": 64},
}
BEST = "M8 R2 C48"
WAYS: dict[str, dict[str, object]] = {
    "float32": {"precision": "float32"},
    "AdamW 2e-3": {"optimizer": "adamw", "learning_rate": 2e-3},
    "Muon 4e-2": {"learning_rate": 4e-2},
    "FFDNet's answers": {"teacher": [str(SHARED / "peers" / "FFDNet_gray.npz")]},
}
"""What differs from the recipe, for denoising with the shape that is the best."""


@dataclass(frozen=True)
class Variant:
    """A network to train, and how."""

    name: str
    task: str
    settings: dict[str, object]


def variants() -> list[Variant]:
    """Return every shape for both tasks, and the best one in every other way."""
    shapes = [
        Variant(f"{task}, {name}", task, {"architecture": shape})
        for task in TASKS
        for name, shape in SHAPES.items()
    ]
    best = {"architecture": SHAPES[BEST]}
    ways = [Variant(f"denoise, {n}", "denoise", best | way) for n, way in WAYS.items()]
    return shapes + ways


def train(variant: Variant, folder: Path, steps: int) -> float:
    """Train a network and return the processor's seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    level, _ = TASKS[variant.task]
    settings = folder / "settings.yaml"
    settings.write_text(
        yaml.safe_dump({"validations": 1, "report_every": 60} | variant.settings)
    )
    words: list[str | Path] = ["--out", folder / "run", "--task", variant.task]
    words += ["--levels", str(level), "--steps", str(steps)]
    words += ["--data", TRAIN / "CID22", "--data", TRAIN / "CLIC2025"]
    words += ["--val", TRAIN / "BSDS500_val", "--config", settings]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "log.txt").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", "memnet_core", "train", *words],
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            stdout=log,
            stderr=log,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--steps", default=500)
@click.option("--only", multiple=True, help="Names of networks, all by default.")
def main(out: Path, steps: int, only: tuple[str, ...]) -> None:
    """Train and score what the table lacks."""
    out.mkdir(parents=True, exist_ok=True)
    table = out / "recipe.csv"
    columns = ("network", "multiply-adds", "weights", "megapixels", "seconds", "psnr")
    if not table.exists():
        table.write_text(",".join(columns) + "\n")
    with table.open(newline="") as file:
        done = {row["network"] for row in csv.DictReader(file)}
    for variant in variants():
        if variant.name in done or (only and variant.name not in only):
            continue
        run = out / variant.name.replace(", ", "-").replace(" ", "_")
        seconds = train(variant, run, steps)
        level, images = TASKS[variant.task]
        model, card = load_model(run / "run" / "run.safetensors")
        [scores] = evaluate(Engine(model, device="cpu"), card, images, [level])
        row = (
            variant.name,
            round(card.architecture.multiply_adds()),
            sum(weight.numel() for weight in model.parameters() if weight.ndim == 4),
            round(card.training.megapixels, 1) if card.training else 0,
            round(seconds),
            round(scores.mean.psnr, 3),
        )
        with table.open("a", newline="") as file:
            csv.writer(file).writerow(row)
        click.echo("  ".join(map(str, row)))


if __name__ == "__main__":
    main()
