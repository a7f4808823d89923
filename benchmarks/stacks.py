"""What stacks cost: memory by their size, time by workers, time by block.

Usage: python benchmarks/stacks.py memory [GIB ...]
       python benchmarks/stacks.py scaling [ROUNDS]
       python benchmarks/stacks.py block [MODEL]
       python benchmarks/stacks.py reading

memory   peak memory of `memnet batch` for TIFFs of 2048×2048 px, 16-bit, against that
         for a single plane, with a network so small that it takes next to nothing
scaling  time for one OME-Zarr image with one and with two Dask workers, each on a
         processor and a thread of its own, in turn; the best of each counts. The
         processor time of the busiest worker tells what it would be on an idle machine
block    reading, restoring and writing one shard of 1024×1024 px × 16 planes, and how
         many empty tasks a scheduler hands out in a second
reading  what reading the block of a shard with its halo costs: bytes that the process
         reads from files, and processor time, for a TIFF and an OME-Zarr (Linux)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from memnet_core.batch import ClusterReady, Job
from memnet_core.batch.dask_executor import ClusterRun
from memnet_core.batch.restoring import ShardWorker
from memnet_core.batch.shared_output import join_or_create
from memnet_core.inference.engine import EngineCache
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_image, probe
from memnet_core.io.zarr.image import open_level
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import save_model
from memnet_core.model.network import MemNet
from memnet_core.progress import result_of
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PLANE = 2048
GIB = 2**30


def tiny_model(folder: Path, **architecture: Any) -> str:
    """Save an untrained network, the smaller the more of the time is not its own."""
    path = folder / "tiny.safetensors"
    shape = {"memory_blocks": 1, "recursions": 1, "channels": 4, **architecture}
    save_model(
        path,
        MemNet(Architecture(**shape)),
        name="tiny",
        task="denoise",
        levels=Levels(values=(1, 100), continuous=True),
        version="1.0",
        license="BSD-3-Clause",
    )
    return str(path)


def write_stack(path: Path, planes: int, side: int) -> Path:
    """Write a z-stack of noise on a slope, uncompressed, plane by plane."""
    tifffile.imwrite(
        path,
        islice(noisy_planes(side), planes),
        shape=(planes, side, side),
        dtype=np.uint16,
        photometric="minisblack",
        ome=True,
        bigtiff=True,
        metadata={"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm"},
    )
    return path


def noisy_planes(side: int) -> Iterator[NDArray[np.uint16]]:
    noise = np.random.default_rng(0).normal(0, 100, (side, side))
    slope = np.linspace(1000, 9000, side)
    base = (slope + noise).astype(np.uint16)
    for shift in range(10**6):
        yield np.roll(base, shift, 0)


def memory(*sizes: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = tiny_model(folder, unshuffle=4)
        own = 0.0
        print("GiB     planes   peak, MiB   above one plane   seconds")
        for size in (0.0, *map(float, sizes or ("0.25", "1", "4"))):
            planes = max(1, round(size * GIB / (2 * PLANE**2)))
            source = write_stack(folder / "stack.ome.tif", planes, PLANE)
            gibibytes = source.stat().st_size / GIB
            peak, seconds = measured(source, folder / f"out{size}", model)
            own = own or peak
            print(
                f"{gibibytes:<7.2f} {planes:<8} {peak:<11.0f} "
                f"{peak - own:<+17.0f} {seconds:.0f}",
                flush=True,
            )


def measured(source: Path, target: Path, model: str) -> tuple[float, float]:
    """Return peak memory in MiB and seconds of a command of its own."""
    command = [sys.executable, "-c", "from memnet_core.cli import main; main()"]
    command += ["batch", "--task", "denoise", "--sigma", "10", "--model", model]
    started = time.monotonic()
    process = subprocess.Popen([*command, str(source), str(target)])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the command failed")
    for result in target.iterdir():
        result.unlink()
    return used.ru_maxrss / 1024, time.monotonic() - started


def scaling(rounds: str = "3") -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as processes:
        folder = Path(name)
        source = write_stack(folder / "in.ome.tif", 128, 1024)
        settings = RestoreOptions(
            task="denoise",
            level=10.0,
            model=tiny_model(
                folder, memory_blocks=2, recursions=2, channels=8, unshuffle=2
            ),
        )
        addresses = {n: cluster(folder, n, processes) for n in (1, 2)}
        best: dict[int, tuple[float, float]] = {}
        for turn in range(int(rounds) + 1):
            for workers, address in addresses.items():
                target = folder / f"{turn}-{workers}.ome.zarr"
                before = processor_seconds(address)
                seconds = run(source, target, settings, address)
                after = processor_seconds(address)
                busiest = max(after[w] - before[w] for w in after)
                if turn:  # the first loads models and fills caches
                    known = best.get(workers, (seconds, busiest))
                    best[workers] = min(known[0], seconds), min(known[1], busiest)
                    print(f"{workers} workers: {seconds:.1f} s, ", end="")
                    print(f"the busiest {busiest:.1f} s of a processor", flush=True)
        wall, own = (
            first / second for first, second in zip(*best.values(), strict=True)
        )
        print(f"two workers are {wall:.2f} times as fast as one by the clock, ", end="")
        print(f"{own:.2f} times by processor time")


def processor_seconds(address: str) -> dict[str, float]:
    """Return the processor time that each worker has used."""
    from distributed import Client

    connect: Any = Client
    with connect(address) as client:
        client.wait_for_workers(1)
        return dict(client.run(time.process_time))


def cluster(folder: Path, workers: int, processes: ExitStack) -> str:
    """Start a scheduler, and workers on a processor and a thread of their own."""
    found = folder / f"scheduler{workers}.json"
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    start(processes, "scheduler", *here, "--port", "0", "--scheduler-file", str(found))
    while not found.exists() or not found.read_text():
        time.sleep(0.1)
    address: str = json.loads(found.read_text())["address"]
    for number in range(workers):
        worker = ("worker", address, *here, "--nthreads", "1", "--no-nanny")
        start(processes, *worker, processor=number)
    return address


def start(processes: ExitStack, kind: str, *options: str, processor: int = -1) -> None:
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
    if processor >= 0:
        command = ["taskset", "-c", str(processor), *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    processes.callback(process.wait)
    processes.callback(process.kill)


def run(source: Path, target: Path, settings: RestoreOptions, address: str) -> float:
    work = ClusterRun([Job(source, target, probe(source))], settings, scheduler=address)
    started = 0.0
    for event in work.events():
        if isinstance(event, ClusterReady):
            started = time.monotonic()
    (outcome,) = work.outcomes
    if outcome.status != "done":
        raise SystemExit(outcome.message)
    return time.monotonic() - started


def block(model: str = "denoise") -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as processes:
        folder = Path(name)
        source = write_stack(folder / "in.ome.tif", 16, 3072)
        settings = RestoreOptions(task="denoise", level=10.0, model=model)
        job = Job(source, folder / "out.ome.zarr", probe(source))
        work = join_or_create(job, settings)
        maker = ShardWorker(work, job, "auto", EngineCache())
        middle = work.plan.layout.blocks(0) // 2
        part = work.plan.layout.block(0, middle)
        started = time.monotonic()
        read_middle(source)
        reading = time.monotonic() - started
        started = time.monotonic()
        result_of(maker.make(0, middle, wait=True))
        whole = time.monotonic() - started
        array = open_level(work.image, 0)
        pixels = array[part]
        started = time.monotonic()
        array[part] = pixels
        writing = time.monotonic() - started
        stored = sum(
            p.stat().st_size for p in work.image.rglob("c/**/*") if p.is_file()
        )
        megapixels = pixels.size / 1e6
        print(f"a shard of {'×'.join(map(str, pixels.shape))} px, {megapixels:.1f} Mpx")
        print(f"whole task {whole:.1f} s ({megapixels / whole:.3f} Mpx/s)")
        print(f"reading with halo {reading:.2f} s, writing {writing:.2f} s")
        print(f"stored as {stored / 2**20:.1f} of {pixels.nbytes / 2**20:.1f} MiB")
        print(f"{handed_out(cluster(folder, 1, processes)):.0f} empty tasks a second")


def read_middle(source: Path) -> int:
    """Read 16 planes of the 1024×1024 px in the middle with a halo of 68 px."""
    with open_image(source) as stack:
        around = slice(1024 - 68, 2048 + 68)
        pixels: NDArray[Any] = stack.read_block((slice(0, 16),), around, around)
        return pixels.nbytes


def write_zarr(path: Path, stack: NDArray[np.uint16]) -> Path:
    """Write planes as OME-Zarr 0.5 in the chunks and shards of a result."""
    import zarr

    group: Any = zarr.open_group(path, mode="w")
    shards, chunks = (16, 1024, 1024), (1, 256, 256)
    group.create_array("0", data=stack, shards=shards, chunks=chunks)
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    image = {"axes": axes, "datasets": [level]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return path


def reading() -> None:
    import psutil

    process = psutil.Process()
    with tempfile.TemporaryDirectory() as name:
        tiff = write_stack(Path(name) / "in.ome.tif", 16, 3072)
        sharded = write_zarr(Path(name) / "in.ome.zarr", tifffile.imread(tiff))
        for source in (tiff, sharded):
            read_middle(source)  # what is imported at the first time does not count
            bytes_before = process.io_counters().read_chars
            time_before = time.process_time()
            wanted = read_middle(source)
            read = process.io_counters().read_chars - bytes_before
            seconds = time.process_time() - time_before
            print(
                f"{source.name}: {read / 2**20:.1f} MiB read for {wanted / 2**20:.1f} "
                f"MiB of pixels, in {seconds:.2f} s of processor time"
            )


def handed_out(address: str, tasks: int = 5000) -> float:
    from distributed import Client

    connect: Any = Client
    with connect(address) as client:
        client.wait_for_workers(1)
        started = time.monotonic()
        client.gather(client.map(int, range(tasks), pure=False))
        return tasks / (time.monotonic() - started)


if __name__ == "__main__":
    modes: dict[str, Any] = {
        "memory": memory,
        "scaling": scaling,
        "block": block,
        "reading": reading,
    }
    modes[sys.argv[1]](*sys.argv[2:])
