"""Fixtures of the core suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.engine import Restorer, TileDone

    Planes = NDArray[np.float32]


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
