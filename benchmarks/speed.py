"""What the evaluation form of the network saves in time and memory.

Usage: python benchmarks/speed.py

Prints, for the paper's M6R6 and for the shipped shape, the speed of the training form
(concatenated gates) and of the evaluation form, as shares of the speed of a plain 3×3
convolution of 64 channels measured in the same run, and the peak memory of each in a
process of its own. Fails if the evaluation form is not clearly ahead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the memnet command does

import torch
from torch import Tensor, nn

from memnet_core.model.architecture import Architecture
from memnet_core.model.fused import EvaluationNetwork
from memnet_core.model.network import MemNet

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES = {
    "M6R6, 64 channels": (Architecture(), 512),
    "M4R4, 48 channels, unshuffle 2": (
        Architecture(memory_blocks=4, recursions=4, channels=48, unshuffle=2),
        1024,
    ),
}
REPEATS = 5
LEAST_SPEEDUP = 1.5
LEAST_MEMORY_SAVED = 1.3


def plain_convolution(side: int) -> Callable[[], object]:
    conv = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(1, 64, side, side).contiguous(memory_format=torch.channels_last)
    return lambda: conv(x)


def form(name: str, architecture: Architecture, side: int) -> Callable[[], object]:
    torch.manual_seed(0)
    x = torch.rand(1, 1, side, side)
    model = MemNet(architecture).eval()
    if name == "evaluation":
        network = EvaluationNetwork(model)
        return lambda: network(x)

    def run() -> Tensor:
        return model(x).output  # type: ignore[no-any-return]

    return run


def gflops(
    functions: dict[str, tuple[Callable[[], object], float]],
) -> dict[str, float]:
    """Time functions in turn and return the medians of their speeds."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    with torch.inference_mode():
        for repeat in range(REPEATS + 1):
            for name, (function, _) in functions.items():
                started = time.perf_counter()
                function()
                if repeat:
                    times[name].append(time.perf_counter() - started)
    return {
        name: functions[name][1] / sorted(values)[len(values) // 2] / 1e9
        for name, values in times.items()
    }


def peak_megabytes(name: str, shape: str) -> float:
    command = [sys.executable, __file__, name, shape]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output)


def print_peak(name: str, shape: str) -> None:
    """Print by how many megabytes running a form raises the peak of this process."""
    architecture, side = SHAPES[shape]
    function = form(name, architecture, side)
    before = peak_kilobytes()
    with torch.inference_mode():
        function()
    print((peak_kilobytes() - before) / 1024)


def peak_kilobytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def main() -> None:
    behind = []
    for shape, (architecture, side) in SHAPES.items():
        work = 2 * architecture.multiply_adds() * side**2
        conv_side = side // architecture.unshuffle
        speeds = gflops(
            {
                "convolution": (
                    plain_convolution(conv_side),
                    2 * 9 * 64 * 64 * conv_side**2,
                ),
                "training": (form("training", architecture, side), work),
                "evaluation": (form("evaluation", architecture, side), work),
            }
        )
        memory = {
            name: peak_megabytes(name, shape) for name in ("training", "evaluation")
        }
        print(f"{shape}, {side}×{side} px")
        print(f"  {'convolution':<12}{speeds['convolution']:6.0f} GFLOP/s")
        for name, peak in memory.items():
            share = speeds[name] / speeds["convolution"]
            print(
                f"  {name:<12}{speeds[name]:6.0f} GFLOP/s  {share:4.0%}  {peak:6.0f} MB"
            )
        speedup = speeds["evaluation"] / speeds["training"]
        saved = memory["training"] / memory["evaluation"]
        print(f"  evaluation form: {speedup:.2f}× as fast, 1/{saved:.2f} of the memory")
        if speedup < LEAST_SPEEDUP or saved < LEAST_MEMORY_SAVED:
            behind.append(shape)
    if behind:
        sys.exit(f"The evaluation form is not clearly ahead for {', '.join(behind)}.")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print_peak(*sys.argv[1:])
    else:
        main()
