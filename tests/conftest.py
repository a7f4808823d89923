"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as PillowImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from memnet_core.model.architecture import Architecture
    from memnet_core.model.network import MemNet

# Networks are tiny here: threads would cost far more time than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where both bindings are installed, pytest-qt would choose the other one.
os.environ.setdefault("PYTEST_QT_API", "pyqt6")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public benchmark images, beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        reason = (
            f"The benchmark images are not at {folder}; they are public but not part "
            "of the repository, and the published baselines are measured on them."
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def random_network() -> Callable[..., MemNet]:
    """Make a network in evaluation mode none of whose parameters is at its default.

    BatchNorm weights and fusion weights have both signs.
    """
    import torch
    from torch import nn

    from memnet_core.model.architecture import Architecture
    from memnet_core.model.network import MemNet

    def make(**architecture: Any) -> MemNet:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            network = MemNet(Architecture(**architecture))
            for module in network.modules():
                if isinstance(module, nn.Conv2d) and module.bias is not None:
                    module.bias.normal_(0, 0.1)
                if isinstance(module, nn.BatchNorm2d):
                    assert module.running_mean is not None
                    assert module.running_var is not None
                    module.running_mean.normal_(0, 0.3)
                    module.running_var.uniform_(0.5, 2)
                    module.weight.normal_(0.3, 0.7)
                    module.bias.normal_(0, 0.5)
            if network.architecture.multi_supervised:
                network.fusion.normal_(0.3, 0.5)
        return network.eval()

    return make


@pytest.fixture(scope="session")
def random_planes() -> Callable[..., Tensor]:
    """Make planes of a given shape, in [0, 1]; they depend on the shape alone."""
    import torch

    def make(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=torch.Generator().manual_seed(1))

    return make


@pytest.fixture(scope="session")
def tiny_model(
    random_network: Callable[..., MemNet],
) -> Callable[[Architecture], MemNet]:
    """Give the random network of an architecture; do not change it."""

    @cache
    def make(architecture: Architecture) -> MemNet:
        return random_network(**asdict(architecture))

    return make


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of added models; it and that of shipped models are empty."""
    folder = tmp_path / "models"
    shipped = tmp_path / "shipped"
    folder.mkdir()
    shipped.mkdir()
    monkeypatch.setenv("MEMNET_MODELS", str(folder))
    monkeypatch.setattr("memnet_core.model.registry._SHIPPED", shipped)
    return folder


@pytest.fixture
def install(
    tiny_model: Callable[[Architecture], MemNet], models_folder: Path
) -> Callable[..., Path]:
    """Install a tiny model for a range of levels, as far as its task has them."""
    from memnet_core.model.architecture import Architecture
    from memnet_core.model.checkpoint import save_model
    from memnet_core.tasks import TASKS, Levels

    shape: dict[str, Any] = {"memory_blocks": 2, "recursions": 1, "channels": 4}

    def install(
        name: str,
        *levels: float,
        task: str = "deblock",
        unshuffle: int = 1,
        image_channels: int = 1,
        level_map: bool = False,
        chroma_level: bool = False,
        **card: Any,
    ) -> Path:
        path = models_folder / f"{name}.safetensors"
        low, high = TASKS[task].bounds
        known = sorted({min(max(level, low), high) for level in levels})
        save_model(
            path,
            tiny_model(
                Architecture(
                    **shape,
                    unshuffle=unshuffle,
                    image_channels=image_channels,
                    level_map=level_map,
                    chroma_level=chroma_level,
                )
            ),
            name=name,
            task=task,
            levels=Levels(values=tuple(known), continuous=True),
            version="1.0",
            license="BSD-3-Clause",
            **card,
        )
        return path

    return install


@pytest.fixture
def write_picture() -> Callable[..., Path]:
    """Write a picture of noise, in color unless its shape says otherwise."""

    def write_picture(path: Path, *shape: int, quality: int = 75) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = shape or (14, 18, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        PillowImage.fromarray(pixels).save(path, quality=quality)
        return path

    return write_picture
