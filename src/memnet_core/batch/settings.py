"""What to do with every file of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memnet_core.engine import Precision, Restorer
from memnet_core.model.zoo import Entry, choose_model

if TYPE_CHECKING:
    from memnet_core._old_tasks import TaskSettings
    from memnet_core.model.network import MemNet

__all__ = ["BatchSettings"]


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What to do with every file.

    Attributes
    ----------
    task : TaskSettings
        Task, level, channels and value range.
    model : str, optional
        Name or file of the model; by default the one that was trained for the level.
    nearest : bool
        Whether to accept the model that comes closest to the level.
    axes : str
        Axes of stacks, instead of those that their files tell.
    device, tile, halo, exit_block, tta, precision
        As for `memnet_core.engine.Restorer`.
    """

    task: TaskSettings
    model: str | None = None
    nearest: bool = False
    axes: str = ""
    device: str = "auto"
    tile: tuple[int, int] | None = None
    halo: int | None = None
    exit_block: int | None = None
    tta: bool = False
    precision: Precision = "float32"

    def choose(self, level: float | None) -> Entry:
        """Return the model for a level; any of the task as long as it is not known.

        Raises
        ------
        MemnetError
            If none serves.
        """
        return choose_model(
            self.task.task,
            level or 0.0,
            self.model,
            nearest=self.nearest or level is None,
        )

    def restorer(self, model: MemNet) -> Restorer:
        """Return the engine for a model.

        Raises
        ------
        MemnetError
            If the device, the tile or the exit block does not serve.
        """
        return Restorer(
            model,
            device=self.device,
            tile=self.tile,
            halo=self.halo,
            exit_block=self.exit_block,
            tta=self.tta,
            precision=self.precision,
        )
