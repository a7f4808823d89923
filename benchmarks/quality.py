"""Score our models beside other systems on the same inputs, in one process.

Usage: python benchmarks/quality.py [MODEL ...] [--quick] [--record]
           [--picture FILE.png] [--json FILE]

MODEL is the name or file of a model; by default deblock, denoise and sr, as far as they
are installed. The task of each decides on the images, inputs and peers. With --quick
only the first image of each set is scored; with --record the scores of our models are
written into their files. Needs the images and peers of ../shared, and for BM3D and
non-local means the packages bm3d (non-commercial) and opencv-python-headless.

Seconds per megapixel are the median of three rounds, in which all systems take turns,
on 512×512 pixels; of BM3D it is one round on 256×256. Enlarging the input of
super-resolution is not included. Multiply-adds are those of the convolutions.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the memnet command does

import click
import numpy as np
import torch
from pareto import Panel, Point, draw
from peers import PEERS, SHARED, System

from memnet_core.clean_images import read_clean_images
from memnet_core.evaluation.protocol import degraded_input, reference, scores
from memnet_core.evaluation.run import restored_plane
from memnet_core.model.file import Score, load_model, save_model
from memnet_core.model.zoo import find_model, installed
from memnet_core.restoration.stream import Engine
from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.model.zoo import Entry

    Plane = NDArray[np.float32]

BENCH = SHARED / "data" / "bench"
DEFAULT_MODELS = ("deblock", "denoise", "sr")
SEED = 0
ROUNDS = 3


@dataclass(frozen=True)
class Benchmark:
    """What a task is measured on; pictures show the middle level."""

    title: str
    dataset: str
    levels: tuple[int, ...]
    middle: int
    input_name: str


BENCHMARKS: dict[str, Benchmark] = {
    "deblock": Benchmark("JPEG deblocking", "classic5", (5, 10, 20, 40), 20, "JPEG"),
    "denoise": Benchmark("Denoising", "S14", (30, 50, 70), 50, "Noisy"),
    "sr": Benchmark("Super-resolution", "Set5", (2, 3, 4), 3, "Bicubic"),
}


@dataclass(frozen=True)
class Sample:
    """One input of a benchmark: the clean plane and the degraded, in [0, 255]."""

    level: int
    clean: NDArray[Any]
    degraded: NDArray[np.float64]


@dataclass
class Row:
    """What was found out about one system: mean PSNR and SSIM by level, and cost."""

    name: str
    scores: dict[int, tuple[float, float]] = field(default_factory=dict)
    seconds_per_megapixel: float | None = None
    multiply_adds_per_pixel: float | None = None
    is_ours: bool = False
    unavailable: str = ""


@dataclass(frozen=True)
class Comparison:
    """All systems on one task; the first row is the input itself."""

    task: str
    images: int
    rows: list[Row]


def ours(entry: Entry, levels: Sequence[int]) -> System:
    model, card = load_model(entry.path)
    engine = Engine(model, device="cpu")
    task = TASKS[card.task]

    def restore(plane: Plane, level: float) -> Plane:
        pixels = 255 * plane.astype(np.float64)
        return restored_plane(engine, pixels, task.map_value(level)) / np.float32(255)

    return System(
        name=f"MemNet {card.name}",
        restore=restore,
        levels=tuple(level for level in levels if card.levels.covers(level)),
        multiply_adds=card.architecture.multiply_adds(),
        is_ours=True,
    )


def peers(task: str) -> tuple[list[System], list[Row]]:
    """Return the peers of a task, and rows for those that cannot be run."""
    systems, missing = [], []
    for name, make in PEERS[task].items():
        try:
            systems.append(make(name))
        except (ImportError, OSError) as error:
            missing.append(Row(name, unavailable=str(error)))
    return systems, missing


def samples(task: str, *, quick: bool) -> list[Sample]:
    """Return the inputs of a task, made once for all systems."""
    benchmark = BENCHMARKS[task]
    kind = TASKS[task]
    folder = BENCH / benchmark.dataset
    planes = read_clean_images(folder, full_range=kind.full_range)
    made = []
    for number, (_, plane) in enumerate(planes[:1] if quick else planes):
        for level in benchmark.levels:
            clean = reference(plane, kind, level)
            degraded = degraded_input(clean, kind, level, seed=SEED, number=number)
            made.append(Sample(level, clean, degraded))
    return made


def mean_scores(
    task: str, inputs: Sequence[Sample], system: System | None
) -> dict[int, tuple[float, float]]:
    """Return mean PSNR and SSIM by level, of the inputs themselves for no system."""
    found: dict[int, list[tuple[float, float]]] = {}
    for sample in inputs:
        image = sample.degraded
        if system is not None:
            if sample.level not in system.levels:
                continue
            plane = (image / 255).astype(np.float32)
            image = 255 * system.restore(plane, sample.level).astype(np.float64)
        score = scores(sample.clean, image, TASKS[task], sample.level)
        found.setdefault(sample.level, []).append(score)
    return {
        level: (
            float(np.mean([p for p, _ in each])),
            float(np.mean([s for _, s in each])),
        )
        for level, each in found.items()
    }


def speeds(systems: Sequence[System], sample: Sample) -> list[float]:
    """Return seconds per megapixel of systems that take turns."""
    times: list[list[float]] = [[] for _ in systems]
    for system in systems:
        system.restore(repeated(sample.degraded, 64), system_level(system, sample))
    for round_ in range(ROUNDS):
        for system, taken in zip(systems, times, strict=True):
            if system.is_slow and round_ > 0:
                continue
            plane = repeated(sample.degraded, 256 if system.is_slow else 512)
            started = time.perf_counter()
            system.restore(plane, system_level(system, sample))
            taken.append((time.perf_counter() - started) / (plane.size / 1e6))
    return [median(taken) for taken in times]


def system_level(system: System, sample: Sample) -> float:
    """Return the level of a sample, or one that the system is made for."""
    return sample.level if sample.level in system.levels else system.levels[0]


def repeated(image: NDArray[np.float64], side: int) -> Plane:
    """Return a square of an image in [0, 255], repeated as needed, as values to 1."""
    rows, columns = (np.arange(side) % length for length in image.shape)
    return np.ascontiguousarray(image[np.ix_(rows, columns)] / 255, np.float32)


def compare(task: str, entries: Sequence[Entry], *, quick: bool) -> Comparison:
    """Run everything for one task."""
    benchmark = BENCHMARKS[task]
    inputs = samples(task, quick=quick)
    others, missing = peers(task)
    systems = [ours(entry, benchmark.levels) for entry in entries] + others
    middle = next(sample for sample in inputs if sample.level == benchmark.middle)
    rows = [Row(benchmark.input_name, mean_scores(task, inputs, None))]
    for system, speed in zip(systems, speeds(systems, middle), strict=True):
        found = mean_scores(task, inputs, system)
        rows.append(
            Row(system.name, found, speed, system.multiply_adds, system.is_ours)
        )
    images = len(inputs) // len(benchmark.levels)
    return Comparison(task, images, rows + missing)


def print_table(comparison: Comparison) -> None:
    benchmark = BENCHMARKS[comparison.task]
    symbol = TASKS[comparison.task].symbol
    images = f"images: {comparison.images}"
    print(f"\n{benchmark.title}, {benchmark.dataset} ({images}), PSNR/SSIM")
    levels = [f"{symbol} {level}" for level in benchmark.levels]
    print_line("", levels, "s/Mpx", "multiply-adds/px")
    for row in comparison.rows:
        if row.unavailable:
            print(f"{row.name:<22}unavailable: {row.unavailable}")
            continue
        found = {level: f"{p:.2f}/{s:.4f}" for level, (p, s) in row.scores.items()}
        cells = [found.get(level, "-") for level in benchmark.levels]
        seconds, adds = row.seconds_per_megapixel, row.multiply_adds_per_pixel
        speed = "-" if seconds is None else f"{seconds:.2f}"
        print_line(row.name, cells, speed, "-" if adds is None else f"{adds:,.0f}")


def print_line(name: str, cells: Sequence[str], speed: str, adds: str) -> None:
    columns = "".join(f"{cell:<14}" for cell in cells)
    print(f"{name:<22}{columns}{speed:>8}{adds:>18}")


def panel(comparison: Comparison) -> Panel:
    """Return gains over the input at the middle level."""
    benchmark = BENCHMARKS[comparison.task]
    level = benchmark.middle
    before = comparison.rows[0].scores[level][0]
    points = [
        Point(
            row.name,
            row.seconds_per_megapixel,
            row.scores[level][0] - before,
            row.is_ours,
        )
        for row in comparison.rows
        if row.seconds_per_megapixel is not None and level in row.scores
    ]
    symbol = TASKS[comparison.task].symbol
    label = f"PSNR gain over {benchmark.input_name} in dB, {symbol} {level}"
    return Panel(f"{benchmark.title} ({benchmark.dataset})", label, points)


def record(entry: Entry, before: Row, after: Row, dataset: str) -> None:
    """Write the scores of a model into its file, in place of those on the same set."""
    model, card = load_model(entry.path)
    kept = [score for score in card.scores if score.dataset != dataset]
    made = [
        Score(
            dataset=dataset,
            level=level,
            input_psnr=round(before.scores[level][0], 4),
            input_ssim=round(before.scores[level][1], 5),
            psnr=round(psnr, 4),
            ssim=round(ssim, 5),
        )
        for level, (psnr, ssim) in after.scores.items()
    ]
    fields = card.model_dump(exclude={"architecture", "sha256", "scores"})
    save_model(entry.path, model, **fields, scores=kept + made)
    print(f"Recorded in {entry.path}")


def chosen(names: Sequence[str]) -> list[Entry]:
    """Return the models to score."""
    present = {entry.card.name for entry in installed()[0]}
    return [find_model(n) for n in names or [n for n in DEFAULT_MODELS if n in present]]


@click.command(help=__doc__)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--quick", is_flag=True)
@click.option("--record", "recording", is_flag=True)
@click.option("--picture", type=click.Path(path_type=Path))
@click.option("--json", "json_file", type=click.Path(path_type=Path))
def main(
    models: tuple[str, ...],
    quick: bool,
    recording: bool,
    picture: Path | None,
    json_file: Path | None,
) -> None:
    if quick and recording:
        raise click.UsageError("--record needs all images; leave --quick out.")
    entries = chosen(models)
    print(f"{torch.get_num_threads()} CPU threads, torch {torch.__version__}")
    comparisons = []
    for task, benchmark in BENCHMARKS.items():
        own = [entry for entry in entries if entry.card.task == task]
        if not own:
            continue
        comparison = compare(task, own, quick=quick)
        print_table(comparison)
        comparisons.append(comparison)
        if recording:
            for entry, row in zip(own, comparison.rows[1:], strict=False):
                record(entry, comparison.rows[0], row, benchmark.dataset)
    if json_file:
        json_file.write_text(json.dumps([asdict(c) for c in comparisons], indent=1))
    if picture:
        draw([panel(comparison) for comparison in comparisons], picture)


if __name__ == "__main__":
    main()
