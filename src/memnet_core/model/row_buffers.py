"""Row buffers of the streaming network: layout, convolution, delay and accumulation.

Feature maps have the shape (rows, columns, channels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memnet_core.model.fused import Convolution

__all__ = ["ResidualBuffer", "RowAccumulator", "RowConv", "RowLayout"]


class RowLayout:
    """Place images of one size side by side in a map, and hold scratch space.

    A separator column follows each image if there are several. Its content is
    undefined, except in the input of a convolution, where it is zero.
    """

    def __init__(self, images: int, height: int, width: int) -> None:
        self.height = height
        self._images = images
        self._width = width
        self._stride = width + (images > 1)
        self._scratch: dict[int, Tensor] = {}

    def beside(self, planes: Tensor) -> Tensor:
        """Join (N, C, h, W) planes to one map."""
        images = planes.permute(2, 0, 3, 1)
        if self._images == 1:
            return images[:, 0].contiguous()
        return F.pad(images, (0, 0, 0, 1)).flatten(1, 2)

    def apart(self, x: Tensor) -> Tensor:
        """Split a map into (N, C, h, W) planes."""
        return self.images(x).permute(1, 3, 0, 2)

    def images(self, x: Tensor) -> Tensor:
        """Return a view of the map without separators, shape (h, N, W, C)."""
        return x.view(len(x), self._images, self._stride, x.shape[2])[
            :, :, : self._width
        ]

    def scratch(self, rows: int, like: Tensor) -> Tensor:
        """Return scratch space of `rows` rows whose separator columns are zero."""
        shape = (rows, *like.shape[1:])
        held = self._scratch.get(like.shape[2])
        if held is None or len(held) < rows:
            held = self._scratch[like.shape[2]] = like.new_zeros(shape)
        return held[:rows]

    def activated(self, activate: Callable[..., object], x: Tensor) -> Tensor:
        """Return what `activate` makes of a map, in scratch space.

        Memory that is written for the first time costs ten times as much as what is in
        the cache already.
        """
        y = self.scratch(len(x), x)
        activate(self.images(x), out=self.images(y))
        return y


class RowConv:
    """A 3×3 convolution, and what is done to each pixel before it."""

    def __init__(
        self,
        frame: RowLayout,
        activate: Callable[..., object],
        convolution: Convolution,
    ) -> None:
        self._frame = frame
        self._activate = activate
        self._convolution = convolution
        self.channels = len(convolution.weight)
        self._seen = 0
        self._kept: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Take the next rows of the input and return those of the output."""
        rows = len(x)
        if not rows:
            return x.new_empty(0, x.shape[1], self.channels)
        self._seen += rows
        above = 1 if self._kept is None else 2
        below = int(self._seen == self._frame.height)
        buffer = self._frame.scratch(above + rows + below, x)
        buffer[:above] = 0 if self._kept is None else self._kept
        fresh = buffer[above : above + rows]
        self._activate(self._frame.images(x), out=self._frame.images(fresh))
        if below:
            buffer[-1] = 0
        if self._kept is None:
            self._kept = torch.empty_like(buffer[:2])
        self._kept.copy_(buffer[-2:])
        if len(buffer) < 3:
            return x.new_empty(0, x.shape[1], self.channels)
        y: Tensor = self._convolution(buffer)
        return y


class _Queue:
    """Rows in a ring: they come at the end and leave from the front."""

    def __init__(self) -> None:
        self._ring: Tensor | None = None
        self._front = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, rows: int, like: Tensor) -> None:
        """Make room for more rows like others."""
        needed = self._count + rows
        if self._ring is None or needed > len(self._ring):
            ring = like.new_empty(needed, *like.shape[1:])
            for place, part in self.parts(0, self._count):
                ring[place] = part
            self._ring, self._front = ring, 0
        self._count = needed

    def parts(self, first: int, rows: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield views of rows, counted from the front, and their place among them."""
        done = 0
        while done < rows:
            ring = cast("Tensor", self._ring)
            at = (self._front + first + done) % len(ring)
            size = min(rows - done, len(ring) - at)
            yield slice(done, done + size), ring[at : at + size]
            done += size

    def drop(self, rows: int) -> None:
        """Let the first rows go."""
        if rows:
            self._front = (self._front + rows) % len(cast("Tensor", self._ring))
            self._count -= rows


class ResidualBuffer:
    """Rows that wait for those that they are added to."""

    def __init__(self, weight: float = 1) -> None:
        self._weight = weight
        self._rows = _Queue()

    def add_to(self, y: Tensor, x: Tensor) -> None:
        """Take the next rows, and add to `y` as many as it has."""
        before = min(len(self._rows), len(y))
        for place, part in self._rows.parts(0, before):
            y[place].add_(part, alpha=self._weight)
        self._rows.drop(before)
        now = len(y) - before
        y[before:].add_(x[:now], alpha=self._weight)
        waiting = len(self._rows)
        later = x[now:]
        self._rows.extend(len(later), later)
        for place, part in self._rows.parts(waiting, len(later)):
            part.copy_(later[place])


class RowAccumulator:
    """Rows to which terms are added that come at different times."""

    def __init__(self, start: Tensor) -> None:
        self._start = start
        self._rows = _Queue()
        self._taken = 0
        self._added: dict[int, int] = {}

    def places(self, term: int, like: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield views of where the next rows of a term are to be added.

        Parameters
        ----------
        term : int
            Number of the term.
        like : Tensor
            A map of as many rows.

        Yields
        ------
        slice, Tensor
            Some of the rows, in order, and where they are to be added.
        """
        first = self._added.get(term, 0) - self._taken
        end = first + len(like)
        self._added[term] = self._taken + end
        held = len(self._rows)
        if end > held:
            self._rows.extend(end - held, like)
            for _, part in self._rows.parts(held, end - held):
                part.copy_(self._start.expand_as(part))
        return self._rows.parts(first, len(like))

    def take(self, count: int, like: Tensor) -> Tensor:
        """Return the next rows, to which all terms have been added.

        They may be overwritten when more is added.
        """
        parts = [part for _, part in self._rows.parts(0, count)] or [like[:0]]
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)
        self._rows.drop(count)
        self._taken += count
        return rows
