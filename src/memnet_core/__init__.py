"""Image restoration with MemNet: network, engine, tasks, files and training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from memnet_core._version import __version__

if TYPE_CHECKING:
    from memnet_core._old_tasks import TaskSettings, restore_image, restore_stack
    from memnet_core.engine import Restorer, TileDone, result_of
    from memnet_core.errors import MemnetError
    from memnet_core.io import (
        Image,
        open_stack,
        read_image,
        write_image,
        write_ome_tiff,
    )
    from memnet_core.model.architecture import Architecture
    from memnet_core.model.file import Card, load_model, read_card, save_model
    from memnet_core.model.network import MemNet
    from memnet_core.model.zoo import choose_model, find_model, model_for

__all__ = [
    "Architecture",
    "Card",
    "Image",
    "MemNet",
    "MemnetError",
    "Restorer",
    "TaskSettings",
    "TileDone",
    "__version__",
    "choose_model",
    "find_model",
    "load_model",
    "model_for",
    "open_stack",
    "read_card",
    "read_image",
    "restore_image",
    "restore_stack",
    "result_of",
    "save_model",
    "write_image",
    "write_ome_tiff",
]

_HOMES = {
    "Architecture": "model.architecture",
    "Card": "model.file",
    "Image": "io",
    "MemNet": "model.network",
    "MemnetError": "errors",
    "Restorer": "engine",
    "TaskSettings": "_old_tasks",
    "TileDone": "engine",
    "choose_model": "model.zoo",
    "find_model": "model.zoo",
    "load_model": "model.file",
    "model_for": "model.zoo",
    "open_stack": "io",
    "read_card": "model.file",
    "read_image": "io",
    "restore_image": "_old_tasks",
    "restore_stack": "_old_tasks",
    "result_of": "engine",
    "save_model": "model.file",
    "write_image": "io",
    "write_ome_tiff": "io",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; PyTorch takes seconds to import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
