"""A decision and the engine that carries it out; engines are loaded once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memnet_core.errors import ModelError
from memnet_core.inference.engine import Engine
from memnet_core.inference.plan import Decision, decide
from memnet_core.model.checkpoint import load_model
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from memnet_core.inference.settings import Settings
    from memnet_core.model.registry import Entry
    from memnet_core.sources.protocols import Source
    from memnet_core.tasks import Task

__all__ = ["Models", "Prepared", "carried_out", "prepare"]


class Models:
    """Engines, each loaded once."""

    def __init__(self) -> None:
        self._engines: dict[tuple[object, ...], Engine] = {}

    def engine(self, decision: Decision, device: str = "auto") -> Engine:
        """Return the engine for a decision on a device.

        Raises
        ------
        ModelError, DeviceError, UsageError
            If model, device or exit block do not serve.
        """
        key = (decision.checksum, device, decision.exit_block, decision.precision)
        if key not in self._engines:
            model, card = load_model(decision.entry().path)
            if card.sha256 != decision.checksum:
                raise ModelError(
                    f"The model {decision.model} was exchanged meanwhile; begin anew."
                )
            self._engines[key] = Engine(
                model,
                device=device,
                exit_block=decision.exit_block,
                precision=decision.precision,
            )
        return self._engines[key]


_MODELS = Models()


@dataclass(frozen=True)
class Prepared:
    """A decision and the engine that carries it out.

    Attributes
    ----------
    decision : Decision
        What the result depends on.
    engine : Engine
        The network on its device.
    entry : Entry
        The model.
    """

    decision: Decision
    engine: Engine
    entry: Entry = field(compare=False)

    @property
    def task(self) -> Task:
        """What is done."""
        return find_task(self.decision.task)

    @property
    def scale(self) -> int:
        """How many times higher and wider the result is."""
        return self.decision.scale

    def result_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the shape that a source of shape (N, H, W, S) is restored to."""
        count, height, width, samples = shape
        return count, height * self.scale, width * self.scale, samples

    def __str__(self) -> str:
        """Say it in one line."""
        card, decision = self.entry.card, self.decision
        ranges = dict.fromkeys(str(c.scaling) for c in decision.channels if c.scaling)
        parts = [
            *decision.remarks,
            f"model {card.name} ({card.serves})",
            f"on {self.engine.device}",
            f"values {' and '.join(ranges)}" if ranges else "",
        ]
        return ", ".join(filter(None, parts))


def prepare(
    source: Source, settings: Settings, models: Models | None = None
) -> Prepared:
    """Decide how a source is restored, and load what does it.

    Parameters
    ----------
    source : Source
        Any input.
    settings : Settings
        What was asked for.
    models : Models, optional
        Where engines are kept; by default one place of this process.

    Raises
    ------
    MemnetError
        As `decide`; also if the model or the device does not serve.
    """
    return carried_out(decide(source, settings), settings.device, models)


def carried_out(
    decision: Decision, device: str = "auto", models: Models | None = None
) -> Prepared:
    """Return a decision with the engine on a device; see `prepare`."""
    engine = (models or _MODELS).engine(decision, device)
    return Prepared(decision, engine, decision.entry())
