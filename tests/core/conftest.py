"""Fixtures of the core suite."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as PillowImage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.checkpoint import Task
    from memnet_core.engine import Restorer, TileDone
    from memnet_core.network import Architecture, MemNet

    Planes = NDArray[np.float32]


@pytest.fixture(scope="session")
def tiny_model(
    random_network: Callable[..., MemNet],
) -> Callable[[Architecture], MemNet]:
    """Give the random network of an architecture; do not change it."""

    @cache
    def make(architecture: Architecture) -> MemNet:
        return random_network(**asdict(architecture))

    return make


@pytest.fixture(scope="session")
def stub_restorer() -> Callable[[Callable[[Planes], Planes]], Restorer]:
    """Make a restorer of a function of planes; it reports two tiles for each call."""
    from memnet_core.engine import Restorer, TileDone

    class FunctionRestorer(Restorer):
        def __init__(self, function: Callable[[Planes], Planes]) -> None:
            self.function = function

        def restore(self, planes: Planes) -> Generator[TileDone, None, Planes]:
            yield TileDone(1, 2)
            yield TileDone(2, 2)
            return self.function(planes)

    return FunctionRestorer


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of added models; it and that of shipped models are empty."""
    folder = tmp_path / "models"
    shipped = tmp_path / "shipped"
    folder.mkdir()
    shipped.mkdir()
    monkeypatch.setenv("MEMNET_MODELS", str(folder))
    monkeypatch.setattr("memnet_core.zoo._SHIPPED", shipped)
    return folder


@pytest.fixture
def install(
    tiny_model: Callable[[Architecture], MemNet], models_folder: Path
) -> Callable[..., Path]:
    """Install a tiny model for a range of levels."""
    from memnet_core.checkpoint import Levels, save_model
    from memnet_core.network import Architecture

    model = tiny_model(Architecture(memory_blocks=2, recursions=1, channels=4))

    def install(name: str, *levels: float, task: Task = "deblock", **card: Any) -> Path:
        path = models_folder / f"{name}.safetensors"
        save_model(
            path,
            model,
            name=name,
            task=task,
            levels=Levels(values=levels, continuous=True),
            version="1.0",
            licence="BSD-3-Clause",
            **card,
        )
        return path

    return install


@pytest.fixture
def write_picture() -> Callable[..., Path]:
    """Write a picture of noise, in colour unless its shape says otherwise."""

    def write_picture(path: Path, *shape: int, quality: int = 75) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = shape or (14, 18, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        PillowImage.fromarray(pixels).save(path, quality=quality)
        return path

    return write_picture
