"""A result that many processes make: one plan, one shard at a time.

The result grows in a hidden folder beside its place, where any number of processes,
also of several runs, work on it. A shard is written by whoever holds its lock, as a
whole, and then marked as done; the rest of the run, or the next one, does what is not
marked. At the end the image is renamed to its place.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memnet_core._util.atomic_write import (
    hidden_sibling,
    make_folder,
    mark,
    place_folder,
    remove_abandoned,
    sync_tree,
    temporary_folder,
)
from memnet_core._version import __version__
from memnet_core.errors import ImageError
from memnet_core.inference.plan import RestorePlan
from memnet_core.inference.provenance import provenance
from memnet_core.inference.scaling import scaling_of
from memnet_core.inference.steps import plan_chain
from memnet_core.io.api import scenes_of
from memnet_core.io.core.errors import wrap_read_errors
from memnet_core.io.core.fingerprint import fingerprint_of
from memnet_core.io.core.opened import OpenedFile
from memnet_core.io.core.scenes import chosen_image
from memnet_core.io.zarr.image import (
    ZarrLayout,
    create_ome_zarr,
    layout_for,
    stored_bytes,
    sync_block,
    unsupported_metadata,
)
from memnet_core.sources.sampling import sampled_blocks, sampled_planes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memnet_core.batch.jobs import Job
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.io import ImageFile

__all__ = [
    "SharedPlan",
    "SharedResult",
    "is_being_made",
    "join_or_create",
    "remove_leftovers",
    "work_folder",
]

_PLAN = "plan.json"


class SharedPlan(BaseModel):
    """What all processes that make a result have to agree on.

    Attributes
    ----------
    request : dict
        What was asked for; a plan serves no other request.
    token : str
        Tells apart results that are made one after the other.
    decision : RestorePlan
        How it is restored.
    layout : ZarrLayout
        Arrays of the result.
    dtype : str
        Type of a sample.
    dropped : tuple of str
        What of the source cannot be kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: dict[str, Any]
    token: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    decision: RestorePlan
    layout: ZarrLayout
    dtype: str
    dropped: tuple[str, ...]


