"""Training state of a run: write it, read it, and check it on resume."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import MemnetError, TrainingError
from memnet_core.training.config import TrainingConfig, validated_config

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.training.data.images import TrainingImages

__all__ = ["STATE_FILE", "RunIdentity", "read_state", "write_state"]

STATE_FILE = "last.pt"

_LENGTHS = ("minutes", "steps", "epochs")

_LONGER = (
    "The run is longer than it was: it continues as if it had been from the beginning, "
    "with larger steps than the last ones, which at first make it worse. "
)

_MAGIC = b"memnet-state-1 "


class RunIdentity:
    """Everything that determines the weights of a run, bit by bit on one kind of CPU.

    Parameters
    ----------
    config : TrainingConfig
        The run; its output folder is ignored.
    *images : TrainingImages
        Training and validation images.
    """

    def __init__(self, config: TrainingConfig, *images: TrainingImages) -> None:
        self._config = config
        self._images = {each.use: each.digest for each in images}

    def as_state(self) -> dict[str, Any]:
        """Return the entries of the state that `check` compares on resume."""
        return {
            "config": self._config.model_dump_json(exclude={"out"}),
            "images": self._images,
            "threads": torch.get_num_threads(),
        }

    def check(self, state: dict[str, Any]) -> str:
        """Check that a state belongs to this run, which may have been extended.

        Returns
        -------
        str
            Why weights may not be reproduced bit by bit; may be empty.

        Raises
        ------
        TrainingError
            If settings or images differ.
        """
        out = self._config.out
        try:
            saved = validated_config(**{**json.loads(state["config"]), "out": out})
        except (MemnetError, TypeError, ValueError) as error:
            raise TrainingError(
                f"The state in {out} holds no settings of a run; restore it from a "
                "copy, or choose another output folder."
            ) from error
        different = [
            name
            for name in TrainingConfig.model_fields
            if getattr(saved, name) != getattr(self._config, name)
        ]
        if is_longer := _is_longer(saved, self._config):
            different = [n for n in different if n not in (*_LENGTHS, "validations")]
        if different:
            raise TrainingError(
                f"{out} holds a run with other settings ({', '.join(different)}); "
                "choose another output folder, or resume it without settings."
            )
        for use, digest in state["images"].items():
            if digest != self._images.get(use):
                raise TrainingError(
                    f"The images to {use} on are not those of the run in {out}; put "
                    "the old ones back, or choose another output folder."
                )
        now = torch.get_num_threads()
        before = state["threads"]
        remark = _LONGER if is_longer else ""
        if before == now or self._config.minutes is not None:
            return remark
        return remark + (
            f"The run had {before} threads and has {now} now, which can change the "
            f"last digits of its weights; OMP_NUM_THREADS={before} avoids that."
        )


def _is_longer(saved: TrainingConfig, now: TrainingConfig) -> bool:
    """Whether the length of the run has the same unit and has grown."""
    pairs = [(getattr(saved, name), getattr(now, name)) for name in _LENGTHS]
    return any(before and after and after > before for before, after in pairs)


class _CheckpointSchema(BaseModel):
    """Schema of a state file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    config: str
    images: dict[str, str]
    threads: Annotated[int, Field(ge=1)]
    model: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    step: Annotated[int, Field(ge=0, lt=2**62)]
    pixels: Annotated[int, Field(ge=0, lt=2**62)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    norm_frozen: bool
    validations: Annotated[int, Field(ge=0, lt=2**62)]
    best: float
    curve: list[dict[str, Any]]


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state with its SHA-256, whole or not at all.

    Raises
    ------
    TrainingError
        If it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getbuffer()
    try:
        with replaced_when_complete(path) as temporary, temporary.open("wb") as file:
            file.write(_MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n")
            file.write(data)
    except OSError as error:
        raise TrainingError(
            f"Cannot save the run in {path}: {error.strerror}; the previous state is "
            "kept."
        ) from error


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read and validate a state, with its tensors on a device.

    Raises
    ------
    TrainingError
        If the file is no state, or damaged.
    """
    try:
        if not path.is_file():  # reading a pipe would block
            raise ValueError("no regular file")
        state: dict[str, Any] = torch.load(
            io.BytesIO(_checked(path.read_bytes())),
            weights_only=True,
            map_location=device,
        )
        _CheckpointSchema.model_validate(state)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            reason = str(error).partition("\n")[0] or type(error).__name__
        raise TrainingError(
            f"{path} is not the state of a run, or damaged ({reason}); restore it from "
            "a copy, or choose another output folder."
        ) from error
    return state


def _checked(content: bytes) -> memoryview | bytes:
    """Verify the hash; return the bytes of `torch.save`, or raise ValueError."""
    head = len(_MAGIC) + 64 + 1
    data = memoryview(content)[head:]
    digest = hashlib.sha256(data).hexdigest().encode()
    if content[:head] != _MAGIC + digest + b"\n":
        raise ValueError("its SHA-256 differs")
    return data
