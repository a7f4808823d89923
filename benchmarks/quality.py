"""Score our models beside other systems on the same inputs, in one process.

Usage: python benchmarks/quality.py [MODEL ...] [--quick] [--record]
           [--picture FILE.png] [--json FILE]

MODEL is the name or file of a model; by default deblock, denoise, sr, deblock-color and
denoise-color, as far as they are installed. The task of each decides on the images,
inputs and peers; models for gray planes are scored in color, too, on luminance and on
each channel. Where ONNX Runtime and OpenVINO are installed, they run the exported
denoiser. With --quick only the first image of each set is scored; with --record the
scores of our models are written into their files: of gray planes or, for models for
color, of RGB. Needs the images and peers of ../shared, and for BM3D and
non-local means the packages bm3d (non-commercial) and opencv-python-headless.

CPU seconds per megapixel, on all threads together, are the median of three rounds, in
which all systems take turns, on 512×512 pixels; of BM3D it is one round on 256×256.
Enlarging the input of super-resolution is not included. Multiply-adds are those of the
convolutions for a pixel of the result, of one network for each level those of the
costliest. docs/models.md shows what --json docs/quality.json writes.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the memnet command does

import click
import numpy as np
import torch
from inputs import BENCHMARKS
from pareto import Panel, Point, draw
from peers import PEERS, System

from memnet_core.errors import UsageError
from memnet_core.evaluation.run import restored_colors, restored_plane
from memnet_core.export.module import ExportableMemNet
from memnet_core.export.onnx import onnx_session, write_onnx
from memnet_core.image_ops.color import rgb2ycbcr_luminance
from memnet_core.inference.engine import Engine
from memnet_core.inference.settings import RestoreOptions
from memnet_core.model.card import Score
from memnet_core.model.checkpoint import load_model, save_model
from memnet_core.model.registry import find_model, installed
from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inputs import Benchmark
    from numpy.typing import NDArray

    from memnet_core.evaluation.run import Sample
    from memnet_core.inference.settings import Channels
    from memnet_core.model.registry import Entry

    Inputs = Mapping[int, Sequence[Sample]]
    Run = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

DEFAULT_MODELS = ("deblock", "denoise", "sr", "deblock-color", "denoise-color")
ROUNDS = 3
_WITH_CHROMA = 1.5
"""Planes that are restored of a JPEG whose chroma is halved both ways."""


@dataclass
class Row:
    """What was found out about one system: mean PSNR and SSIM by level, and cost."""

    name: str
    scores: dict[int, tuple[float, float]] = field(default_factory=dict)
    seconds_per_megapixel: float | None = None
    multiply_adds_per_pixel: float | None = None
    sha256: str | None = None
    unavailable: str = ""


@dataclass(frozen=True)
class Comparison:
    """All systems on one benchmark; the first row is the input itself."""

    benchmark: str
    dataset: str
    task: str
    images: int
    rows: list[Row]


def on_planes(entry: Entry, levels: Sequence[int]) -> System:
    """Return a model on gray planes, by the paper's protocol."""
    model, card = load_model(entry.path)
    engine = Engine(model, device="cpu")
    task = TASKS[card.task]
    return System(
        name=f"MemNet {card.name}",
        restore=lambda sample, level: restored_plane(
            engine, sample.degraded, task.level_map_value(level)
        ),
        levels=tuple(level for level in levels if card.levels.covers(level)),
        multiply_adds=card.architecture.multiply_adds(),
        sha256=card.sha256,
    )


def exported(entry: Entry, levels: Sequence[int]) -> list[System]:
    """Return a model that takes the level, as other programs run its ONNX."""
    model, card = load_model(entry.path)
    folder = Path(tempfile.mkdtemp(prefix="memnet-onnx-"))
    atexit.register(shutil.rmtree, folder)
    try:
        write_onnx(ExportableMemNet(model), folder / "model.onnx")
        runs = programs(folder / "model.onnx")
    except UsageError as error:  # the package onnx is missing
        print(error)
        return []
    plain = on_planes(entry, levels)

    def restore(run: Run, sample: Sample, level: float) -> NDArray[Any]:
        x = np.asarray(sample.degraded, np.float32)[None, None] / np.float32(255)
        told = np.full((1, 1, 1, 1), TASKS[card.task].level_map_value(level), x.dtype)
        restored: NDArray[np.float32] = 255 * run(x, told)[0, 0]
        return restored

    return [
        replace(plain, name=f"{plain.name} ({name})", restore=partial(restore, run))
        for name, run in runs.items()
    ]


def programs(path: Path) -> dict[str, Run]:
    """Return what runs an ONNX file on an image and a level, by name."""
    threads = torch.get_num_threads()
    runs: dict[str, Run] = {}
    if find_spec("onnxruntime"):
        session = onnx_session(path, threads)
        runs["ONNX Runtime"] = lambda x, level: session.run(
            None, {"image": x, "level": level}
        )[0]
    if find_spec("openvino"):
        import openvino

        for name, hint in (("float32", "f32"), ("bfloat16", "bf16")):
            settings = {
                "INFERENCE_PRECISION_HINT": hint,
                "INFERENCE_NUM_THREADS": threads,
            }
            compiled = openvino.Core().compile_model(path, "CPU", settings)
            runs[f"OpenVINO, {name}"] = partial(_openvino, compiled)
    return runs