class SharedResult:
    """The folder in which a result is made.

    Parameters
    ----------
    folder : Path
        It exists, as long as the result is not complete.

    Raises
    ------
    FileNotFoundError
        If the result is complete, or was never begun.
    ImageError
        If the plan in the folder is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text = (folder / _PLAN).read_bytes()
        try:
            self.plan = SharedPlan.model_validate_json(text)
        except ValidationError as error:
            raise self._unreadable() from error

    def check_source(self, source: ImageFile) -> None:
        """Check that the plan is one for a source, and that this has not changed.

        Raises
        ------
        ImageError
            If it is not.
        """
        plan = self.plan
        planned = plan.layout, plan.dtype, len(plan.decision.channels)
        layout = layout_for(source, plan.decision.scale)
        if planned != (layout, str(source.dtype), source.channels):
            raise self._unreadable()
        self.check_version(source.path)

    @property
    def image(self) -> Path:
        """The image in the making."""
        return self.folder / "image"

    @property
    def levels(self) -> range:
        """Levels of the image, the full resolution first."""
        return range(len(self.plan.layout.shapes))

    @property
    def total(self) -> int:
        """Number of shards of all levels."""
        return sum(map(self.plan.layout.blocks, self.levels))

    def is_done(self, level: int, index: int) -> bool:
        """Whether a shard is written, or the whole image complete."""
        return self._mark(level, index).exists() or self.is_complete()

    def is_complete(self) -> bool:
        """Whether the image is complete and at its place."""
        return self._is_closed() or not self.image.exists()

    def _is_closed(self) -> bool:
        """Whether the run that placed the image, or another one, cleared away."""
        return not (self.folder / self.plan.token).exists()

    def remaining(self, level: int) -> list[int]:
        """Return the shards of a level that are not written."""
        if self.is_complete():
            return []
        blocks = range(self.plan.layout.blocks(level))
        return [i for i in blocks if not self._mark(level, i).exists()]

    def mark_done(self, level: int, index: int) -> None:
        """Note that a shard is written, once it is on the disk."""
        size = sync_block(self.image, level, self.plan.layout.block(level, index))
        path = self._mark(level, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        mark(path, str(size))

    def check_marks(self) -> None:
        """Take back the marks of shards that are not on the disk as they were written.

        A disk can lose them in a crash all the same, and people can delete them.
        """
        for level in self.levels:
            for index in range(self.plan.layout.blocks(level)):
                path = self._mark(level, index)
                with suppress(FileNotFoundError):
                    block = self.plan.layout.block(level, index)
                    if path.read_text() != str(stored_bytes(self.image, level, block)):
                        path.unlink()

    def check_version(self, source: Path) -> None:
        """Check that a source is the one that was begun with, if it still is there.

        Raises
        ------
        ImageError
            If it is not.
        """
        with suppress(FileNotFoundError):
            if self.plan.request.get("changed") != _version(source):
                raise ImageError(
                    f"{source} was changed, or files of it are missing, since "
                    f"{self.folder} was begun; restore the input, or delete that "
                    "folder.",
                    path=source,
                )

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
        with suppress(Timeout, FileNotFoundError):
            lock.acquire()
        try:
            yield lock.is_locked
        finally:
            lock.release()
            # The lock may have made a folder anew that another run had removed.
            _remove_without(self.folder, _PLAN)

    def finish(self, output: Path, *, overwrite: bool) -> None:
        """Put the complete image at its place, unless another run was faster.

        Raises
        ------
        ImageError
            If that is not possible.
        """
        with self.claimed("finish", wait=True) as held:
            if not held or self._is_closed():
                return
            # Without an image, a run was killed after it had placed that.
            if self.image.exists() or not output.exists():
                self._place(output, overwrite=overwrite)
            # In this order a run that is killed in between leaves nothing to join. A
            # run that finds the image at its place clears away, too.
            (self.folder / _PLAN).unlink(missing_ok=True)
            (self.folder / self.plan.token).unlink(missing_ok=True)

    def _place(self, output: Path, *, overwrite: bool) -> None:
        """Move the image to its place, from which an older one is taken away."""
        for left in self.image.rglob("*.partial"):
            left.unlink(missing_ok=True)
        try:
            place_folder(self.image, output, overwrite=overwrite)
        except OSError as error:
            raise ImageError(
                f"{output} cannot be written: {error.strerror}."
            ) from error

    def _unreadable(self) -> ImageError:
        return ImageError(
            f"{self.folder} holds an unfinished result whose plan cannot be read; "
            "delete that folder to begin anew.",
            path=self.folder,
        )

    def _mark(self, level: int, index: int) -> Path:
        # Folders of a thousand: file systems slow down with many more names in one.
        return self.folder / "done" / str(level) / str(index // 1000) / str(index)


def is_being_made(output: Path) -> bool:
    """Whether there is a plan of a result, which any run can join."""
    return (work_folder(output) / _PLAN).exists()


def work_folder(output: Path) -> Path:
    """Return the folder in which an image is made."""
    return hidden_sibling(output, ".memnet")


def remove_leftovers(output: Path) -> None:
    """Remove what is left of making a result that was moved to its place already.

    A power cut can undo the removal; a run that is at it finds that another one did.
    """
    _remove_without(work_folder(output), "image")


def _remove_without(folder: Path, name: str) -> None:
    """Remove a folder unless there is a file of a name in it.

    It stays open meanwhile: what another run places at its path is another one, and
    what is placed has a plan and an image from the start.
    """
    if not shutil.rmtree.avoids_symlink_attacks:  # Windows
        if not (folder / name).exists():
            shutil.rmtree(folder, ignore_errors=True)
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            entries = os.listdir(handle)
            if name in entries:
                return
            # Without its plan nobody joins what is left of it.
            for entry in sorted(entries, key=lambda entry: entry != _PLAN):
                try:
                    os.unlink(entry, dir_fd=handle)
                except OSError:
                    shutil.rmtree(entry, ignore_errors=True, dir_fd=handle)
        finally:
            os.close(handle)
        os.rmdir(folder)


def join_or_create(job: Job, settings: RestoreOptions) -> SharedResult:
    """Plan a result, or join those who make it already.

    Raises
    ------
    MemnetError
        If the source cannot be read, no model serves, the folder cannot be written,
        or an unfinished result of another request is in the way.
    FileNotFoundError
        If another run completed the result meanwhile.
    """
    folder = work_folder(job.output)
    if folder.is_symlink():
        raise ImageError(
            f"{folder} is a link, where a result would be made; delete it.", path=folder
        )
    with ExitStack() as opened:
        with wrap_read_errors(job.source):
            file = opened.enter_context(OpenedFile(job.source))
        scenes = opened.enter_context(scenes_of(file))
        source = opened.enter_context(chosen_image(scenes, job.axes, job.scene))
        request = _request(job, settings)
        if not os.path.exists(folder / _PLAN):
            plan = _planned(request, source, settings)
            told = provenance(plan.decision, settings, job.axes, file.fingerprint)
            source.metadata = replace(source.metadata, provenance=str(told))
            _make(folder, plan, source, job.root)
    work = SharedResult(folder)
    known = work.plan.request.get("settings", {})
    # Earlier versions chose the model by the grain of the noise.
    known.pop("noise_grain", None)
    for row in fields(settings):  # what an earlier version did not know was not asked
        if row.name in request["settings"]:
            known.setdefault(row.name, row.default)
    if work.plan.request != request:
        raise ImageError(
            f"{folder} holds an unfinished result of other settings or of another "
            "version of the input; finish it or delete that folder.",
            path=folder,
        )
    return work


def _planned(
    request: dict[str, Any], source: ImageFile, settings: RestoreOptions
) -> SharedPlan:
    decision = plan_chain(source, settings)
    return SharedPlan(
        request=request,
        token=secrets.token_hex(8),
        decision=decision,
        layout=layout_for(source, decision.scale),
        dtype=str(source.dtype),
        dropped=unsupported_metadata(source),
    )


def _make(folder: Path, plan: SharedPlan, source: ImageFile, root: Path | None) -> None:
    """Make the folder with everything but the pixels; the first one to do so wins."""
    make_folder(folder.parent, root)
    remove_abandoned(folder.parent)
    display = None
    if source.metadata.calibration.channel_names:
        display = _display_range(source)
    try:
        with temporary_folder(folder) as temporary:
            (temporary / "locks").mkdir()
            image = temporary / "image"
            create_ome_zarr(image, source, plan.layout, plan.decision.scale, display)
            (temporary / plan.token).touch()
            (temporary / _PLAN).write_text(plan.model_dump_json())
            sync_tree(temporary)
            _remove_without(folder, _PLAN)
            place_folder(temporary, folder, overwrite=False)
    except OSError as error:
        raise ImageError(
            f"the folder {folder} cannot be made: {error.strerror}."
        ) from error


def _display_range(source: ImageFile) -> tuple[float, float, float, float]:
    """Return lowest and highest possible value, and those that are mostly there."""
    blocks = sampled_blocks(source, sampled_planes(source, 0))
    shown = scaling_of(blocks, source.dtype, "percentile")
    empty = [np.zeros((1, 1, 1), source.dtype)]
    whole = scaling_of(empty, source.dtype, "dtype")
    return whole.low, whole.high, shown.low, shown.high


def _request(job: Job, settings: RestoreOptions) -> dict[str, Any]:
    """Return what decides over the result, as JSON gives it back."""
    asked = asdict(settings)
    del asked["device"]
    for name, value in asked.items():
        if isinstance(value, tuple):
            asked[name] = [*value]
    return {
        "memnet": __version__,
        "source": os.path.abspath(job.source),
        "axes": job.axes,
        "scene": job.scene,
        "changed": _version(job.source),
        "settings": asked,
    }


def _version(source: Path) -> list[int | str]:
    """Return what tells quickly that a source has changed: of a folder, all names."""
    if source.is_dir():
        known = fingerprint_of(source)
        return [known.bytes, known.ends]
    return [source.stat().st_mtime_ns]
