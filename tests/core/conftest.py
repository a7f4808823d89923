"""Fixtures of the core suite."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

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
