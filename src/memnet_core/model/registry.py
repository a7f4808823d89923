"""Models that ship or were installed: find, choose, install, remove."""

from __future__ import annotations

import json
import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import LevelError, ModelError, NotCovered, SettingRef
from memnet_core.model.card import Card
from memnet_core.model.checkpoint import CARD_KEY, load_model, read_card, read_header
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from memnet_core.model.network import MemNet
    from memnet_core.tasks import Grain

__all__ = [
    "MODEL_SUFFIX",
    "Entry",
    "add_model",
    "best_model",
    "choose_model",
    "delete_model",
    "find_model",
    "general_models",
    "installed",
    "own_model",
    "rename_model",
    "user_folder",
]

_NEAREST = SettingRef("nearest", True)


MODEL_SUFFIX = ".safetensors"

_SHIPPED = Path(__file__).parent / "weights"
_TRIAL = 32
"""Side in pixels of the picture that an added model is tried on."""

_cards: dict[str, tuple[tuple[int, int], Card]] = {}
"""Cards read by this process, by path, with the time and size of their file."""


@dataclass(frozen=True)
class Entry:
    """A model file and its card."""

    path: Path
    card: Card

    @property
    def is_shipped(self) -> bool:
        """Whether the file came with the package."""
        return self.path.parent == _SHIPPED

    @property
    def hides_shipped(self) -> bool:
        """Whether it is taken instead of a model of the same name that ships."""
        shipped = _SHIPPED / f"{self.card.name}{MODEL_SUFFIX}"
        return not self.is_shipped and shipped.exists()


def user_folder() -> Path:
    """Return the folder of added models: MEMNET_MODELS, or one in the user's data."""
    import platformdirs

    if folder := os.environ.get("MEMNET_MODELS"):
        return Path(folder)
    return Path(platformdirs.user_data_dir("napari-memnet")) / "models"


def installed() -> tuple[list[Entry], list[ModelError]]:
    """Return the usable models, the user's first, and what is wrong with others."""
    entries: list[Entry] = []
    problems: list[ModelError] = []
    for folder in (user_folder(), _SHIPPED):
        try:
            paths = sorted(folder.glob(f"[!.]*{MODEL_SUFFIX}"))
        except OSError as error:
            reason = f"Cannot read the folder {folder}: {error.strerror}."
            problems.append(ModelError(reason))
            continue
        for path in paths:
            try:
                entries.append(_entry(path))
            except ModelError as error:
                problems.append(error)
    return entries, problems


def _entry(path: Path) -> Entry:
    """Return a model file with its card, which is read again once the file changes.

    Raises
    ------
    ModelError
        As `read_card`.
    """
    try:
        state = path.stat()
    except (OSError, ValueError):
        return Entry(path, read_card(path))  # which says what is wrong
    version = state.st_mtime_ns, state.st_size
    # A relative path means another file once the working folder changes.
    key = os.path.abspath(path)
    if key not in _cards or _cards[key][0] != version:
        _cards[key] = version, read_card(path)
    return Entry(path, _cards[key][1])


def find_model(name_or_file: str) -> Entry:
    """Return the model of a name, or in a file.

    Raises
    ------
    ModelError
        If there is no such model, or the file is not acceptable.
    """
    entries, _ = installed()
    for entry in entries:
        if entry.card.name == name_or_file:
            return entry
    path = Path(name_or_file)
    if os.path.exists(path) or path.suffix == MODEL_SUFFIX or len(path.parts) > 1:
        return _entry(path)
    names = ", ".join(sorted({entry.card.name for entry in entries})) or "none"
    raise ModelError(
        f"There is no model {name_or_file!r}; installed: {names}. "
        "Give one of these or a model file."
    )


def general_models(task: str) -> list[Entry]:
    """Return the installed models for a task but those adapted to one user's data."""
    return [
        entry
        for entry in installed()[0]
        if entry.card.task == task and not entry.card.adapted_to
    ]


