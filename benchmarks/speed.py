"""Time, memory and patience that a restoration takes: the engine's and the command's.

Usage: python benchmarks/speed.py [--largest MPX] [--paper] [--command | --loaded]

For images from 256² px to `--largest` megapixels (24): CPU seconds a megapixel; the
multiply-adds in a second; the speed as a share of that of a plain 3×3 convolution of as
many channels in the same precision, on a strip in the cache; the longest time between
two strips, which is how long cancelling takes; and by how much it raises the peak of a
process of its own. The streaming form is measured in float32 and, where the processor
computes in it, in bfloat16; the training form, which computes whole images, up to a
megapixel. ``--paper`` takes the paper's M6R6 in place of the shape of `denoise`.

``--command`` measures what a user gets instead: CPU seconds and peak memory of
``memnet restore --task denoise --sigma 20`` in a fresh process for 0.25, 1, 4 and 24
megapixels of 8 bits, up to `--largest`.

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
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from memnet_core._util.environment import prepare_process

if __name__ == "__main__" and "--as-installed" not in sys.argv:
    prepare_process()

import numpy as np
import tifffile
import torch
from torch import nn

from memnet_core._util.devices import is_reduced
from memnet_core.inference.engine import Engine
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet
from memnet_core.model.registry import find_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAPER = Architecture()
SIZES = [(256, 256), (512, 512), (1024, 1024), (2048, 2048), (3000, 4000), (4000, 6000)]
SIZES_OF_COMMAND = [(512, 512), (1024, 1024), (2048, 2048), (4000, 6000)]
LARGEST_WHOLE = 1024 * 1024
REPEATS = 3
ROWS_OF_STRIP = 16

COMMAND = """
import sys, time
from pathlib import Path
from memnet_core.cli import main
try:
    main(sys.argv[1:])
finally:
    # What getrusage tells of a child is at least the peak of the one that started it.
    status = Path("/proc/self/status").read_text()
    print(time.process_time(), status.split("VmHWM:")[1].split()[0])
