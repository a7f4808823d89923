"""Model files: safetensors whose header holds the model card."""

from __future__ import annotations

import copy
import hashlib
import json
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import (
    ValidationError,
)

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import ModelError
from memnet_core.model.card import Card

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from memnet_core.model.architecture import Architecture
    from memnet_core.model.network import MemNet

__all__ = [
    "CARD_KEY",
    "kind_of_card",
    "load_model",
    "read_card",
    "read_header",
    "save_model",
    "tensors_sha256",
]


CARD_KEY = "memnet"

_MAX_HEADER = 16 * 2**20
_PICKLE_STARTS = (b"PK\3\4", *(bytes([0x80, protocol]) for protocol in range(2, 6)))
_PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".ckpt", ".bin"}


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, dtypes, shapes and bytes of `tensors`, in order of their names."""
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
        File to write or replace.
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

    from memnet_core.model.network import MemNet

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