def best_model(
    task: str,
    level: float,
    *,
    nearest: bool = False,
    colors: bool = False,
    grain: Grain = "white",
) -> Entry:
    """Return the installed model that was trained for a task and level.

    Of several, one for the grain of the noise, one for gray planes or for colors as
    they are wanted, the one for the narrowest range of levels, and the user's before
    those that ship with the package. One that was adapted to some data is none of them.

    Parameters
    ----------
    task : str
        Name of one of `memnet_core.tasks.TASKS`.
    level : float
        JPEG quality, noise deviation, or scale.
    nearest : bool
        Whether to accept the model whose levels come closest.
    colors : bool
        Whether one that restores colors together is to be preferred.
    grain : str
        Noise of which grain it is to remove, if there is the choice.

    Raises
    ------
    LevelError
        If no model is for the task.
    NotCovered
        If none covers the level; the message names the nearest.
    """
    entries = general_models(task)
    symbol = find_task(task).symbol
    if not entries:
        raise LevelError(
            f"No model for {task} is installed; train one with 'memnet train' or add "
            "one with 'memnet models add FILE'."
        )
    covering = [entry for entry in entries if entry.card.levels.covers(level)]
    if covering:
        return min(
            covering,
            key=lambda e: (
                e.card.grain != grain,
                _is_color(e) != colors,
                _range_width(e),
            ),
        )
    best = min(
        entries,
        key=lambda e: (
            abs(e.card.levels.nearest(level) - level),
            e.card.grain != grain,
            _is_color(e) != colors,
        ),
    )
    if nearest or _is_accepted(best.card, level):
        return best
    raise NotCovered(
        f"No model for {task} covers {symbol} {level:g}; the nearest "
        f"is {best.card.name!r} ({symbol} {best.card.levels}). Accept it with "
        f"{_NEAREST}.",
        settings=[_NEAREST],
    )


def choose_model(
    task: str,
    level: float,
    name: str | None = None,
    *,
    nearest: bool = False,
    colors: bool = False,
    grain: Grain = "white",
) -> Entry:
    """Return the model of a name, if it serves, or else the one for a task and level.

    Parameters
    ----------
    task, level, nearest, colors, grain
        As for `best_model`.
    name : str, optional
        Name or file of a model.

    Raises
    ------
    LevelError
        If the model is for another task.
    NotCovered
        If it is for other levels, unless `nearest`.
    ModelError
        If there is no such model.
    """
    if name is None:
        return best_model(task, level, nearest=nearest, colors=colors, grain=grain)
    entry = find_model(name)
    if entry.card.task != task:
        raise LevelError(
            f"The model {entry.card.name!r} is for {entry.card.task}, not for {task}."
        )
    covers = entry.card.levels.covers(level)
    if not (nearest or covers or _is_accepted(entry.card, level)):
        raise NotCovered(
            f"The model {entry.card.name!r} covers {find_task(task).symbol} "
            f"{entry.card.levels}, not {level:g}. Accept it with "
            f"{_NEAREST}.",
            settings=[_NEAREST],
        )
    return entry


def add_model(file: Path, *, replace: bool = False) -> Entry:
    """Check a model file completely, try it, and copy it to the user's folder.

    It is taken instead of a shipped model of the same name; `Entry.hides_shipped`.

    Parameters
    ----------
    file : Path
        The model file.
    replace : bool
        Whether it takes the place of one of its name that was added before.

    Raises
    ------
    ModelError
        If the file is not acceptable, what it restores is not finite, or a model of
        its name was added before, unless `replace`.
    """
    model, card = load_model(file)
    _try(file, model)
    folder = user_folder()
    target = folder / f"{card.name}{MODEL_SUFFIX}"
    if os.path.exists(target) and not replace:
        raise ModelError(
            f"There is already a model {card.name!r} in {folder}; rename or delete "
            "that one first, or train under another name."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replaced_when_complete(target) as temporary:
            shutil.copyfile(file, temporary)
    except OSError as error:
        raise ModelError(f"Cannot copy to {folder}: {error.strerror}.") from error
    return Entry(target, card)


def _try(file: Path, model: MemNet) -> None:
    """Refuse a model that makes no picture of a gray one."""
    import torch

    planes = model.architecture.input_channels
    with torch.inference_mode():
        output = model(torch.full((1, planes, _TRIAL, _TRIAL), 0.5)).output
    if not output.isfinite().all():
        raise ModelError(
            f"What {file} makes of a gray picture is not finite; train the model again."
        )


def _is_accepted(card: Card, level: float) -> bool:
    """Whether the nearest level of a model serves without being asked."""
    nearest = card.levels.nearest(level)
    return find_task(card.task).accepts_nearest(level, nearest)


def _is_color(entry: Entry) -> bool:
    return entry.card.architecture.image_channels == 3


def _range_width(entry: Entry) -> float:
    values = entry.card.levels.values
    return values[-1] - values[0]


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
