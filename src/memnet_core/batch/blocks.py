"""An OME-Zarr result in the making: one plan, many processes, one shard at a time.

The result grows in a hidden folder beside its place, where any number of processes,
also of several runs, work on it. A shard is written by whoever holds its lock, as a
whole, and then marked as done; the rest of the run, or the next one, does what is not
marked. At the end the image is renamed to its place.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core._version import __version__
from memnet_core.atomic import (
    mark,
    place_folder,
    remove_abandoned,
    sync_tree,
    temporary_folder,
)
from memnet_core.batch.folders import make_folder
from memnet_core.batch.stacks import find_values
from memnet_core.errors import ImageError, ModelError
from memnet_core.io import PlaneCrops, open_stack
from memnet_core.io.ome_zarr import ZarrLayout, create_ome_zarr, layout_for
from memnet_core.model.zoo import Entry, find_model
from memnet_core.values import stack_range, value_range

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from memnet_core.batch.events import ModelReady
    from memnet_core.batch.models import LoadedModels
    from memnet_core.batch.plan import Job
    from memnet_core.batch.settings import BatchSettings
    from memnet_core.io import Stack

__all__ = ["BlockPlan", "BlockWork", "begin", "work_folder"]

_PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """What all processes that make a result have to agree on.

    Attributes
    ----------
    request : dict
        What was asked for; a plan serves no other request.
    token : str
        Tells apart results that are made one after the other.
    source : str
        File or folder to read.
    model, checksum : str
        Name of the model, or its file if it did not come with the package, and the
        SHA-256 of its weights.
    level : float
        Degradation level.
    remark : str
        How level and range were found.
    values : (float, float), optional
        What becomes 0 and 1; None for the percentiles of each plane.
    tile : (int, int)
        Height and width of tiles, so that results are the same bit by bit wherever
        they are computed.
    layout : ZarrLayout
        Arrays of the result.
    dtype : str
        Type of a sample.
    dropped : tuple of str
        What of the source cannot be kept.
    """

    request: dict[str, Any]
    token: str
    source: str
    model: str
    checksum: str
    level: float
    remark: str
    values: tuple[float, float] | None
    tile: tuple[int, int]
    layout: ZarrLayout
    dtype: str
    dropped: tuple[str, ...]


class BlockWork:
    """The folder in which a result is made.

    Parameters
    ----------
    folder : Path
        It exists, as long as the result is not complete.

    Raises
    ------
    FileNotFoundError
        If the result is complete, or was never begun.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = _plan_of(json.loads((folder / _PLAN).read_text()))

    def model(self) -> Entry:
        """Return the model of the plan.

        Raises
        ------
        ModelError
            If it is not the one that the result was begun with.
        """
        entry = find_model(self.plan.model)
        if entry.card.sha256 != self.plan.checksum:
            raise ModelError(
                f"The model {self.plan.model} is not the one that {self.folder} was "
                "begun with; install that one, or delete the folder."
            )
        return entry

    @property
    def image(self) -> Path:
        """The image in the making."""
        return self.folder / "image"

    @property
    def levels(self) -> range:
        """Levels of the image, the full resolution first."""
        return range(len(self.plan.layout.shapes))

    def blocks(self, level: int) -> range:
        """Return the shards of a level."""
        return range(self.plan.layout.blocks(level))

    def is_done(self, level: int, index: int) -> bool:
        """Whether a shard is written, or the whole image complete."""
        return self._mark(level, index).exists() or self.is_complete()

    def is_complete(self) -> bool:
        """Whether the image is complete and at its place."""
        return not (self.folder / self.plan.token).exists()

    def remaining(self, level: int) -> list[int]:
        """Return the shards of a level that are not written."""
        if self.is_complete():
            return []
        return [i for i in self.blocks(level) if not self._mark(level, i).exists()]

    def mark_done(self, level: int, index: int) -> None:
        """Note that a shard is written."""
        path = self._mark(level, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        mark(path)

    @contextmanager
    def claimed(self, name: str, *, wait: bool) -> Iterator[bool]:
        """Hold a lock that ends with the process at the latest.

        Parameters
        ----------
        name : str
            What is claimed.
        wait : bool
            Whether to wait for a process that holds it.

        Yields
        ------
        bool
            Whether the lock is held.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / "locks" / name, timeout=-1 if wait else 0)
        try:
            lock.acquire()
        except (Timeout, FileNotFoundError):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()
            if not (self.folder / _PLAN).exists():
                shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, output: Path, *, overwrite: bool) -> None:
        """Put the complete image at its place, unless another run was faster.

        Raises
        ------
        ImageError
            If that is not possible.
        """
        with self.claimed("finish", wait=True) as held:
            if not held or self.is_complete():
                return
            if overwrite or not output.exists():
                self._place(output)
            (self.folder / self.plan.token).unlink()
            (self.folder / _PLAN).unlink()

    def _place(self, output: Path) -> None:
        """Move the image to its place, from which an older one is taken away."""
        for left in self.image.rglob("*.partial"):
            left.unlink(missing_ok=True)
        try:
            place_folder(self.image, output, overwrite=True)
        except OSError as error:
            raise ImageError(
                f"{output} cannot be written: {error.strerror}."
            ) from error

    def _mark(self, level: int, index: int) -> Path:
        return self.folder / "done" / str(level) / str(index // 1000) / str(index)


def work_folder(output: Path) -> Path:
    """Return the folder in which an image is made."""
    return output.with_name(f".{output.name}.memnet")


def begin(
    job: Job, settings: BatchSettings, models: LoadedModels
) -> Generator[ModelReady, None, BlockWork]:
    """Plan a result, or join those who make it already.

    Raises
    ------
    MemnetError
        If the source cannot be read, no model serves, the folder cannot be written,
        or an unfinished result of another request is in the way.
    """
    folder = work_folder(job.output)
    with open_stack(job.source, settings.axes) as stack:
        request = _request(job.source, settings)
        if not (folder / _PLAN).exists():
            plan = yield from _planned(request, stack, job, settings, models)
            _make(folder, plan, stack, settings)
    work = BlockWork(folder)
    if work.plan.request != request:
        raise ImageError(
            f"{folder} holds an unfinished result of other settings or of another "
            "version of the input; finish it or delete that folder."
        )
    yield from models.load(work.model())
    return work


def _planned(
    request: dict[str, Any],
    stack: Stack,
    job: Job,
    settings: BatchSettings,
    models: LoadedModels,
) -> Generator[ModelReady, None, BlockPlan]:
    found, values = find_values(stack, settings.task)
    entry = settings.choose(found.level)
    restorer = yield from models.load(entry)
    kept = stack.metadata
    lost = [*kept.page.dropped]
    names = {"OME metadata": kept.ome_xml, "ImageJ metadata": kept.imagej}
    lost += [f"{n} besides pixel sizes and names" for n, text in names.items() if text]
    page = {"ICC profile": kept.page.icc, "EXIF": kept.page.exif, "XMP": kept.page.xmp}
    lost += [f"{name} (not written to OME-Zarr)" for name, held in page.items() if held]
    return BlockPlan(
        request=request,
        token=secrets.token_hex(8),
        source=os.path.abspath(job.source),
        model=entry.card.name if entry.is_shipped else os.path.abspath(entry.path),
        checksum=entry.card.sha256,
        level=found.level,
        remark=found.remark,
        values=(values.low, values.high) if values else None,
        tile=restorer.tile_size(),
        layout=layout_for(stack, settings.task.scale),
        dtype=str(stack.dtype),
        dropped=tuple(lost),
    )


def _make(folder: Path, plan: BlockPlan, stack: Stack, settings: BatchSettings) -> None:
    """Make the folder with everything but the pixels; the first one to do so wins."""
    make_folder(folder.parent)
    remove_abandoned(folder.parent)
    display = None
    if stack.metadata.calibration.channel_names:
        shown = stack_range(PlaneCrops(stack), "percentile")
        whole = value_range(np.zeros((1, 1, 1), stack.dtype), "dtype")
        display = (whole.low, whole.high, shown.low, shown.high)
    try:
        with temporary_folder(folder) as temporary:
            (temporary / "locks").mkdir(parents=True)
            scale = settings.task.scale
            create_ome_zarr(temporary / "image", stack, plan.layout, scale, display)
            (temporary / plan.token).touch()
            (temporary / _PLAN).write_text(json.dumps(asdict(plan)))
            sync_tree(temporary)
            if not (folder / _PLAN).exists():
                shutil.rmtree(folder, ignore_errors=True)
            place_folder(temporary, folder, overwrite=False)
    except OSError as error:
        raise ImageError(
            f"the folder {folder} cannot be made: {error.strerror}."
        ) from error


def _request(source: Path, settings: BatchSettings) -> dict[str, Any]:
    """Return what decides over the result, as JSON gives it back."""
    asked = asdict(settings)
    del asked["device"]
    stamps = [
        path.stat().st_mtime_ns
        for path in (source, source / "zarr.json", source / ".zattrs")
        if path.is_file()
    ]
    described = {
        "memnet": __version__,
        "source": os.path.abspath(source),
        "changed": stamps,
        "settings": asked,
    }
    request: dict[str, Any] = json.loads(json.dumps(described))
    return request


def _plan_of(described: dict[str, Any]) -> BlockPlan:
    layout = described["layout"]
    described["layout"] = ZarrLayout(
        axes=layout["axes"],
        shapes=tuple(map(tuple, layout["shapes"])),
        chunk=tuple(layout["chunk"]),
        shard=tuple(layout["shard"]),
    )
    for name in ("values", "tile", "dropped"):
        if described[name] is not None:
            described[name] = tuple(described[name])
    return BlockPlan(**described)
