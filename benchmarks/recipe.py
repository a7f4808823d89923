"""Train networks of several shapes, and in several ways, on equally many pixels.

Usage: python benchmarks/recipe.py OUT [--megapixels N] [--only NAME ...] [--list]

Every network learns from nothing with one thread, from the same images and seed, and is
scored by the protocol: denoising, σ 0 to 75 told by a level map, on the 14 images at
σ 15, 30 and 50; deblocking, quality 5 to 95, on Classic5 at 10, 20 and 40. OUT gets a
folder for each and `recipe.csv`, with a line for each that is done: multiply-adds a
pixel, weights, megapixels, seconds of the processor (not of the clock, so that other
work on the machine hardly counts; about 15 of them are for reading images and
validating) and the PSNR. What is in the table already is not trained again. Needs the
images of ../shared.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml
from peer_networks import SHARED

from memnet_core.evaluation.run import evaluate
from memnet_core.inference.engine import Engine
from memnet_core.model.checkpoint import load_model

TRAIN, BENCH = SHARED / "data" / "train", SHARED / "data" / "bench"
TASKS = {
    "denoise": ("0-75", (15, 30, 50), BENCH / "S14"),
    "deblock": ("5-95", (10, 20, 40), BENCH / "classic5"),
}
FFDNET = {"teacher": [str(SHARED / "peers" / "FFDNet_gray.npz")], "teacher_share": 0.8}
SHAPES = {
    "M8 R2 C64": {"memory_blocks": 8, "recursions": 2, "channels": 64},
    "M8 R2 C48": {"memory_blocks": 8, "recursions": 2, "channels": 48},
    "M4 R4 C64": {"memory_blocks": 4, "recursions": 4, "channels": 64},
    "M14 R1 C64": {"memory_blocks": 14, "recursions": 1, "channels": 64},
}
BEST = "M8 R2 C64"
NORMED = {
    "architecture": SHAPES[BEST] | {"batch_norm": True},
    "freeze_norm_from": 0.85,
}
WAYS: dict[str, dict[str, object]] = {
    "decay 1e-4": {"weight_decay": 1e-4},
    "decay 1": {"weight_decay": 1.0},
    "rate 1e-2, decay 0.3": {"learning_rate": 1e-2, "weight_decay": 0.3},
    "16 patches": {"phases": [{"until": 1.0, "patch": 48, "batch": 16}]},
    "64 px late": {
        "phases": [
            {"until": 0.7, "patch": 48, "batch": 8},
            {"until": 1.0, "patch": 64, "batch": 8},
        ]
    },
    "clean images": {"teacher": [], "teacher_share": 0},
    "AdamW 2e-3": {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.01},
    "BatchNorm": NORMED,
    "BatchNorm, decay 1e-4": NORMED | {"weight_decay": 1e-4},
}
"""What differs from the recipe, for denoising with the shape that is the best."""


@dataclass(frozen=True)
class Variant:
    """A network to train, and how."""

    name: str
    task: str
    settings: dict[str, Any]


def variants() -> list[Variant]:
    """Return every shape for both tasks, and the best one in every other way."""
    common: dict[str, Any] = {"phases": [{"until": 1.0, "patch": 48, "batch": 8}]}
    taught = {"denoise": common | FFDNET, "deblock": common}
    shapes = [
        Variant(f"{task}, {name}", task, taught[task] | {"architecture": shape})
        for task in TASKS
        for name, shape in SHAPES.items()
    ]
    best = taught["denoise"] | {"architecture": SHAPES[BEST]}
    ways = [Variant(f"denoise, {n}", "denoise", best | way) for n, way in WAYS.items()]
    return shapes + ways


def steps_for(variant: Variant, megapixels: float) -> int:
    """Return after how many steps a network has seen so many pixels."""
    before, pixels = 0.0, 0.0
    for phase in variant.settings["phases"]:
        share = phase["until"] - before
        pixels += share * phase["batch"] * phase["patch"] ** 2
        before = phase["until"]
    return round(megapixels * 1e6 / pixels)


def train(variant: Variant, folder: Path, megapixels: float) -> float:
    """Train a network and return the processor's seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    levels, _, _ = TASKS[variant.task]
    settings = folder / "settings.yaml"
    settings.write_text(
        yaml.safe_dump(
            {"validations": 1, "report_every": 60}
            | variant.settings
            | {"architecture": variant.settings["architecture"] | {"level_map": True}}
        )
    )
    words: list[str | Path] = ["--out", folder / "run", "--task", variant.task]
    words += ["--levels", levels, "--steps", str(steps_for(variant, megapixels))]
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
@click.option("--megapixels", default=29.0, show_default=True)
@click.option("--only", multiple=True, help="Names of networks, all by default.")
@click.option("--list", "is_list", is_flag=True, help="Print the names and end.")
def main(out: Path, megapixels: float, only: tuple[str, ...], is_list: bool) -> None:
    """Train and score what the table lacks."""
    if is_list:
        click.echo("\n".join(variant.name for variant in variants()))
        return
    out.mkdir(parents=True, exist_ok=True)
    table = out / "recipe.csv"
    columns = ("network", "multiply-adds", "weights", "megapixels", "seconds")
    if not table.exists():
        table.write_text(",".join((*columns, "level", "psnr")) + "\n")
    with table.open(newline="") as file:
        done = {row["network"] for row in csv.DictReader(file)}
    for variant in variants():
        if variant.name in done or (only and variant.name not in only):
            continue
        run = out / variant.name.replace(", ", "-").replace(" ", "_")
        seconds = train(variant, run, megapixels)
        _, levels, images = TASKS[variant.task]
        model, card = load_model(run / "run" / "run.safetensors")
        scores = evaluate(Engine(model, device="cpu"), card, images, levels)
        row = (
            variant.name,
            round(card.architecture.multiply_adds()),
            sum(weight.numel() for weight in model.parameters() if weight.ndim == 4),
            round(card.training.megapixels, 1) if card.training else 0,
            round(seconds),
        )
        with table.open("a", newline="") as file:
            for level, score in zip(levels, scores, strict=True):
                psnr = round(score.mean.psnr, 3)
                csv.writer(file).writerow((*row, level, psnr))
        click.echo("  ".join(map(str, (*row, *(s.mean.psnr for s in scores)))))


if __name__ == "__main__":
    main()
