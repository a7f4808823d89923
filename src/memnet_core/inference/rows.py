"""Rows of pixels that are known and wait for others."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Rows"]


class Rows:
    """Rows that were read and wait for what the network makes of them."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._strips: deque[NDArray[Any]] = deque()

    def put(self, strip: NDArray[Any]) -> None:
        """Add the rows that follow."""
        self._strips.append(strip)

    def take(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows, and forget those before `bottom`."""
        found = []
        while self._strips and self._start < bottom:
            strip = self._strips.popleft()
            used = min(bottom - self._start, len(strip))
            found.append(strip[max(top - self._start, 0) : used])
            if used < len(strip):
                self._strips.appendleft(strip[used:])
            self._start += used
        return np.concatenate(found) if found else np.empty((0, 0, 1))
