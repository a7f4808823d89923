"""Engines that compute a function of planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from memnet_core.inference.engine import Engine


@pytest.fixture(scope="session")
def stub_engine() -> Callable[..., Engine]:
    """Make an engine of a function of planes and, with a level map, of the level."""
    from memnet_core.inference.engine import Engine

    class FunctionEngine(Engine):
        def __init__(
            self,
            function: Callable[..., Any],
            *,
            channels: int = 1,
            level_map: bool = False,
        ) -> None:
            self.function = function
            self.image_channels = channels
            self.level_map = level_map

        def strip_rows(self, width: int, images: int = 1) -> int:
            return 5

        def stream(
            self,
            strips: Iterable[NDArray[np.float32]],
            height: int,
            level: Any = None,
        ) -> Iterator[NDArray[np.float32]]:
            planes = np.concatenate(list(strips), axis=2)
            assert planes.shape[2] == height
            told = (level,) if self.level_map else ()
            restored = self.function(planes, *told)
            for top in range(0, height, 7):
                yield restored[:, :, top : top + 7]

    return FunctionEngine
