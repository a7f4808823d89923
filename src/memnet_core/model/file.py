"""Model files: safetensors with a card that describes the model completely."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
)

from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import ModelError
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet
from memnet_core.tasks import TASKS, Levels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

__all__ = [
    "Card",
    "CurvePoint",
    "Score",
    "TrainingSummary",
    "load_model",
    "read_card",
    "save_model",
    "tensors_sha256",
]

_METADATA_KEY = "memnet"
_SINCE_FORMAT_2 = {"image_channels": 1, "level_map": False}
"""What the architecture of files of format 1, which do not say it, was."""

_MAX_HEADER = 16 * 2**20
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
    """How a model came to be."""

    data: str
    steps: int
    megapixels: float
    minutes: float
    hardware: str
    command: str
    started_from: str = ""
    curve: tuple[CurvePoint, ...] = ()


class Score(_Strict):
    """Mean PSNR in dB and SSIM over a set, of the degraded input and of the output."""

    dataset: str
    level: float
    input_psnr: FiniteFloat
    input_ssim: FiniteFloat
    psnr: FiniteFloat
    ssim: FiniteFloat


class Card(_Strict):
    """Everything that is to be known of a model without loading its weights."""

    format: Literal[1, 2] = 2
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    task: str
    levels: Levels
    architecture: Architecture
    version: str
    licence: str
    description: str = ""
    training: TrainingSummary | None = None
    scores: tuple[Score, ...] = ()
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("architecture", mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        complete = _SINCE_FORMAT_2 | value
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

    @property
    def serves(self) -> str:
        """Task and levels in words, such as ``deblock q 5-75``."""
        return f"{self.task} {TASKS[self.task].symbol} {self.levels}"


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes of `tensors`, by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def save_model(path: Path, model: MemNet, **card: Any) -> Card:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : Path
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

    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in copy.deepcopy(model).float().state_dict().items()
    }
    written = Card(
        **card, architecture=model.architecture, sha256=tensors_sha256(tensors)
    )
    try:
        with replaced_when_complete(path) as temporary:
            data = save(tensors, {_METADATA_KEY: written.model_dump_json()})
            temporary.write_bytes(data)
    except OSError as error:
        raise ModelError(
            f"Cannot write the model file {path}: {error.strerror}."
        ) from error
    return written


def read_card(path: Path) -> Card:
    """Read the card of a model file without reading its weights.

    Parameters
    ----------
    path : Path
        A model file.

    Raises
    ------
    ModelError
        If the file is missing, a pickle, no safetensors file, or without a valid card.
    """
    metadata = _read_header(path).get("__metadata__")
    if not isinstance(metadata, dict) or _METADATA_KEY not in metadata:
        raise ModelError(
            f"{path} is a safetensors file without a MemNet card; "
            "use a model that 'memnet train' wrote."
        )
    try:
        return Card.model_validate_json(metadata[_METADATA_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError(
            f"The card of {path} is not valid ({field}: {first['msg']}); "
            "the file may come from a newer version of napari-memnet."
        ) from error


def load_model(path: Path) -> tuple[MemNet, Card]:
    """Load a model file into a network in evaluation mode.

    Parameters
    ----------
    path : Path
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

    card = read_card(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{path} is damaged ({error}); get a fresh copy of the file."
        ) from error
    if tensors_sha256(tensors) != card.sha256:
        raise ModelError(
            f"The weights in {path} are not those its card describes "
            "(SHA-256 differs); get a fresh copy of the file."
        )
    if any(
        t.is_floating_point() and t.dtype != torch.float32 for t in tensors.values()
    ):
        raise ModelError(f"The weights in {path} are not all float32.")
    with torch.device("meta"):
        model = MemNet(card.architecture)
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ModelError(
            f"The weights in {path} do not fit the architecture on its card: {reason}"
        ) from error
    return model.eval(), card


def _read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a safetensors file."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            header = file.read(size) if 0 < size <= _MAX_HEADER else b""
    except OSError as error:
        raise ModelError(
            f"Cannot read the model file {path}: {error.strerror}."
        ) from error
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
