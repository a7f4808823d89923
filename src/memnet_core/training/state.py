"""The state of a run, which every sitting saves and the next one goes on with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import TrainingError
from memnet_core.training.config import TrainingConfig, validated_config

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.training.data import TrainingImages

__all__ = ["STATE_FILE", "Origin", "read_state", "write_state"]

STATE_FILE = "last.pt"


class Origin:
    """What the weights of a run follow from, on one kind of CPU bit by bit.

    Parameters
    ----------
    config : TrainingConfig
        The run; where it is kept makes no difference.
    *images : TrainingImages
        What it trains and validates on.
    """

    def __init__(self, config: TrainingConfig, *images: TrainingImages) -> None:
        self._config = config
        self._images = {each.use: each.digest for each in images}

    def as_state(self) -> dict[str, Any]:
        """Return what `check` needs to know in a later sitting."""
        return {
            "config": self._config.model_dump_json(exclude={"out"}),
            "images": self._images,
            "threads": torch.get_num_threads(),
        }

    def check(self, state: dict[str, Any]) -> str:
        """Check that a state is of this run.

        Returns
        -------
        str
            What may keep the weights from being the same bit by bit, or nothing.

        Raises
        ------
        TrainingError
            If settings or images differ.
        """
        out = self._config.out
        saved = validated_config(**json.loads(state["config"]), out=out)
        different = [
            name
            for name in TrainingConfig.model_fields
            if getattr(saved, name) != getattr(self._config, name)
        ]
        if different:
            raise TrainingError(
                f"{out} holds a run with other settings ({', '.join(different)}); "
                "choose another output folder, or resume it without settings."
            )
        for use, digest in state.get("images", {}).items():
            if digest != self._images[use]:
                raise TrainingError(
                    f"The images to {use} on are not those of the run in {out} so far; "
                    "put these back, or choose another output folder."
                )
        now = torch.get_num_threads()
        before = state.get("threads", now)
        if before == now or self._config.minutes is not None:
            return ""
        return (
            f"The run had {before} threads and has {now} now, which can change the "
            f"last digits of its weights; OMP_NUM_THREADS={before} avoids that."
        )


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state whole or not at all.

    Raises
    ------
    TrainingError
        If it cannot be written.
    """
    try:
        with replaced_when_complete(path) as temporary:
            torch.save(state, temporary)
    except OSError as error:
        raise TrainingError(
            f"Cannot save the run in {path}: {error.strerror}."
        ) from error


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a state.

    Raises
    ------
    TrainingError
        If the file is none.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:
        raise TrainingError(
            f"{path} is not the state of a run ({error}); choose another output folder."
        ) from error
    return state
