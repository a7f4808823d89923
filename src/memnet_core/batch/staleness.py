"""Whether a result that exists is the one that would be made now."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from memnet_core.errors import MemnetError
from memnet_core.inference.provenance import non_default_options
from memnet_core.io.core.fingerprint import is_same, last_change, looks_same
from memnet_core.io.core.provenance import provenance_of
from memnet_core.model.registry import choose_model
from memnet_core.tasks import Grain, find_task

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.batch.jobs import Job
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.io.core.fingerprint import Fingerprint
    from memnet_core.io.core.provenance import Provenance

__all__ = ["OutputState", "StalenessChecker"]

_ZARR_MARKS = ("zarr.json", ".zattrs")


@dataclass(frozen=True)
class OutputState:
    """What there is of a result.

    Attributes
    ----------
    state : str
        ``missing``; ``fresh``; ``stale``, if it would be another one now; or
        ``broken``, if it is empty or cannot be read.
    why : str
        What is the matter, as the end of a sentence.
    """

    state: Literal["missing", "fresh", "stale", "broken"]
    why: str = ""


@dataclass
class StalenessChecker:
    """Compares results with what would be made; reads the cards of models once.

    Attributes
    ----------
    settings : RestoreOptions, optional
        What is asked for now; None to look at the sources only.
    """

    settings: RestoreOptions | None
    _checksums: dict[tuple[str, float], frozenset[str]] = field(default_factory=dict)

    def state_of(self, job: Job, outline: Fingerprint | None = None) -> OutputState:
        """Return what there is of the result of a job.

        Results that do not tell how they were made, and those that may not be read,
        are stale only if their source is newer.

        Parameters
        ----------
        job : Job
            The source and its result.
        outline : Fingerprint, optional
            Size and ends of the source; they are read if they are not known.
        """
        if not os.path.exists(job.output):
            return OutputState("missing")
        try:
            made = provenance_of(job.output)
        except Exception as error:  # noqa: BLE001 - one bad result never stops a batch
            if not isinstance(error.__cause__, PermissionError):
                return OutputState("broken", f"it is not whole ({error})")
            made = None
        why = self._other_request(made, job) if made else ""
        why = why or _other_source(made, job, outline)
        return OutputState("stale", why) if why else OutputState("fresh")

    def _other_request(self, made: Provenance, job: Job) -> str:
        """Return in how far another task, model or settings are asked for now."""
        asked = self.settings
        if asked is None:
            return ""
        made_by = made.options.get("task", made.task)
        if made_by != asked.task:
            return f"it was made by another task ({made_by})"
        task = find_task(made.task)
        before, now = dict(made.options), non_default_options(asked, job.axes)
        before.pop("noise_grain", None)  # of earlier versions, which chose by it
        given, wanted = before.pop("level", None), now.pop("level", None)
        other_level = any(level != wanted for level in made.levels)
        if given if wanted is None else other_level:
            strongest = max(made.levels, key=task.level_map_value)
            return f"it was made for another level ({task.symbol} {strongest:g})"
        if before != now:
            names = sorted(n for n in before | now if before.get(n) != now.get(n))
            named = ", ".join(name.replace("_", " ") for name in names)
            return f"it was made with other settings ({named})"
        for step, model in ((made, asked.model), *((m, None) for m in made.before)):
            if step.sha256 not in self._served_by(step, model):
                return f"it was made with another model ({step.model})"
        return ""

    def _served_by(self, made: Provenance, model: str | None) -> frozenset[str]:
        """Return the hashes of the models that may be taken now; its own if none is.

        Whether its source has colors, and which noise, is known by its pixels only.
        """
        level = max(made.levels, key=find_task(made.task).level_map_value)
        key = made.task, level
        if key not in self._checksums:
            try:
                entries = [
                    choose_model(
                        made.task,
                        level,
                        model,
                        nearest=True,
                        colors=colors,
                        grain=grain,
                    )
                    for colors in (False, True)
                    for grain in get_args(Grain)
                ]
            except MemnetError:
                return frozenset({made.sha256})
            self._checksums[key] = frozenset(e.card.sha256 for e in entries)
        return self._checksums[key]


def _other_source(
    made: Provenance | None, job: Job, outline: Fingerprint | None
) -> str:
    """Return in how far the source is not the one of the result."""
    known = made.source if made else None
    try:
        if known and outline:
            same = (outline.bytes, outline.ends) == (known.bytes, known.ends)
        else:
            same = not known or looks_same(job.source, known)
        if not same:
            return "its source has changed since"
        # A time alone says nothing where the content is known and can be compared.
        comparable = known is not None and bool(known.sha256)
        changed = last_change(job.source, content=not comparable)
        if changed <= _made_at(job.output) or (known and is_same(job.source, known)):
            return ""
    except OSError:
        return ""
    return "its source has changed since" if comparable else "its source is newer"


def _made_at(output: Path) -> int:
    """Return when a file was written, or an image in a folder begun, in ns."""
    marks = [output / mark for mark in _ZARR_MARKS if (output / mark).is_file()]
    return min(path.stat().st_mtime_ns for path in marks or [output])
