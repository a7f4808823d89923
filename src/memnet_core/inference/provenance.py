"""What a result says of how it was made."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from memnet_core._version import __version__
from memnet_core.inference.scaling import AnscombeScaling
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io.core.provenance import Provenance
from memnet_core.tasks import AUTO, find_task

if TYPE_CHECKING:
    from memnet_core.inference.plan import RestorePlan
    from memnet_core.io.core.fingerprint import Fingerprint

__all__ = ["non_default_options", "provenance"]

_TOLD_OTHERWISE = {"task", "model", "nearest", "device"}
"""Settings that change no result, or only by the model, which is named by its hash."""


def non_default_options(settings: RestoreOptions, axes: str = "") -> dict[str, Any]:
    """Return what a result depends on besides task and model, if not the default.

    Parameters
    ----------
    settings : RestoreOptions
        What was asked for.
    axes : str
        Axes of the source, instead of those that it tells.
    """
    defaults = asdict(RestoreOptions(task=settings.task))
    asked = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(settings).items()
        if value != defaults[name] and name not in _TOLD_OTHERWISE
    }
    if settings.task == AUTO:
        return asked | {"task": AUTO} | ({"axes": axes} if axes else {})
    task = find_task(settings.task)
    if not task.needs_clean:
        asked.pop("clean", None)
    if not (task.undoes_jpeg or (task.needs_clean and settings.clean)):
        asked.pop("consistency", None)
    return asked | ({"axes": axes} if axes else {})


def provenance(
    decision: RestorePlan,
    settings: RestoreOptions,
    axes: str = "",
    source: Fingerprint | None = None,
) -> Provenance:
    """Return the provenance of a result that is made by a decision.

    Parameters
    ----------
    decision : RestorePlan
        How it is made.
    settings, axes
        As for `non_default_options`.
    source : Fingerprint, optional
        What it is made of.
    """
    ranges = [c.scaling and (c.scaling.low, c.scaling.high) for c in decision.channels]
    noises = [
        (s.gain, s.black, s.read_noise) if isinstance(s, AnscombeScaling) else None
        for s in (channel.scaling for channel in decision.channels)
    ]
    return Provenance(
        memnet=__version__,
        task=decision.task,
        model=decision.entry().card.name,
        sha256=decision.checksum,
        levels=tuple(channel.level for channel in decision.channels),
        ranges=tuple(ranges),
        photons=tuple(noises) if any(noises) else (),
        options=non_default_options(settings, axes),
        before=tuple(
            provenance(plan, RestoreOptions(task=plan.task)) for plan in decision.before
        ),
        source=source,
    )
