"""The user's own models: renamed and deleted; those that ship stay."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

from pydantic import ValidationError

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import ModelError
from memnet_core.model.checkpoint import CARD_KEY, Card, read_header
from memnet_core.model.registry import MODEL_SUFFIX, Entry, installed, user_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["delete_model", "own_model", "rename_model"]

_ALIGNED = 8
"""Bytes; the weights begin at a multiple of it."""


def own_model(name: str) -> Entry:
    """Return the user's model of a name.

    Raises
    ------
    ModelError
        If there is none.
    """
    entries, _ = installed()
    own = [entry for entry in entries if not entry.is_shipped]
    for entry in own:
        if entry.card.name == name:
            return entry
    if any(entry.card.name == name for entry in entries):
        raise ModelError(
            f"The model {name!r} ships with the package, and stays; only models that "
            "were added are renamed or deleted."
        )
    names = ", ".join(entry.card.name for entry in own) or "none"
    raise ModelError(f"There is no model {name!r} of your own; you have: {names}.")


def delete_model(name: str) -> None:
    """Delete the user's model of a name.

    Raises
    ------
    ModelError
        If there is none, or it cannot be deleted.
    """
    _delete(own_model(name).path)


def rename_model(name: str, new: str) -> Entry:
    """Give the user's model of a name another one; its weights stay byte by byte.

    Raises
    ------
    ModelError
        If there is none, the other name is none or taken, or the file cannot be
        written.
    """
    entry = own_model(name)
    target = user_folder() / f"{new}{MODEL_SUFFIX}"
    taken = {other.card.name for other in installed()[0]}
    if new in taken or os.path.exists(target):
        raise ModelError(f"There is already a model {new!r}; choose another name.")
    card = _named(entry.card, new)
    header = read_header(entry.path)
    header["__metadata__"][CARD_KEY] = card.model_dump_json()
    try:
        with replaced_when_complete(target) as temporary:
            temporary.write_bytes(_with_header(entry.path.read_bytes(), header))
    except OSError as error:
        raise ModelError(f"Cannot write {target}: {error.strerror}.") from error
    _delete(entry.path)
    return Entry(target, card)


def _named(card: Card, name: str) -> Card:
    try:
        return Card.model_validate(card.model_dump() | {"name": name})
    except ValidationError as error:
        raise ModelError(
            f"{name!r} is no name of a model; one begins with a letter or digit and "
            "holds only these, '.', '_' and '-'."
        ) from error


def _with_header(content: bytes, header: dict[str, object]) -> bytes:
    """Return the bytes of a safetensors file with another header."""
    size = struct.unpack("<Q", content[:8])[0]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise ModelError(f"Cannot delete {path}: {error.strerror}.") from error