def _openvino(compiled: Any, *inputs: NDArray[Any]) -> NDArray[np.float32]:
    restored: NDArray[np.float32] = compiled([*inputs])[0]
    return restored


def on_colors(entry: Entry, levels: Sequence[int], channels: Channels | None) -> System:
    """Return a model on colors, as the product restores files."""
    card = entry.card
    asked = RestoreOptions(
        task=card.task,
        model=str(entry.path.absolute()),
        channels=channels,
        device="cpu",
    )
    by_itself = channels in (None, "joint")
    return System(
        name=f"MemNet {card.name}" + ("" if by_itself else f" ({channels})"),
        restore=lambda sample, level: restored_colors(
            sample, replace(asked, level=level)
        )[0],
        levels=tuple(level for level in levels if card.levels.covers(level)),
        multiply_adds=card.architecture.multiply_adds()
        * {"each": 3.0, None: _WITH_CHROMA}.get(channels, 1.0),
        sha256=card.sha256,
    )


def luminance_of_colors(entry: Entry, levels: Sequence[int]) -> System:
    """Return a model for colors whose luminance is scored, rounded as in a file."""
    system = on_colors(entry, levels, "joint")

    def restore(sample: Sample, level: float) -> NDArray[Any]:
        colors = system.restore(sample, level)
        return rgb2ycbcr_luminance(np.clip(np.rint(colors), 0, 255).astype(np.uint8))

    return replace(system, restore=restore)


def ours(benchmark: Benchmark, entry: Entry) -> list[System]:
    """Return a model in the ways in which it serves a benchmark, if it does."""
    if entry.card.task != benchmark.task.name:
        return []
    if not benchmark.colors:
        if is_for_colors(entry):
            if benchmark.reads_colors:
                return [luminance_of_colors(entry, benchmark.levels)]
            return []
        others = (
            exported(entry, benchmark.levels) if entry.card.name == "denoise" else []
        )
        return [on_planes(entry, benchmark.levels), *others]
    ways: tuple[Channels | None, ...] = ("luminance", "each")
    if is_for_colors(entry):
        ways = ("joint",)
    elif benchmark.task.undoes_jpeg:
        ways = (None, *ways)
    return [on_colors(entry, benchmark.levels, way) for way in ways]


def is_for_colors(entry: Entry) -> bool:
    """Whether a model restores colors together."""
    return entry.card.architecture.image_channels > 1


def peers(benchmark: str) -> tuple[list[System], list[Row]]:
    """Return the peers of a benchmark, and rows for those that cannot be run."""
    systems, missing = [], []
    for name, make in PEERS[benchmark].items():
        try:
            systems.append(make(name))
        except (ImportError, OSError) as error:
            missing.append(Row(name, unavailable=str(error)))
    return systems, missing


def mean_scores(
    benchmark: Benchmark, inputs: Inputs, system: System | None
) -> dict[int, tuple[float, float]]:
    """Return mean PSNR and SSIM by level, of the inputs themselves for no system."""
    found: dict[int, tuple[float, float]] = {}
    for level, samples in inputs.items():
        if system is not None and level not in system.levels:
            continue
        each = [
            benchmark.scores(
                sample,
                system.restore(sample, level) if system else sample.degraded,
                level,
            )
            for sample in samples
        ]
        psnr, ssim = np.mean(each, axis=0)
        found[level] = round(float(psnr), 4), round(float(ssim), 5)
    return found


def speeds(
    benchmark: Benchmark, systems: Sequence[System], plane: NDArray[Any]
) -> list[float]:
    """Return CPU seconds per megapixel of systems that take turns."""
    times: list[list[float]] = [[] for _ in systems]
    for system in systems:
        timed(benchmark, system, repeated(plane, 64))
    for round_ in range(ROUNDS):
        for system, taken in zip(systems, times, strict=True):
            if not system.is_slow:
                taken.append(timed(benchmark, system, repeated(plane, 512)))
            elif round_ == 0:
                taken.append(timed(benchmark, system, repeated(plane, 256)))
    return [round(median(taken), 3) for taken in times]


def timed(benchmark: Benchmark, system: System, plane: NDArray[Any]) -> float:
    """Return CPU seconds per megapixel at the middle level, or one that is served."""
    middle = benchmark.middle
    level = middle if middle in system.levels else int(system.levels[0])
    sample = benchmark.sample(plane, level)
    pixels: int = np.prod(sample.clean.shape[:2]).item()
    started = time.process_time()
    system.restore(sample, level)
    return (time.process_time() - started) / (pixels / 1e6)


