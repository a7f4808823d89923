"""Where the result of each input goes."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memnet_core._util.atomic_write import remove_abandoned
from memnet_core._util.sanitize import listed
from memnet_core.batch.expand import joined_sources, parts_of
from memnet_core.batch.staleness import Judge
from memnet_core.errors import UsageError
from memnet_core.io import Probe, format_of_suffix, probe, suffix_of_format
from memnet_core.io.core.errors import reading
from memnet_core.io.core.fingerprint import fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from memnet_core.batch.inputs import Source
    from memnet_core.inference.settings import Settings
    from memnet_core.io.core.fingerprint import Fingerprint

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
    root : Path, optional
        The output folder, which links inside of it do not lead out of.
    scene : int, optional
        Which image of the source; all of them by default.
    inside : str
        Where the output lies in a collection of images, such as ``A/1/0``; empty if it
        lies in none.
    remarks : tuple of str
        What is to be said of it, whatever becomes of it.
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
    root: Path | None = None
    stale: str = ""
    version: Fingerprint | None = None
    scene: int | None = None
    inside: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called among the others: images of collections by their place."""
        if not self.inside:
            return self.source.name
        depth = self.inside.count("/") + 1
        return f"{self.output.parents[depth - 1].name}/{self.inside}"

    @property
    def by_shards(self) -> bool:
        """Whether the output is made by shards, as images of collections are."""
        return bool(self.inside) or format_of_suffix(self.output).by_shards

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
    """Give every source an output of its own, or one for each of its images.

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
    joined = joined_sources(sources)
    sources = [source for source, _ in joined]
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
        _planned(part, judge, update)
        for (source, others), output in zip(joined, outputs, strict=True)
        for part in parts_of(
            Job(
                source.path,
                output,
                overwrite=overwrite,
                axes=axes,
                root=folder,
                remarks=_told(others),
            )
        )
    ]


def _told(others: Sequence[Path]) -> tuple[str, ...]:
    """Say of which other files a result holds the planes."""
    names = listed([path.name for path in others])
    return (f"with the planes of {names}",) if names else ()


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
        header = probe(job.source, scene=job.scene)
        return replace(job, header=header, version=known)
    except Exception:  # noqa: BLE001 - one bad file is its own FAILED line later
        return job


def _outputs(sources: Sequence[Source], folder: Path, file_format: str) -> list[Path]:
    plain = [
        folder / _renamed(s.relative, suffix_of_format(file_format, s.relative))
        for s in sources
    ]
    crowded = {key for key, count in _counts(plain).items() if count > 1}
    outputs = [
        output.with_name(source.relative.name + output.suffix)
        if _key(output) in crowded and source.relative.suffix != output.suffix
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
