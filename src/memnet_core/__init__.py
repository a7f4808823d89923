"""Image restoration with MemNet: network, tasks, files, training and evaluation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from memnet_core._version import __version__

if TYPE_CHECKING:
    from memnet_core.adaptation.api import adapt
    from memnet_core.errors import MemnetError
    from memnet_core.evaluation.residual_noise import Residual, residual_of
    from memnet_core.evaluation.run import evaluate, evaluate_colors
    from memnet_core.inference.api import restore
    from memnet_core.io import Image, open_image, save_image
    from memnet_core.model.architecture import Architecture
    from memnet_core.model.card import Card
    from memnet_core.model.checkpoint import load_model, read_card, save_model
    from memnet_core.model.network import MemNet
    from memnet_core.model.registry import find_model
    from memnet_core.training.runner import train

__all__ = [
    "Architecture",
    "Card",
    "Image",
    "MemNet",
    "MemnetError",
    "Residual",
    "__version__",
    "adapt",
    "evaluate",
    "evaluate_colors",
    "find_model",
    "load_model",
    "open_image",
    "read_card",
    "residual_of",
    "restore",
    "save_image",
    "save_model",
    "train",
]

_HOMES = {
    "Architecture": "model.architecture",
    "Card": "model.card",
    "Image": "io",
    "MemNet": "model.network",
    "MemnetError": "errors",
    "Residual": "evaluation.residual_noise",
    "adapt": "adaptation.api",
    "evaluate": "evaluation.run",
    "evaluate_colors": "evaluation.run",
    "find_model": "model.registry",
    "load_model": "model.checkpoint",
    "open_image": "io",
    "read_card": "model.checkpoint",
    "residual_of": "evaluation.residual_noise",
    "restore": "inference.api",
    "save_image": "io",
    "save_model": "model.checkpoint",
    "train": "training.runner",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; PyTorch takes seconds to import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
