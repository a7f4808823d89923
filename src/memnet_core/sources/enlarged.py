"""A source that is enlarged before the network sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memnet_core.image_ops.resize import resized_window
from memnet_core.sources.protocols import Derived

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.sources.protocols import Source

__all__ = ["Enlarged"]


class Enlarged(Derived):
    """A source whose planes are enlarged by bicubic interpolation, as float64.

    Parameters
    ----------
    source : Source
        What is enlarged.
    scale : int
        By which factor.
    """

    def __init__(self, source: Source, scale: int) -> None:
        super().__init__(source)
        self._scale = scale
        count, height, width, samples = source.shape
        self.shape = (count, height * scale, width * scale, samples)
        self.dtype = np.dtype(np.float64)
        self.jpeg_coding = None

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return a window of the enlarged plane."""
        return resized_window(
            lambda y, x: self._source.read(plane, y, x),
            self._source.shape[1:3],
            self.shape[1:3],
            rows,
            columns,
        )
