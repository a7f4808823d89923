"""Jobs of a batch: one output of one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memnet_core.io import Probe, format_of_suffix

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.io.core.fingerprint import Fingerprint

__all__ = ["Job"]


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
