"""Runs on other processes: a scheduler and workers started by their own commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from memnet_core.batch import BatchRun, FileProgress, InputListing, find_inputs
from memnet_core.batch.dask_executor import ClusterRun, _local_cluster
from memnet_core.batch.plan import plan_jobs
from memnet_core.batch.report import report_of
from memnet_core.errors import UsageError
from memnet_core.inference.settings import RestoreOptions
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import save_model
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from memnet_core.batch import Job
    from memnet_core.model.network import MemNet

pytest.importorskip("distributed")
pytest.importorskip("cryptography")
pytestmark = pytest.mark.slow

PATIENCE = 180


@pytest.fixture(scope="module")
def model(
    tiny_model: Callable[[Architecture], MemNet],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Save a tiny model where every process finds it."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(
        path,
        tiny_model(Architecture(memory_blocks=2, recursions=1, channels=4)),
        name="tiny",
        task="denoise",
        levels=Levels(values=(5, 75), continuous=True),
        version="1.0",
        license="BSD-3-Clause",
    )
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a stack of several shards and levels, a page, and a damaged file."""
    folder = tmp_path_factory.mktemp("in")
    values = np.random.default_rng(0).integers(0, 65536, (6, 2, 520, 270))
    stack = values.astype(np.uint16)
    metadata = {"axes": "TZYX", "PhysicalSizeX": 0.5}
    tifffile.imwrite(
        folder / "a.ome.tif", stack, photometric="minisblack", metadata=metadata
    )
    tifffile.imwrite(folder / "b.tif", stack[0, 0], photometric="minisblack")
    (folder / "c.tif").write_bytes(b"II*\0damaged")
    return folder


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path, processes: ExitStack) -> None:
        self._processes = processes
        self._folder = folder
        self._environment = os.environ | {"OMP_NUM_THREADS": "1"}
        found = folder / "scheduler.json"
        self.scheduler = self._start(
            "dask_scheduler", "--port", "0", "--scheduler-file", str(found)
        )
        deadline = time.monotonic() + PATIENCE
        while not found.exists() or not found.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.address = json.loads(found.read_text())["address"]

    def wait_for_worker(self) -> None:
        from distributed import Client

        with Client(self.address) as client:
            client.wait_for_workers(1, timeout=PATIENCE)

    def add_worker(self) -> subprocess.Popen[bytes]:
        return self._start("dask_worker", self.address, "--nthreads", "1", "--no-nanny")

    def _start(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                f"distributed.cli.{command}",
                *arguments,
                "--host",
                "127.0.0.1",
                "--no-dashboard",
            ],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)
        return process


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a scheduler and a worker."""
    with ExitStack() as processes:
        cluster = Cluster(tmp_path_factory.mktemp("cluster"), processes)
        cluster.add_worker()
        yield cluster


def jobs_for(folder: Path, target: Path, file_format: str) -> list[Job]:
    found: InputListing = find_inputs([str(folder)], target, recursive=False)
    return plan_jobs(found.sources, target, file_format, overwrite=False)


def settings_for(model: str, **options: Any) -> RestoreOptions:
    return RestoreOptions(task="denoise", level=30, model=model, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def alone(
    folder: Path, model: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """Restore everything in this process."""
    results = {}
    for file_format in ("same", "ome-zarr"):
        target = tmp_path_factory.mktemp("alone")
        run = BatchRun(jobs_for(folder, target, file_format), settings_for(model))
        list(run.events())
        results[file_format] = contents(target)
    return results


@pytest.mark.parametrize("file_format", ["same", "ome-zarr"])
def test_results_are_those_of_one_process_bit_by_bit(
    file_format: str,
    cluster: Cluster,
    folder: Path,
    model: str,
    alone: dict[str, dict[str, bytes]],
    tmp_path: Path,
) -> None:
    run = ClusterRun(
        jobs_for(folder, tmp_path, file_format),
        settings_for(model),
        scheduler=cluster.address,
    )
    events = list(run.events())
    assert contents(tmp_path) == alone[file_format]
    statuses = {o.job.source.name: o.status for o in run.outcomes}
    assert statuses == {"a.ome.tif": "done", "b.tif": "done", "c.tif": "failed"}
    (failed,) = (o.message for o in run.outcomes if o.status == "failed")
    assert failed.startswith(f"{folder / 'c.tif'} cannot be read")
    assert report_of(run)["models"].keys() == {"tiny"}
    if file_format == "ome-zarr":
        tiles = [event for event in events if isinstance(event, FileProgress)]
        parts = [t.fraction for t in tiles if t.job.source.name == "a.ome.tif"]
        assert parts == sorted(parts)
        assert len(parts) >= 12


def test_killed_worker_costs_its_tasks_only(
    cluster: Cluster,
    folder: Path,
    model: str,
    alone: dict[str, dict[str, bytes]],
    tmp_path: Path,
) -> None:
    victim = cluster.add_worker()
    settings = settings_for(model)
    jobs = jobs_for(folder, tmp_path, "ome-zarr")
    run = ClusterRun(jobs, settings, scheduler=cluster.address)
    for event in run.events():
        if isinstance(event, FileProgress) and victim.poll() is None:
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
    assert victim.poll() == -signal.SIGKILL
    assert contents(tmp_path) == alone["ome-zarr"]


def test_lost_scheduler_ends_the_run_with_a_sentence_and_another_goes_on(
    cluster: Cluster,
    folder: Path,
    model: str,
    alone: dict[str, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("memnet_core.batch.dask_executor._PATIENCE", 10.0)
    target = tmp_path / "out"
    jobs = jobs_for(folder, target, "ome-zarr")
    with ExitStack() as processes:
        lost = Cluster(tmp_path, processes)
        lost.add_worker()
        lost.wait_for_worker()
        run = ClusterRun(jobs, settings_for(model), scheduler=lost.address)

        def lose_the_scheduler() -> None:
            for event in run.events():
                if isinstance(event, FileProgress) and lost.scheduler.poll() is None:
                    lost.scheduler.kill()
                    lost.scheduler.wait()

        with pytest.raises(UsageError, match=r"same command again to go on\.$"):
            lose_the_scheduler()
    assert not (target / "a.ome.zarr").exists()
    jobs = jobs_for(folder, target, "ome-zarr")
    list(ClusterRun(jobs, settings_for(model), scheduler=cluster.address).events())
    assert contents(target) == alone["ome-zarr"]


def test_local_workers_do_the_same(
    folder: Path, model: str, alone: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    jobs = jobs_for(folder, tmp_path, "ome-zarr")
    run = ClusterRun(jobs, settings_for(model), workers=2)
    list(run.events())
    assert contents(tmp_path) == alone["ome-zarr"]


def test_scheduler_of_local_workers_refuses_whoever_has_no_certificate() -> None:
    from distributed import Client
    from distributed.security import Security

    with _local_cluster(1) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises(OSError, match=r"TLS|certificate"):
            Client(address, security=Security.temporary(), timeout=2)
        with pytest.raises(OSError, match=r"TCP|reset"):
            Client(address.replace("tls://", "tcp://"), timeout=2)
        with Client(cluster) as ours:
            assert ours.submit(int, "7").result() == 7


def test_workers_that_are_lost_for_good_end_the_run_with_a_sentence(
    folder: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memnet_core.batch.dask_executor._PATIENCE", 4.0)
    with ExitStack() as processes:
        cluster = Cluster(tmp_path, processes)
        only = cluster.add_worker()
        cluster.wait_for_worker()
        jobs = jobs_for(folder, tmp_path / "out", "ome-zarr")
        run = ClusterRun(jobs, settings_for(model), scheduler=cluster.address)

        def lose_the_worker() -> None:
            for event in run.events():
                if isinstance(event, FileProgress) and only.poll() is None:
                    os.kill(only.pid, signal.SIGKILL)
                    only.wait()

        with pytest.raises(UsageError, match="No worker has answered for 4 s; start"):
            lose_the_worker()


def test_address_where_nothing_answers_is_named(
    folder: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memnet_core.batch.dask_executor._PATIENCE", 0.2)
    jobs = jobs_for(folder, tmp_path, "same")
    run = ClusterRun(jobs, settings_for(model), scheduler="tcp://127.0.0.1:1")
    with pytest.raises(UsageError, match="No Dask scheduler answers at tcp://127"):
        list(run.events())


def test_scheduler_without_workers_is_named(
    folder: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memnet_core.batch.dask_executor._PATIENCE", 2.0)
    with ExitStack() as processes:
        cluster = Cluster(tmp_path, processes)
        jobs = jobs_for(folder, tmp_path / "out", "same")
        run = ClusterRun(jobs, settings_for(model), scheduler=cluster.address)
        with pytest.raises(UsageError, match="has no workers; start some"):
            list(run.events())
