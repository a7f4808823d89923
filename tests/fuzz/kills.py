"""Kill the command at random moments, run it again, and count what was lost.

Every run is a process of its own, killed with its children by SIGKILL::

    python tests/fuzz/kills.py --kills 200 --seed 1

A result is lost if one that was there is neither its old nor its new self afterwards,
or if what the second run makes is not what a run that nobody killed makes. What is left
over are the hidden files and folders that the second run does not clear away. A run
that ends before it is killed does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import numpy as np
import tifffile
from child import do_and_exit
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 300
"""Seconds until a run is taken for waiting for ever."""

BATCH = ("batch", "--task", "denoise", "--model", "tiny.safetensors", "in", "out")
WEAK, STRONG = ("--sigma", "20"), ("--sigma", "60")
ZARR = (*BATCH, "--format", "ome-zarr")
ADAPT = (
    *("adapt", "movie.tif", "--steps", "20", "--model", "tiny.safetensors"),
    *("--out", "out/mine.safetensors"),
)
TRAIN = ("train", "--config", "train.yaml", "--out", "out")


@dataclass(frozen=True)
class Kind:
    """A command that is killed.

    Attributes
    ----------
    command : tuple of str
        Its arguments.
    before : tuple of str
        Those of a run that makes the results that are there already.
    resume : tuple of str
        Those of the second run, if the first one got so far that it can be resumed.
    """

    command: tuple[str, ...]
    before: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()


KINDS = {
    "files": Kind((*BATCH, *WEAK)),
    "Zarr": Kind((*ZARR, *WEAK)),
    "files, --overwrite": Kind((*BATCH, *WEAK, "--overwrite"), (*BATCH, *STRONG)),
    "Zarr, --overwrite": Kind((*ZARR, *WEAK, "--overwrite"), (*ZARR, *STRONG)),
    "adapt": Kind((*ADAPT, "--overwrite"), (*ADAPT, "--seed", "1")),
    "train": Kind(TRAIN, resume=("train", "--resume", "--out", "out")),
    "Zarr, --workers 2": Kind((*ZARR, *WEAK, "--workers", "2")),
}


def main() -> None:
    """Kill commands of all kinds in turn, print the table, exit 1 if any lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=len(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    asked = parser.parse_args()
    killed: Counter[str] = Counter()
    faults: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        prepare()
        references = {kind: reference(kind) for kind in asked.kinds}
        rng = random.Random(asked.seed)
        while killed.total() < asked.kills:
            kind = min(asked.kinds, key=lambda kind: killed[kind])
            was_killed, found = kill(kind, *references[kind], rng)
            killed[kind] += was_killed
            for what, told in found:
                faults[kind, what] += 1
                print(f"{kind}, kill {killed[kind]}: {what}: {told}", flush=True)
    print(f"{'kind':<20}{'killed':>8}{'lost':>6}{'left over':>11}{'failed':>8}")
    for kind in asked.kinds:
        lost, left, failed = (faults[kind, what] for what in ("lost", "left", "failed"))
        print(f"{kind:<20}{killed[kind]:>8}{lost:>6}{left:>11}{failed:>8}")
    raise SystemExit(1 if faults else 0)


def prepare() -> None:
    """Write inputs, a tiny model and settings into this folder; import what is used."""
    import torch

    from memnet_core.adaptation import loop
    from memnet_core.model.architecture import Architecture
    from memnet_core.model.checkpoint import save_model
    from memnet_core.model.network import MemNet
    from memnet_core.tasks import Levels

    torch.manual_seed(0)
    shape: dict[str, Any] = {"memory_blocks": 1, "recursions": 1, "channels": 4}
    save_model(
        Path("tiny.safetensors"),
        MemNet(Architecture(**shape)),
        name="tiny",
        task="denoise",
        levels=Levels.between(1, 75),
        version="1",
        license="BSD-3-Clause",
    )
    # So that an untrained network learns something within some steps.
    recipe = loop._Optimization(learning_rate=0.05)
    vars(loop).update(_Optimization=lambda: recipe, _PATCH=24)
    y, x = np.mgrid[:48, :56] / 7
    noise = np.random.default_rng(0).normal(0, 400, (6, 48, 56))
    movie = (3000 + 2000 * np.sin(x) * np.cos(y) + noise).clip(0).astype(np.uint16)
    tifffile.imwrite("movie.tif", movie, imagej=True, metadata={"axes": "TYX"})
    Path("in").mkdir()
    for letter in "abcdef":
        pixels = movie[ord(letter) - 97, :40, :40] // 32
        Image.fromarray(pixels.astype(np.uint8)).save(f"in/{letter}.png")
    tifffile.imwrite("in/s.tif", movie, imagej=True, metadata={"axes": "TYX"})
    Path("train.yaml").write_text(
        "data: [in]\ntask: denoise\nsteps: 300\narchitecture: {memory_blocks: 1, "
        "recursions: 1, channels: 2, unshuffle: 1}\nphases: [{until: 1, patch: 16, "
        "batch: 2}]\nrecalibration_batches: 1\nvalidations: 6\n"
    )


def reference(kind: str) -> tuple[dict[str, bytes], dict[str, bytes], float]:
    """Return the results of before, those of a whole run, and its seconds."""
    case = KINDS[kind]
    shutil.rmtree("out", ignore_errors=True)
    Path("out").mkdir()
    if case.before:
        run(case.before)
    shutil.rmtree("before", ignore_errors=True)
    shutil.copytree("out", "before")
    old, started = contents(), time.monotonic()
    code, said = run(case.command)
    seconds = time.monotonic() - started
    if code:
        raise SystemExit(f"{kind} ends with {code}:\n{said}")
    shutil.copytree("before", f"before {kind}")
    return old, contents(), seconds


def kill(
    kind: str,
    old: dict[str, bytes],
    new: dict[str, bytes],
    seconds: float,
    rng: random.Random,
) -> tuple[bool, list[tuple[str, str]]]:
    """Kill a command once and run it again; return whether it was, and the faults."""
    case = KINDS[kind]
    shutil.rmtree("out")
    shutil.copytree(f"before {kind}", "out")
    code, _ = run(case.command, kill_after=rng.uniform(0, 1.1 * seconds))
    was_killed, faults = code == -signal.SIGKILL, []
    if case.before:  # a run that replaces nothing finds the old or the new
        code, said = run([part for part in case.command if part != "--overwrite"])
        if code not in (0, 2):
            faults.append(("failed", said))
        faults += [("lost", name) for name in old if not is_one_of(name, old, new)]
    can_resume = case.resume and Path("out/last.pt").exists()
    code, said = run(case.resume if can_resume else case.command)
    if code:
        faults.append(("failed", said))
    found = contents()
    faults += [("lost", n) for n in new if n not in found or found[n] != new[n]]
    hidden = [path for path in os.listdir("out") if path.startswith(".")]
    faults += [("left", name) for name in [*hidden, *(found.keys() - new.keys())]]
    return was_killed, faults


def is_one_of(name: str, *known: dict[str, bytes]) -> bool:
    """Whether a file is one of those known by its name."""
    path = Path("out", name)
    return path.exists() and content(path) in [k.get(name) for k in known]


def contents() -> dict[str, bytes]:
    """Return the results."""
    return {
        str(path.relative_to("out")): content(path)
        for path in sorted(Path("out").rglob("*"))
        if path.is_file() and path.parent.name != "tensorboard"
    }


def content(path: Path) -> bytes:
    """Return the bytes of a file that do not tell when it was made, and how fast."""
    if path.name in ("curves.png", "mine.png"):
        Image.open(path).load()
        return b""
    if path.name in ("log.csv", "last.pt", "commands.txt"):
        return b""
    data = path.read_bytes()
    if path.suffix == ".safetensors":  # behind the header is what was learned
        return data[8 + int.from_bytes(data[:8], "little") :]
    return data


def run(arguments: Sequence[str], kill_after: float = PATIENCE) -> tuple[int, str]:
    """Run the command in a child; return exit code, negative if killed, and output."""
    started = time.monotonic()
    child = os.fork()
    if not child:
        do_and_exit(partial(_memnet, arguments), Path("said"))
    with contextlib.suppress(PermissionError):  # the child was faster
        os.setpgid(child, child)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() - started > kill_after:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(status), Path("said").read_text()


def _memnet(arguments: Sequence[str]) -> None:
    with contextlib.suppress(PermissionError):
        os.setpgid(0, 0)
    from memnet_core.cli import main as memnet

    memnet([*arguments], prog_name="memnet")


if __name__ == "__main__":
    main()
