"""Where the result of each input goes."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memnet_core.atomic import remove_abandoned
from memnet_core.batch.freshness import Judge
from memnet_core.errors import ImageError, UsageError
from memnet_core.io import Probe, probe, suffix_of_format
from memnet_core.io.faults import reading
from memnet_core.io.fingerprint import fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from memnet_core.batch.inputs import Source
    from memnet_core.io.fingerprint import Fingerprint
    from memnet_core.restoration.settings import Settings

__all__ = ["Job", "plan_jobs"]


@dataclass(frozen=True)
class Job:
    """One file to restore.

    Attributes
    ----------
    source, output : Path
        Files to read and to write.
    header : Probe, optional
        What the source's header says; None if it cannot be read.
    skip : bool
        Whether the output exists and stays as it is.
    overwrite : bool
        Whether to redo it if it exists.
    axes : str
        Axes of the source, instead of those that it tells.
    stale : str
        What is the matter with an output that exists, as the end of a sentence.
    version : Fingerprint, optional
        Of a source that is a folder, the files that it had when the job was planned:
        what is missing afterwards was there.
    """

    source: Path
    output: Path
    header: Probe | None = None
    skip: bool = False
    overwrite: bool = False
    axes: str = ""
    stale: str = ""
    version: Fingerprint | None = None

    @property
    def megapixels(self) -> float:
        """Pixels of the input in millions, 0 where they are not known."""
        return self.header.megapixels if self.header else 0.0


def plan_jobs(
    sources: Sequence[Source],
    folder: Path,
    file_format: str,
    *,
    overwrite: bool,
    update: bool = False,
    settings: Settings | None = None,
    axes: str = "",
) -> list[Job]:
    """Give every source an output of its own.

    Stems are kept. Where two sources would share an output, those whose suffix
    changes keep it within the name: ``a.jpg`` beside ``a.png`` becomes ``a.jpg.png``.

    Parameters
    ----------
    sources : sequence of Source
        What to restore.
    folder : Path
        The output folder.
    file_format : str
        A format as in `memnet_core.io.suffix_of_format`.
    overwrite : bool
        Whether to redo outputs that exist.
    update : bool
        Whether to redo those that are out of date. Those that are empty or cannot be
        read are redone in any case.
    settings : Settings, optional
        How sources are restored; what was made otherwise is out of date.
    axes : str
        Axes of all sources, instead of those that they tell.

    Raises
    ------
    UsageError
        If two sources cannot be told apart, or an output would replace a source.
    """
    outputs = _outputs(sources, folder, file_format)
    known = {os.path.realpath(source.path): source.path for source in sources}
    for output in outputs:
        if (real := os.path.realpath(output)) in known:
            raise UsageError(
                f"{known[real]} would be replaced by its result; choose another "
                "output folder."
            )
    for parent in {output.parent for output in outputs}:
        remove_abandoned(parent)  # which may put a result back to its place
    judge = Judge(settings)
    return [
        _planned(
            Job(source.path, output, overwrite=overwrite, axes=axes), judge, update
        )
        for source, output in zip(sources, outputs, strict=True)
    ]


def _planned(job: Job, judge: Judge, update: bool) -> Job:
    """Look at a source's header, unless there is nothing to do."""
    if not job.overwrite:
        found = judge.standing(job)
        redone = found.state == "broken" or (found.state == "stale" and update)
        skip = found.state != "missing" and not redone
        job = replace(job, skip=skip, overwrite=redone, stale=found.why)
    if job.skip:
        return job
    try:
        with reading(job.source):
            known = fingerprint_of(job.source) if os.path.isdir(job.source) else None
        return replace(job, header=probe(job.source), version=known)
    except ImageError:
        return job


def _outputs(sources: Sequence[Source], folder: Path, file_format: str) -> list[Path]:
    plain = [
        folder / _renamed(s.relative, suffix_of_format(file_format, s.path))
        for s in sources
    ]
    crowded = {key for key, count in _counts(plain).items() if count > 1}
    outputs = [
        output.with_name(source.path.name + output.suffix)
        if _key(output) in crowded and source.path.suffix != output.suffix
        else output
        for source, output in zip(sources, plain, strict=True)
    ]
    counts = _counts(outputs)
    for output in outputs:
        if counts[_key(output)] > 1:
            first, second, *_ = (
                source.path
                for source, other in zip(sources, outputs, strict=True)
                if _key(other) == _key(output)
            )
            raise UsageError(
                f"{first} and {second} would both become {output}; restore them into "
                "different folders, or use --recursive on a common folder."
            )
    return outputs


def _renamed(path: Path, suffix: str) -> Path:
    """Exchange a suffix; that of OME-Zarr takes the place of all of ``.ome.tif``."""
    if suffix == path.suffix or not suffix.startswith(".ome"):
        return path.with_suffix(suffix)
    return path.with_suffix("").with_name(path.stem.removesuffix(".ome") + suffix)


def _counts(paths: Iterable[Path]) -> Counter[str]:
    return Counter(map(_key, paths))


def _key(path: Path) -> str:
    """Return what file systems that ignore case go by."""
    return str(path).casefold()