def repeated(plane: NDArray[Any], side: int) -> NDArray[Any]:
    """Return a square of an image, repeated as needed."""
    rows, columns = (np.arange(side) % length for length in plane.shape[:2])
    return np.ascontiguousarray(plane[np.ix_(rows, columns)])


def compare(name: str, own: Sequence[System], *, quick: bool) -> Comparison:
    """Run everything for one benchmark."""
    benchmark = BENCHMARKS[name]
    planes = benchmark.planes()[: 1 if quick else None]
    inputs = {
        level: [benchmark.sample(p, level, n) for n, p in enumerate(planes)]
        for level in benchmark.levels
    }
    others, missing = peers(name)
    systems = [*own, *others]
    rows = [Row(benchmark.input_name, mean_scores(benchmark, inputs, None))]
    for system, speed in zip(
        systems, speeds(benchmark, systems, planes[0]), strict=True
    ):
        found = mean_scores(benchmark, inputs, system)
        rows.append(
            Row(
                system.name,
                found,
                speed,
                system.multiply_adds,
                system.sha256,
            )
        )
    return Comparison(
        name, benchmark.dataset, benchmark.task.name, len(planes), rows + missing
    )


def print_table(comparison: Comparison) -> None:
    benchmark = BENCHMARKS[comparison.benchmark]
    symbol = benchmark.task.symbol
    images = f"images: {comparison.images}"
    print(f"\n{benchmark.title}, {benchmark.dataset} ({images}), PSNR/SSIM")
    levels = [f"{symbol} {level}" for level in benchmark.levels]
    print_line("", levels, "s/Mpx", "multiply-adds/px")
    for row in comparison.rows:
        if row.unavailable:
            print(f"{row.name:<26}unavailable: {row.unavailable}")
            continue
        found = {level: f"{p:.2f}/{s:.4f}" for level, (p, s) in row.scores.items()}
        cells = [found.get(level, "-") for level in benchmark.levels]
        seconds, adds = row.seconds_per_megapixel, row.multiply_adds_per_pixel
        speed = "-" if seconds is None else f"{seconds:.2f}"
        print_line(row.name, cells, speed, "-" if adds is None else f"{adds:,.0f}")


def print_line(name: str, cells: Sequence[str], speed: str, adds: str) -> None:
    columns = "".join(f"{cell:<14}" for cell in cells)
    print(f"{name:<26}{columns}{speed:>8}{adds:>18}")


def panel(comparison: Comparison) -> Panel:
    """Return gains over the input at the middle level."""
    benchmark = BENCHMARKS[comparison.benchmark]
    level = benchmark.middle
    before = comparison.rows[0].scores[level][0]
    points = [
        Point(
            _label(row.name),
            row.seconds_per_megapixel,
            row.scores[level][0] - before,
            row.sha256 is not None,
        )
        for row in comparison.rows
        if row.seconds_per_megapixel is not None and level in row.scores
    ]
    over = f"{'RGB ' if benchmark.colors else ''}PSNR gain over {benchmark.input_name}"
    label = f"{over} in dB, {benchmark.task.label(level)}"
    return Panel(f"{benchmark.title} ({benchmark.folder})", label, points)


def _label(name: str) -> str:
    """Return what a point is called: of our network elsewhere, only where it runs."""
    _, _, program = name.removesuffix(")").partition(" (")
    return program if program.startswith(("ONNX", "OpenVINO")) else name


def record(entry: Entry, comparison: Comparison) -> None:
    """Write the scores of a model into its file, in place of those on the same set."""
    benchmark = BENCHMARKS[comparison.benchmark]
    before = comparison.rows[0].scores
    [after] = [
        row.scores
        for row in comparison.rows
        if row.sha256 and row.name == f"MemNet {entry.card.name}"
    ]
    model, card = load_model(entry.path)
    kept = [score for score in card.scores if score.dataset != benchmark.dataset]
    made = [
        Score(
            dataset=benchmark.dataset,
            level=level,
            input_psnr=before[level][0],
            input_ssim=before[level][1],
            psnr=psnr,
            ssim=ssim,
        )
        for level, (psnr, ssim) in after.items()
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
    for name, benchmark in BENCHMARKS.items():
        own = [system for entry in entries for system in ours(benchmark, entry)]
        if not own:
            continue
        comparison = compare(name, own, quick=quick)
        print_table(comparison)
        comparisons.append(comparison)
        for entry in entries if recording else ():
            is_own = benchmark.reads_colors or benchmark.colors == is_for_colors(entry)
            if is_own and entry.card.task == benchmark.task.name:
                record(entry, comparison)
    if json_file:
        text = json.dumps([asdict(c) for c in comparisons], indent=1)
        json_file.write_text(text + "\n")
    if picture:
        measured = {row.sha256 for c in comparisons for row in c.rows if row.sha256}
        draw([panel(comparison) for comparison in comparisons], picture, measured)


if __name__ == "__main__":
    main()
