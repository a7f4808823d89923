"""Inputs that hold several images, and images that lie in several inputs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memnet_core.io import (
    format_of_suffix,
    is_image_folder,
    is_set_member,
    open_scenes,
    set_members,
)
from memnet_core.io.core.opened import OpenedFile
from memnet_core.io.registry import format_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from memnet_core.batch.inputs import InputFile
    from memnet_core.batch.jobs import Job
    from memnet_core.io import Probe
    from memnet_core.io.core.fingerprint import Fingerprint

__all__ = ["Survey", "expand_scenes", "group_ome_filesets", "survey"]


@dataclass(frozen=True)
class Survey:
    """What one look at an input tells the plan; nothing of a folder or a broken file.

    Attributes
    ----------
    members : tuple of Path
        The other files with planes of its images.
    header : Probe, optional
        What its header says.
    outline : Fingerprint, optional
        Its size and ends.
    """

    members: tuple[Path, ...] = ()
    header: Probe | None = None
    outline: Fingerprint | None = None


def survey(path: Path) -> Survey:
    """Open an input once and note what the plan needs to know of it."""
    try:
        with OpenedFile(path) as file:
            if not file.head:  # a folder
                return Survey()
            members, outline = set_members(path, file), file.outline
            try:
                kind = format_of(file)
                # The header of a movie takes a decoder; most need none to be planned.
                header = None if kind.on_request else kind.probe(file)
            except Exception:  # noqa: BLE001 - one bad file is its own FAILED line later
                header = None
            return Survey(members, header, outline)
    except (OSError, ValueError):
        return Survey()


def group_ome_filesets(
    sources: Sequence[InputFile],
) -> list[tuple[InputFile, Survey]]:
    """Return each input that begins an image, with what is known of it.

    The first file of a set of OME-TIFFs stands for all; its result holds every plane.
    """
    surveys: dict[InputFile, Survey] = {}
    owners: dict[str, InputFile] = {}
    for source in sources:
        if not _is_claimed(source, owners):
            surveys[source] = survey(source.path)
            for member in surveys[source].members:
                owners.setdefault(os.path.abspath(member), source)
    return [
        (source, surveys.get(source, Survey()))
        for source in sources
        if surveys.get(source, Survey()).members or not _is_claimed(source, owners)
    ]


def _is_claimed(source: InputFile, owners: Mapping[str, InputFile]) -> bool:
    """Whether another input names a file as a part of it, and the file agrees."""
    owner = owners.get(os.path.abspath(source.path))
    return owner is not None and is_set_member(source.path, owner.path)


def expand_scenes(job: Job, header: Probe | None = None) -> list[Job]:
    """Return the jobs that an input is: one for each image of a collection.

    A collection in OME-Zarr becomes one of the same tree, or a folder of files in
    another format. Scenes of a file become a collection in OME-Zarr; other formats have
    them in one file again, which is one job.

    Parameters
    ----------
    job : Job
        The input.
    header : Probe, optional
        What its header says; it is read if that is not known.
    """
    to_shards = format_of_suffix(job.output).by_shards
    if not (to_shards or is_image_folder(job.source)):
        return [job]
    if header and header.scenes == 1:
        return [job]
    try:
        with open_scenes(job.source) as scenes:
            names, are_folders = scenes.names, scenes.are_folders
            left_out = scenes.left_out
    except Exception:  # noqa: BLE001 - one bad file is its own FAILED line later
        return [job]
    if not are_folders and len(names) == 1:
        return [job]
    told = (*job.remarks, *(f"left out: {what}" for what in left_out))
    if are_folders and to_shards:
        parts = [
            replace(job, source=job.source / n, output=job.output / n, inside=n)
            for n in names
        ]
    elif are_folders:
        folder = job.output.with_name(job.output.stem.removesuffix(".ome"))
        suffix = job.output.suffix
        told = (*told, "attributes of the collection are not kept")
        parts = [
            replace(job, source=job.source / n, output=_with_suffix(folder / n, suffix))
            for n in names
        ]
    else:
        parts = [
            replace(job, output=job.output / str(n), inside=str(n), scene=n)
            for n in range(len(names))
        ]
    return [replace(parts[0], remarks=told), *parts[1:]]


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
