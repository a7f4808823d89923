"""Where the result of each input goes."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from memnet_core._util.atomic_write import remove_abandoned
from memnet_core._util.sanitize import join_limited
from memnet_core.batch.inputs import expand_scenes, group_ome_filesets
from memnet_core.batch.jobs import Job
from memnet_core.batch.shared_output import remove_leftovers
from memnet_core.batch.staleness import StalenessChecker
from memnet_core.errors import SettingRef, UsageError
from memnet_core.io import probe, suffix_of_format
from memnet_core.io.core.errors import wrap_read_errors
from memnet_core.io.core.fingerprint import fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from memnet_core.batch.inputs import InputFile, Survey
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["plan_jobs"]


def plan_jobs(
    sources: Sequence[InputFile],
    folder: Path,
    file_format: str,
    *,
    overwrite: bool,
    update: bool = False,
    settings: RestoreOptions | None = None,
    axes: str = "",
) -> list[Job]:
    """Give every source an output of its own, or one for each of its images.

    Stems are kept. Where two sources would share an output, those whose suffix
    changes keep it within the name: ``a.jpg`` beside ``a.png`` becomes ``a.jpg.png``.
    Where that does not tell them apart, as by case only, they are numbered.

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
    settings : RestoreOptions, optional
        How sources are restored; what was made otherwise is out of date.
    axes : str
        Axes of all sources, instead of those that they tell.

    Raises
    ------
    UsageError
        If sources of different folders would share an output, or an output would
        replace a source.
    """
    joined = group_ome_filesets(sources)
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
    judge = StalenessChecker(settings)
    return [
        _planned(part, judge, update, found)
        for (source, found), output in zip(joined, outputs, strict=True)
        for part in expand_scenes(
            Job(
                source.path,
                output,
                overwrite=overwrite,
                axes=axes,
                root=folder,
                remarks=_told(found.members),
            ),
            found.header,
        )
    ]


def _told(others: Sequence[Path]) -> tuple[str, ...]:
    """Say of which other files a result holds the planes."""
    names = join_limited([path.name for path in others])
    return (f"with the planes of {names}",) if names else ()


def _planned(job: Job, judge: StalenessChecker, update: bool, known: Survey) -> Job:
    """Compare a result with what would be made; note the header of its source."""
    if not job.overwrite:
        found = judge.state_of(job, known.outline)
        redone = found.state == "broken" or (found.state == "stale" and update)
        skip = found.state != "missing" and not redone
        job = replace(job, skip=skip, overwrite=redone, stale=found.why)
    if job.skip:
        remove_leftovers(job.output)
        return job
    if known.header and job.scene is None:
        return replace(job, header=known.header)
    try:
        with wrap_read_errors(job.source):
            files = fingerprint_of(job.source) if os.path.isdir(job.source) else None
        header = probe(job.source, scene=job.scene)
        return replace(job, header=header, version=files)
    except Exception:  # noqa: BLE001 - one bad file is its own FAILED line later
        return job


def _outputs(
    sources: Sequence[InputFile], folder: Path, file_format: str
) -> list[Path]:
    plain = [
        folder / _renamed(s.relative, suffix_of_format(file_format, s.relative))
        for s in sources
    ]
    outputs = plain
    for _ in range(2):  # a full name can be the one that another file has already
        crowded = {key for key, count in _counts(outputs).items() if count > 1}
        outputs = [
            output.with_name(source.relative.name + output.suffix)
            if _key(output) in crowded and source.relative.suffix != output.suffix
            else output
            for source, output in zip(sources, outputs, strict=True)
        ]
    return _numbered(sources, outputs)


def _numbered(sources: Sequence[InputFile], outputs: list[Path]) -> list[Path]:
    """Give numbers to files of one folder whose names differ only by case.

    The file whose name its output has keeps it; the others follow by name, so that
    every run gives the same numbers.
    """
    holders: dict[str, InputFile] = {}
    pairs = sorted(
        zip(sources, outputs, range(len(outputs)), strict=True),
        key=lambda pair: (pair[1].name != pair[0].path.name, str(pair[0].path)),
    )
    taken = set(map(_key, outputs))
    for source, output, place in pairs:
        holder = holders.setdefault(_key(output), source)
        if holder is source:
            continue
        if holder.path.parent != source.path.parent:
            recursive = SettingRef("recursive", True)
            raise UsageError(
                f"{holder.path} and {source.path} would both become {output}; restore "
                f"them into different folders, or use {recursive} on a common folder.",
                settings=[recursive],
            )
        number = 2
        while _key(free := _with_number(output, number)) in taken:
            number += 1
        taken.add(_key(free))
        outputs[place] = free
    return outputs


def _with_number(output: Path, number: int) -> Path:
    return output.with_name(f"{output.stem}-{number}{output.suffix}")


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