"""


class Bench:
    """One architecture with random weights, and its forms."""

    def __init__(self, architecture: Architecture) -> None:
        torch.manual_seed(0)
        self.architecture = architecture
        self.model = MemNet(architecture).eval()
        self._engines: dict[str, Engine] = {}
        self.forms: dict[str, Callable[[int, int], float]] = {
            "float32": lambda height, width: self.streaming(height, width, "float32"),
            "training": self.training,
        }
        if is_reduced("auto", torch.device("cpu")):
            self.forms["bfloat16"] = lambda height, width: self.streaming(
                height, width, "bfloat16"
            )

    def engine(self, precision: str) -> Engine:
        """Return the engine for a precision, made once."""
        if precision not in self._engines:
            self._engines[precision] = Engine(
                self.model,
                device="cpu",
                precision=precision,  # type: ignore[arg-type]
            )
        return self._engines[precision]

    def streaming(self, height: int, width: int, precision: str) -> float:
        """Restore an image as the command does; return the longest wait for a strip."""
        engine = self.engine(precision)
        rows = engine.strip_rows(width)
        planes = np.full((1, 1, rows, width), 0.5, np.float32)
        strips = (
            planes[:, :, : min(rows, height - top)] for top in range(0, height, rows)
        )
        longest, before = 0.0, time.perf_counter()
        for _ in engine.stream(strips, height, level=0.1):
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        return longest

    def training(self, height: int, width: int) -> float:
        """Restore an image as a whole, with concatenated gates."""
        started = time.perf_counter()
        planes = 1 + self.architecture.level_planes
        with torch.inference_mode():
            self.model(torch.full((1, planes, height, width), 0.5))
        return time.perf_counter() - started


def convolution_rate(channels: int, width: int, dtype: torch.dtype) -> float:
    """Return the multiply-adds in a CPU second of a convolution, at their best."""
    conv = nn.Conv2d(channels, channels, 3, padding=1, dtype=dtype)
    conv = conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(1, channels, ROWS_OF_STRIP, width, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        for _ in range(20):
            started = time.process_time()
            conv(x)
            times.append(time.process_time() - started)
    return 9 * channels**2 * ROWS_OF_STRIP * width / min(times)


def print_table(bench: Bench, largest: float) -> list[str]:
    """Print a row for each form and size; return what is not as it should be."""
    print(
        f"{torch.get_num_threads()} threads; CPU seconds a megapixel, GMAC in one, as\n"
        "a share of a plain convolution; longest wait for a strip; memory"
    )
    problems = []
    for height, width in SIZES:
        if height * width <= largest * 2**20:
            problems += print_size(bench, height, width)
    return problems


def print_size(bench: Bench, height: int, width: int) -> list[str]:
    architecture = bench.architecture
    pixels = height * width
    channels, columns = architecture.channels, 512 // architecture.unshuffle
    forms = [f for f in bench.forms if f != "training" or pixels <= LARGEST_WHOLE]
    works: dict[str, list[float]] = {name: [] for name in forms}
    waits: dict[str, list[float]] = {name: [] for name in forms}
    rates: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(REPEATS if pixels <= LARGEST_WHOLE else 1):
        for name in forms:
            dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
            rates[name].append(convolution_rate(channels, columns, dtype))
            worked = time.process_time()
            waits[name].append(bench.forms[name](height, width))
            works[name].append(time.process_time() - worked)
            rates[name].append(convolution_rate(channels, columns, dtype))
    problems = []
    for name in forms:
        work = min(works[name])
        rate = architecture.multiply_adds() * pixels / work
        memory = peak_of(name, architecture, height, width)
        print(
            f"{height:>5} × {width:<5}{name:<10}{work / pixels * 1e6:7.2f} s/Mpx"
            f"{rate / 1e9:6.0f} {rate / max(rates[name]):5.0%}"
            f"{median(waits[name]):7.2f} s{memory / 2**20:7.0f} MiB",
            flush=True,
        )
        if name != "training":
            engine = bench.engine(name)
            if memory > 1.5 * engine.memory(width, engine.strip_rows(width)):
                problems.append(f"memory at {height} × {width}, {name}")
    if "training" in forms and min(works["float32"]) > min(works["training"]):
        problems.append(f"speed at {height} × {width}")
    return problems


def peak_of(name: str, architecture: Architecture, height: int, width: int) -> int:
    """Return by how many bytes a form raises the peak of a process of its own."""
    command = [sys.executable, __file__, "--peak", name, str(height), str(width)]
    command += ["--paper"] if architecture == PAPER else []
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def print_peak(bench: Bench, name: str, height: int, width: int) -> None:
    run = bench.forms[name]
    if name != "training":
        # Later rows take no more than those that fill the reach of the network.
        engine = bench.engine(name)
        height = min(height, 2 * engine.radius + 4 * engine.strip_rows(width))
    run(16, 16)
    before = peak_kilobytes()
    run(height, width)
    print((peak_kilobytes() - before) * 1024)


def peak_kilobytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def print_command(largest: float) -> None:
    """Print what `memnet restore` takes in a process of its own, for each size."""
    options = ["restore", "--task", "denoise", "--sigma", "20"]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "in.tif"), Path(folder, "out.tif")
        for height, width in SIZES_OF_COMMAND:
            if height * width > largest * 2**20:
                break
            tifffile.imwrite(source, rng.integers(0, 256, (height, width), np.uint8))
            run = subprocess.run(
                [sys.executable, "-c", COMMAND, *options, str(source), str(result)],
                check=True,
                capture_output=True,
                text=True,
            )
            result.unlink()
            seconds, peak = run.stdout.split()[-2:]
            print(
                f"{height:>5} × {width:<5}{float(seconds):8.2f} CPU s"
                f"{float(seconds) / height / width * 1e6:7.2f} s/Mpx"
                f"{int(peak) / 1024:8.0f} MiB",
                flush=True,
            )


def print_loaded(bench: Bench) -> None:
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
                    seconds = seconds_of_a_process(bench.architecture, environment)
                    times[name].append(seconds)
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
    parser.add_argument("--command", action="store_true")
    parser.add_argument("--loaded", action="store_true")
    parser.add_argument("--as-installed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--time", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.command:
        print_command(arguments.largest)
        return
    shipped = find_model("denoise").card.architecture
    bench = Bench(PAPER if arguments.paper else shipped)
    if arguments.peak:
        name, height, width = arguments.peak
        print_peak(bench, name, int(height), int(width))
    elif arguments.time:
        bench.streaming(64, 64, "float32")
        started = time.perf_counter()
        bench.streaming(256, 256, "float32")
        print((time.perf_counter() - started) / 256**2 * 1e6)
    elif arguments.loaded:
        print_loaded(bench)
    elif problems := print_table(bench, arguments.largest):
        sys.exit(f"Not as it should be: {', '.join(problems)}.")


if __name__ == "__main__":
    main()
