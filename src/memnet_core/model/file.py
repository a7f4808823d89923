"""Model files: safetensors with a card that describes the model completely."""

from __future__ import annotations

import copy
import hashlib
import json
import stat
import struct
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import LevelError, ModelError
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet
from memnet_core.tasks import TASKS, Grain, Levels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = [
    "CARD_KEY",
    "Card",
    "CurvePoint",
    "Score",
    "TrainingSummary",
    "kind_of_card",
    "load_model",
    "read_card",
    "read_header",
    "save_model",
    "tensors_sha256",
]

CARD_KEY = "memnet"
_EARLIER_FILES = {"image_channels": 1, "level_map": False, "batch_norm": True}
"""Architecture of files that were written before these fields existed."""

_MAX_HEADER = 16 * 2**20
Text = Annotated[str, Field(max_length=100_000)]
Number = Annotated[int, Field(ge=0, lt=2**63)]
_PICKLE_STARTS = (b"PK\3\4", *(bytes([0x80, protocol]) for protocol in range(2, 6)))
_PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".ckpt", ".bin"}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CurvePoint(_Strict):
    """Mean PSNR in dB on the validation images at some time of training, by level."""

    minutes: float
    megapixels: float
    psnr: dict[str, FiniteFloat]


class TrainingSummary(_Strict):
    """How a model came to be; `value_range` is as in `memnet train --range`.

    `teacher` names the networks whose answers it learned from, beside clean images.
    """

    data: Text
    steps: Number
    megapixels: float
    minutes: float
    hardware: Text
    command: Text
    started_from: Text = ""
    teacher: Text = ""
    curve: tuple[CurvePoint, ...] = ()
    value_range: str = ""


class Score(_Strict):
    """Mean PSNR in dB and SSIM over a set, of the degraded input and of the output."""

    dataset: Text
    level: float
    input_psnr: FiniteFloat
    input_ssim: FiniteFloat
    psnr: FiniteFloat
    ssim: FiniteFloat


class Card(_Strict):
    """Everything that is to be known of a model without loading its weights.

    `adapted_to` names the data of a user that a model was adapted to; such a model is
    taken only where it is asked for by its name or file.
    """

    format: Literal[1, 2] = 2
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    task: str
    levels: Levels
    grain: Grain = "white"
    architecture: Architecture
    version: Text
    licence: Text
    description: Text = ""
    adapted_to: Text = ""
    training: TrainingSummary | None = None
    scores: tuple[Score, ...] = ()
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("architecture", mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        complete = _EARLIER_FILES | value
        names = {field.name for field in fields(Architecture)}
        if set(complete) != names:
            differing = ", ".join(sorted(names ^ set(complete)))
            raise ValueError(f"missing or unknown: {differing}")
        return complete

    @field_validator("task")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in TASKS:
            raise ValueError(f"{name!r} is none of {', '.join(TASKS)}")
        return name

    @model_validator(mode="after")
    def _exist(self) -> Self:
        try:
            for level in self.levels.values:
                TASKS[self.task].check(level)
        except LevelError as error:
            raise ValueError(str(error).removesuffix(".")) from error
        return self

    @property
    def takes_strength(self) -> bool:
        """Whether the strength of what it does can be chosen."""
        return self.architecture.level_map and TASKS[self.task].graded

    @property
    def serves(self) -> str:
        """Task and levels in words, such as ``deblock q 5-75``."""
        grain = " of correlated noise" if self.grain == "correlated" else ""
        return f"{self.task} {TASKS[self.task].symbol} {self.levels}{grain}"


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes of `tensors`, by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def save_model(path: Path | str, model: MemNet, **card: Any) -> Card:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : Path or str
        Where to write; what is there is replaced.
    model : MemNet
        The network; its weights are stored as float32.
    **card
        The fields of `Card` other than `architecture` and `sha256`.

    Returns
    -------
    Card
        The card that was written.

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in copy.deepcopy(model).float().state_dict().items()
    }
    written = Card(
        **card, architecture=model.architecture, sha256=tensors_sha256(tensors)
    )
    try:
        with replaced_when_complete(path) as temporary:
            data = save(tensors, {CARD_KEY: written.model_dump_json()})
            temporary.write_bytes(data)
    except OSError as error:
        raise ModelError(
            f"Cannot write the model file {path}: {error.strerror}."
        ) from error
    return written


def read_card(path: Path | str) -> Card:
    """Read the card of a model file without reading its weights.

    Parameters
    ----------
    path : Path or str
        A model file.

    Raises
    ------
    ModelError
        If the file is missing, a pickle, no safetensors file, or without a valid card.
    """
    path = Path(path)
    return _card_of(path, read_header(path))


