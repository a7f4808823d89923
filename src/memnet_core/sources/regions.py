"""The one geometry of what a part of a result depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PixelRegion", "input_window", "split_columns"]


@dataclass(frozen=True)
class PixelRegion:
    """A part of a result.

    Attributes
    ----------
    planes : sequence of int
        Numbers of planes, in rising order.
    rows, columns : slice
        Start and stop, without a step.
    """

    planes: Sequence[int]
    rows: slice
    columns: slice

    @classmethod
    def whole(cls, shape: tuple[int, int, int, int]) -> PixelRegion:
        """Return all of a result of shape (N, H, W, S)."""
        count, height, width, _ = shape
        return cls(range(count), slice(0, height), slice(0, width))

    @property
    def pixels(self) -> int:
        """Number of pixels, over all planes."""
        height, width = (s.stop - s.start for s in (self.rows, self.columns))
        return int(len(self.planes) * height * width)


def input_window(part: slice, size: int, reach: int, multiple: int) -> slice:
    """Return what a network has to see along one axis to restore a part of it.

    Parameters
    ----------
    part : slice
        What is wanted.
    size : int
        Length of the axis.
    reach : int
        Radius of the receptive field in pixels, from the cell of a pixel.
    multiple : int
        Side u of the cells of the network's pixel-unshuffle. A window is a multiple of
        u away from both ends of the axis, so that pixels keep their places in their
        cells also where the image is turned; one cell more on either side makes up for
        those that the window cuts.
    """
    before = max(part.start - reach - multiple, 0) // multiple * multiple
    behind = max(size - part.stop - reach - multiple, 0) // multiple * multiple
    return slice(before, size - behind)


def split_columns(columns: slice, widest: int) -> list[slice]:
    """Divide columns into the fewest parts, about equal, none wider than `widest`."""
    width = columns.stop - columns.start
    count = -(-width // widest)
    cuts = [columns.start + width * i // count for i in range(count + 1)]
    return [slice(cuts[i], cuts[i + 1]) for i in range(count)]
