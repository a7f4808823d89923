"""Noisy frames, and a network that is worse than need be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def _scene(size: int = 64, moved: float = 0) -> NDArray[np.float64]:
    y, x = np.mgrid[:size, :size] / 7
    scene: NDArray[np.float64] = 0.5 + 0.4 * np.sin(x + moved) * np.cos(y)
    return scene


@pytest.fixture
def frames() -> Callable[..., NDArray[np.uint8]]:
    """Make frames of a scene that moves by so much from one to the next."""

    def frames(
        count: int, moves: float = 0, sigma: float = 25, size: int = 64
    ) -> NDArray[np.uint8]:
        rng = np.random.default_rng(0)
        clean = np.stack([_scene(size, moves * n) for n in range(count)])
        noisy = 255 * clean + rng.normal(0, sigma, clean.shape)
        return np.rint(noisy).clip(0, 255).astype(np.uint8)

    return frames