def _card_of(path: Path, header: dict[str, Any]) -> Card:
    metadata = header.get("__metadata__")
    card = metadata.get(CARD_KEY) if isinstance(metadata, dict) else None
    if not isinstance(card, str):
        raise ModelError(
            f"{path} is a safetensors file without a MemNet card; "
            "use a model that 'memnet train' wrote."
        )
    if kind_of_card(card) == "noise":
        raise ModelError(
            f"{path} holds a network that reads noise and restores nothing; give a "
            "model for a task, such as denoise."
        )
    try:
        return Card.model_validate_json(card)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError(
            f"The card of {path} is not valid ({field}: {first['msg']}); "
            "the file may come from a newer version of napari-memnet."
        ) from error


def kind_of_card(text: object) -> str | None:
    """Return the kind that a card says it is of; those of restoration say none."""
    try:
        card = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    kind = card.get("kind") if isinstance(card, dict) else None
    return kind if isinstance(kind, str) else None


def load_model(path: Path | str) -> tuple[MemNet, Card]:
    """Load a model file into a network in evaluation mode.

    Parameters
    ----------
    path : Path or str
        A model file.

    Returns
    -------
    MemNet
        The network, on the CPU.
    Card
        What the file says of it.

    Raises
    ------
    ModelError
        As `read_card`; also if the weights are damaged or do not fit the architecture.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    header = read_header(path)
    card = _card_of(path, header)
    with torch.device("meta"):
        model = MemNet(_buildable(path, header, card.architecture))
    _check_shapes(path, header, model)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise ModelError(
            f"{path} is damaged ({error}); get a fresh copy of the file."
        ) from error
    if tensors_sha256(tensors) != card.sha256:
        raise ModelError(
            f"The weights in {path} are not those its card describes "
            "(SHA-256 differs); get a fresh copy of the file."
        )
    if damaged := [name for name, t in tensors.items() if not t.isfinite().all()]:
        raise ModelError(
            f"The weights in {path} are not all finite ({damaged[0]}); train the model "
            "again, or get a fresh copy of the file."
        )
    model.load_state_dict(tensors, assign=True)
    return model.eval(), card


def _buildable(
    path: Path, header: dict[str, Any], architecture: Architecture
) -> Architecture:
    """Return an architecture, unless it has more layers than a file has tensors."""
    layers = architecture.memory_blocks * architecture.recursions
    if layers > len(header):
        raise ModelError(
            f"The weights in {path} do not fit the architecture on its card: it has "
            f"{layers} recursions, the file {len(header) - 1} tensors."
        )
    return architecture


def _check_shapes(path: Path, header: dict[str, Any], model: MemNet) -> None:
    """Refuse other names, types or shapes than a network has, before any is read."""
    import torch

    names = {torch.float32: "F32", torch.int64: "I64"}
    expected = {
        name: (names[tensor.dtype], list(tensor.shape))
        for name, tensor in model.state_dict().items()
    }
    found = {
        name: (tensor.get("dtype"), tensor.get("shape"))
        if isinstance(tensor, dict)
        else (None, None)
        for name, tensor in header.items()
        if name != "__metadata__"
    }
    for name in (*expected, *found):
        if found.get(name) != expected.get(name):
            has = _described(found.get(name))
            raise ModelError(
                f"The weights in {path} do not fit the architecture on its card: "
                f"{name} has {has}, not {_described(expected.get(name))}."
            )


def _described(tensor: tuple[object, object] | None) -> str:
    return f"{tensor[0]} of shape {tensor[1]}" if tensor else "no place"


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a safetensors file.

    Raises
    ------
    ModelError
        If the file is missing, a pickle, or no safetensors file.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
            raise ModelError(f"{path} is not a regular file; give a model file.")
        with path.open("rb") as file:
            start = file.read(8)
            size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            most = min(_MAX_HEADER, state.st_size - 8)
            header = file.read(size) if 0 < size <= most else b""
    except OSError as error:
        raise ModelError(
            f"Cannot read the model file {path}: {error.strerror}."
        ) from error
    except ValueError as error:  # a NUL in its name
        raise ModelError(f"Cannot read the model file {path}: {error}.") from error
    try:
        parsed = json.loads(header)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict) and len(header) == size:
        return parsed
    if path.suffix in _PICKLE_SUFFIXES or start.startswith(_PICKLE_STARTS):
        raise ModelError(
            f"{path} looks like a Python pickle, which can run code when it is opened; "
            "only safetensors files are loaded."
        )
    raise ModelError(
        f"{path} is not a safetensors file, or a damaged one; get a fresh copy."
    )
