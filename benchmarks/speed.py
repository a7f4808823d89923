"""Time, memory and patience that the streaming network takes, against its old form.

Usage: python benchmarks/speed.py [--largest MPX] [--paper] [--loaded]

For images from 256² px to `--largest` megapixels (24): seconds a megapixel; the speed
as a share of that of a plain 3×3 convolution of as many channels, on a strip in the
cache, in time of the processor, which other programs on the machine change least; the
longest time between two strips, which is how long cancelling takes; and by how much it
raises the peak of a process of its own. The training form, which computes whole images,
is shown up to a megapixel. ``--paper`` takes the paper's M6R6 in place of the shape of
the shipped models.

``--loaded`` shows instead what threads that spin cost: the same image with PyTorch as
installed, with OMP_WAIT_POLICY=PASSIVE and with one thread, on the machine as it is and
with a busy process for each of its processors.

Fails if streaming is slower than the training form, or takes more memory than the
engine estimates.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from memnet_core._util.environment import prepare_process

if __name__ == "__main__" and "--as-installed" not in sys.argv:
    prepare_process()

import numpy as np
import torch
from torch import nn

from memnet_core.inference.engine import Engine
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHIPPED = Architecture(memory_blocks=4, recursions=4, channels=48, unshuffle=2)
PAPER = Architecture()
SIZES = [(256, 256), (512, 512), (1024, 1024), (2048, 2048), (3000, 4000), (4000, 6000)]
LARGEST_WHOLE = 1024 * 1024
REPEATS = 3
ROWS_OF_STRIP = 16


def streaming(architecture: Architecture, height: int, width: int) -> float:
    """Restore an image as the command does; return the longest wait for a strip."""
    engine = make_engine(architecture)
    rows = engine.strip_rows(width)
    planes = np.full((1, 1, rows, width), 0.5, np.float32)
    strips = (planes[:, :, : min(rows, height - top)] for top in range(0, height, rows))
    longest, before = 0.0, time.perf_counter()
    for _ in engine.stream(strips, height):
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest


def training(architecture: Architecture, height: int, width: int) -> float:
    """Restore an image as a whole, with concatenated gates."""
    started = time.perf_counter()
    with torch.inference_mode():
        make_model(architecture)(torch.full((1, 1, height, width), 0.5))
    return time.perf_counter() - started


FORMS: dict[str, Callable[[Architecture, int, int], float]] = {
    "streaming": streaming,
    "training": training,
}
_models: dict[Architecture, MemNet] = {}
_engines: dict[Architecture, Engine] = {}


def make_model(architecture: Architecture) -> MemNet:
    if architecture not in _models:
        torch.manual_seed(0)
        _models[architecture] = MemNet(architecture).eval()
    return _models[architecture]


def make_engine(architecture: Architecture) -> Engine:
    if architecture not in _engines:
        _engines[architecture] = Engine(make_model(architecture), device="cpu")
    return _engines[architecture]


def convolution_rate(channels: int, width: int) -> float:
    """Return the multiply-adds in a second of a processor, at their best."""
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    conv = conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(1, channels, ROWS_OF_STRIP, width)
    x = x.contiguous(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        for _ in range(20):
            started = time.process_time()
            conv(x)
            times.append(time.process_time() - started)
    return 9 * channels**2 * ROWS_OF_STRIP * width / min(times)


def print_table(architecture: Architecture, largest: float) -> list[str]:
    """Print a row for each form and size; return what is not as it should be."""
    problems = []
    columns = 512 // architecture.unshuffle
    print(
        f"{torch.get_num_threads()} threads; seconds a megapixel; of a processor, and"
    )
    print("as a share of a plain convolution; longest wait for a strip; memory")
    for height, width in SIZES:
        pixels = height * width
        if pixels > largest * 2**20:
            break
        forms = list(FORMS) if pixels <= LARGEST_WHOLE else ["streaming"]
        times: dict[str, list[float]] = {name: [] for name in forms}
        works: dict[str, list[float]] = {name: [] for name in forms}
        waits: dict[str, list[float]] = {name: [] for name in forms}
        rates = [convolution_rate(architecture.channels, columns)]
        for _ in range(REPEATS if pixels <= LARGEST_WHOLE else 1):
            for name in forms:
                started, worked = time.perf_counter(), time.process_time()
                waits[name].append(FORMS[name](architecture, height, width))
                times[name].append(time.perf_counter() - started)
                works[name].append(time.process_time() - worked)
                rates.append(convolution_rate(architecture.channels, columns))
        for name in forms:
            seconds = median(times[name]) / pixels * 1e6
            work = min(works[name]) / pixels * 1e6
            share = architecture.multiply_adds() * 1e6 / work / max(rates)
            memory = peak_of(name, architecture, height, width)
            print(
                f"{height:>5} × {width:<5}{name:<10}{seconds:8.2f} s/Mpx"
                f"{work:8.2f} {share:5.0%}{median(waits[name]):8.2f} s"
                f"{memory / 2**20:8.0f} MiB",
                flush=True,
            )
            if name == "streaming":
                engine = make_engine(architecture)
                if memory > 1.5 * engine.memory(width, engine.strip_rows(width)):
                    problems.append(f"memory at {height} × {width}")
        if len(forms) > 1 and median(times["streaming"]) > median(times["training"]):
            problems.append(f"speed at {height} × {width}")
    return problems


def peak_of(name: str, architecture: Architecture, height: int, width: int) -> int:
    """Return by how many bytes a form raises the peak of a process of its own."""
    command = [sys.executable, __file__, "--peak", name, str(height), str(width)]
    command += ["--paper"] if architecture == PAPER else []
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def print_peak(name: str, architecture: Architecture, height: int, width: int) -> None:
    engine = make_engine(architecture)
    # Later rows take no more than those that fill the reach of the network.
    rows = 2 * engine.radius + 4 * engine.strip_rows(width)
    FORMS[name](architecture, 16, 16)
    before = peak_kilobytes()
    FORMS[name](
        architecture, min(height, rows) if name == "streaming" else height, width
    )
    print((peak_kilobytes() - before) * 1024)


def peak_kilobytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def print_loaded(architecture: Architecture) -> None:
    """Print seconds a megapixel for each way to wait, without and with other work."""
    ways: dict[str, dict[str, str]] = {
        "as installed": {},
        "PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
        "one thread": {"OMP_NUM_THREADS": "1"},
    }
    for busy in (0, os.cpu_count() or 1):
        times: dict[str, list[float]] = {name: [] for name in ways}
        with other_work(busy):
            for _ in range(REPEATS):
                for name, environment in ways.items():
                    times[name].append(seconds_of_a_process(architecture, environment))
        for name, values in times.items():
            print(f"{busy} busy processes, {name:<13}{median(values):8.2f} s/Mpx")


def seconds_of_a_process(
    architecture: Architecture, environment: dict[str, str]
) -> float:
    names = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, __file__, "--as-installed", "--time"]
    command += ["--paper"] if architecture == PAPER else []
    run = subprocess.run(
        command, check=True, capture_output=True, env=clean | environment
    )
    return float(run.stdout)


@contextmanager
def other_work(processes: int) -> Iterator[None]:
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=float, default=24)
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--loaded", action="store_true")
    parser.add_argument("--as-installed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--time", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    architecture = PAPER if arguments.paper else SHIPPED
    if arguments.peak:
        name, height, width = arguments.peak
        print_peak(name, architecture, int(height), int(width))
    elif arguments.time:
        streaming(architecture, 64, 64)
        started = time.perf_counter()
        streaming(architecture, 256, 256)
        print((time.perf_counter() - started) / 256**2 * 1e6)
    elif arguments.loaded:
        print_loaded(architecture)
    elif problems := print_table(architecture, arguments.largest):
        sys.exit(f"Not as it should be: {', '.join(problems)}.")


if __name__ == "__main__":
    main()
