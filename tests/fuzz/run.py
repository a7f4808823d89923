"""Feed hostile files to the command and count what it does that it must not.

Every attack is a process of its own, with bounds of time and memory::

    python tests/fuzz/run.py --minutes 30 --seed 1 --keep found/

A failure is a traceback or a fault, an exit code that is none, a crash, more than 20
seconds of computing, more than 2 GiB, a control character on the terminal, and a file
outside that was changed or made. The same seed makes the same attacks.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"

from attacks import KINDS, prepare
from child import do_and_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 20
"""Of computing, which do not pass while others use the machine."""

PATIENCE = 300
"""Seconds until what does not even compute is taken for waiting for ever."""

GIB = 2**30
MOST_MEMORY = 2 * GIB
LIMIT = 4 * GIB
"""Where a process is stopped, so that the machine lives."""

EXIT_CODES = (0, 1, 2)
FAULTS = ("Traceback (most recent call last)", "fault of memnet", "Exception ignored")


def main() -> None:
    """Run attacks of all kinds in turn, print the table, exit 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--attacks", type=int, help="of each kind, instead of a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--keep", type=Path, help="folder for the inputs that failed")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[2] / "src"))
    with tempfile.TemporaryDirectory() as name:
        tried, failed = attack(Path(name), asked)
    print(f"{'kind':<16}{'tried':>7}{'failed':>8}  how")
    for kind in asked.kinds:
        how = Counter({h: n for (k, h), n in failed.items() if k == kind})
        told = ", ".join(f"{n} {h}" for h, n in how.most_common())
        print(f"{kind:<16}{tried[kind]:>7}{how.total():>8}  {told}")
    print(f"{'all':<16}{tried.total():>7}{failed.total():>8}")
    raise SystemExit(1 if failed else 0)


def attack(
    folder: Path, asked: argparse.Namespace
) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Run the attacks; return how many of each kind were made, and failed how."""
    tried: Counter[str] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    ended, output, _, _ = _in_process(lambda: prepare(folder), folder, PATIENCE)
    if ended:
        raise SystemExit(f"The inputs cannot be made:\n{output}")
    for kind in asked.kinds:
        _import_what_is_used(kind, folder)
    end = time.monotonic() + 60 * asked.minutes
    number = 0
    while number < asked.attacks if asked.attacks else time.monotonic() < end:
        for kind in asked.kinds:
            how, output = _one(kind, number, asked.seed, folder)
            tried[kind] += 1
            if how:
                failed[kind, how] += 1
                print(f"{kind} {number}: {how}\n{output[-1500:]}\n", flush=True)
                if asked.keep:
                    kept = asked.keep / f"{kind}-{asked.seed}-{number}"
                    shutil.copytree(
                        folder / "attack", kept, symlinks=True, dirs_exist_ok=True
                    )
        number += 1
    return tried, failed


def _import_what_is_used(kind: str, folder: Path) -> None:
    """Import once what every process of a kind would import by itself."""
    room = folder / "attack"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    listed = folder / "modules"

    def use() -> None:
        model = folder / "tiny.safetensors"
        path = KINDS[kind].make(room, random.Random(0), model)
        for command in KINDS[kind].commands:
            names = {"file": path, "out": room / "out", "model": model}
            arguments = [p.format(**names, stack=folder / "stack.tif") for p in command]
            with contextlib.suppress(SystemExit):
                _run(arguments)
        listed.write_text("\n".join(sys.modules))

    _in_process(use, room, PATIENCE)
    for name in listed.read_text().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _one(kind: str, number: int, seed: int, folder: Path) -> tuple[str, str]:
    """Make one attack; return how it failed, if it did, and what was printed."""
    room = folder / "attack"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    outside = room / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    model = folder / "tiny.safetensors"
    rng = random.Random(f"{seed} {kind} {number}")
    ended, output, _, _ = _in_process(lambda: _made(kind, room, rng, model), room)
    if ended:
        return "", ""  # the library that writes it did not take the hostile value
    path = room / os.fsdecode((room / "made").read_bytes())
    names = {
        "file": str(path),
        "out": str(room / "out"),
        "model": str(model),
        "stack": str(folder / "stack.tif"),
    }
    for command in KINDS[kind].commands:
        arguments = [part.format(**names) for part in command]
        ended, output, seconds, memory = _in_process(lambda: _run(arguments), room)  # noqa: B023
        how = _failure(ended, output, seconds, memory)
        kept = [(p.name, p.read_text()) for p in outside.iterdir()]
        if not how and kept != [("kept", "kept")]:
            how = "outside"
        if how:
            return how, f"$ memnet {' '.join(arguments)}\n{output}"
    return "", ""


def _made(kind: str, room: Path, rng: random.Random, model: Path) -> None:
    path = KINDS[kind].make(room, rng, model)
    (room / "made").write_bytes(os.fsencode(path.relative_to(room)))


def _run(arguments: Sequence[str]) -> None:
    from memnet_core.cli import main as memnet

    os.environ["MEMNET_MODELS"] = str(Path(os.environ["MEMNET_ROOM"]) / "models")
    memnet(list(arguments), prog_name="memnet")


def _failure(ended: int, output: str, seconds: float, memory: int) -> str:
    if seconds >= SECONDS or ended == -signal.SIGXCPU:
        return "hang"
    if memory > MOST_MEMORY:
        return "memory"
    if any(fault in output for fault in FAULTS):
        return "traceback"
    if ended < 0:
        return f"crash ({signal.Signals(-ended).name})"
    if ended not in EXIT_CODES:
        return f"exit code {ended}"
    if [c for c in output if not (c.isprintable() or c == "\n")]:
        return "escape"
    return ""


def _in_process(
    action: Callable[[], None], room: Path, most_seconds: int = SECONDS
) -> tuple[int, str, float, int]:
    """Do something in a child; return exit code, output, seconds, bytes beyond ours."""
    told = room / "output"
    started = time.monotonic()
    child = os.fork()
    if not child:
        do_and_exit(partial(_bounded, action, room, most_seconds), told)
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() - started > PATIENCE:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)
    seconds = used.ru_utime + used.ru_stime
    if time.monotonic() - started > PATIENCE:
        seconds = PATIENCE
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output = told.read_text("utf-8", "surrogateescape") if told.exists() else ""
    memory = 1024 * (used.ru_maxrss - own)
    return os.waitstatus_to_exitcode(status), output, seconds, memory


def _bounded(action: Callable[[], None], room: Path, most_seconds: int) -> None:
    """Do something in this process, within bounds of time and memory."""
    os.setpgid(0, 0)
    faulthandler.dump_traceback_later(PATIENCE - 2)
    faulthandler.register(signal.SIGXCPU, chain=True)
    resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds + 2))
    os.environ["MEMNET_ROOM"] = str(room)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    action()


if __name__ == "__main__":
    main()
