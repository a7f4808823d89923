"""Run a trained network row by row, without holding feature maps of the whole image.

Every 3×3 convolution keeps the last two input rows and lags by one row. Where maps are
added (residuals, gates, fusion, the input image), earlier rows are buffered until the
others arrive (`memnet_core.model.row_buffers`). Nothing is computed twice. Zero padding
at the first and last row is the same as for the whole image, which is the special case
of one strip.

Images of one size are processed side by side, separated by a column of zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memnet_core.model.fused import FusedWeights
from memnet_core.model.network import pad_to_multiple
from memnet_core.model.row_buffers import (
    ResidualBuffer,
    RowAccumulator,
    RowConv,
    RowLayout,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memnet_core.model.fused import (
        Activation,
        Convolution,
        FusedBlock,
        GateTerm,
    )
    from memnet_core.model.network import MemNet

__all__ = ["EvaluationNetwork", "RowStream"]


class EvaluationNetwork(nn.Module):
    """A trained MemNet, arranged for inference.

    Parameters
    ----------
    model : MemNet
        The trained network; it is not changed.
    exit_block : int, optional
        Stop after memory block m = 1..M-1 and predict y_m (eq. 11).

    Raises
    ------
    UsageError
        If the network makes no prediction after `exit_block`.
    """

    def __init__(self, model: MemNet, exit_block: int | None = None) -> None:
        super().__init__()
        self.architecture = model.architecture
        self.weights = FusedWeights(model, exit_block)

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch of images.

        Parameters
        ----------
        x : Tensor
            Shape (N, C, H, W), values in [0, 1]: the planes of the images, and behind
            them, for a network with a level map, that of the level.

        Returns
        -------
        Tensor
            Restored images, without the level's plane, not clipped.
        """
        images, _, height, width = x.shape
        return self.stream(images, height, width).push(x)

    def rows_held(self, rows: int) -> int:
        """Return how many rows of feature maps there are at once, at most.

        Parameters
        ----------
        rows : int
            Height of a strip, in rows of feature maps.
        """
        blocks = len(self.weights.blocks)
        behind = 2 * self.architecture.recursions
        convolutions = 2 + blocks * behind
        residuals = blocks * behind
        gates = sum(
            (m if self.architecture.long_term else 1) * behind + rows
            for m in range(1, blocks + 1)
        )
        fusion = (blocks - 1) * behind + rows
        # Maps at work in a block, where the last rows add up, as measured.
        at_work = 15 * (rows + behind)
        return 2 * convolutions + residuals + gates + fusion + at_work

    def stream(self, images: int, height: int, width: int) -> RowStream:
        """Return a stream for N images of H rows and W columns."""
        return RowStream(self, images, height, width)


class RowStream:
    """Images on their way through a network.

    Parameters
    ----------
    network : EvaluationNetwork
        The network.
    images, height, width : int
        Number and size of the images.
    """

    def __init__(
        self, network: EvaluationNetwork, images: int, height: int, width: int
    ) -> None:
        weights = network.weights
        unshuffle = network.architecture.unshuffle
        self.images, self.height, self.width = images, height, width
        self.unshuffle = unshuffle
        self._channels = network.architecture.image_channels
        self._pending: Tensor | None = None
        # The rows that the last, incomplete cells reflect.
        self._reflected = unshuffle if height % unshuffle else 0
        self._received = self._returned = 0
        self._most = 0

        frame = RowLayout(images, -(-height // unshuffle), -(-width // unshuffle))
        self._frame = frame
        self._fenet = RowConv(frame, weights.fenet_norm or _copy, weights.fenet)
        self._blocks = [
            _Block(frame, cast("FusedBlock", block)) for block in weights.blocks
        ]
        self._shares_relu = not weights.batch_norm
        self._fusion = list(zip(weights.recon_norms, weights.fusion, strict=True))
        self._fused = RowAccumulator(torch.zeros_like(weights.fenet.weight[:, 0, 0, 0]))
        self._recon = RowConv(frame, _copy, weights.recon)
        self._image = ResidualBuffer(sum(weights.fusion))

    @torch.inference_mode()
    def push(self, x: Tensor) -> Tensor:
        """Take the next rows, and return those that are known by now.

        Parameters
        ----------
        x : Tensor
            Shape (N, C, h, W), the planes of the images and that of the level; h may
            be any number.

        Returns
        -------
        Tensor
            The next restored rows, of shape (N, C, h', W); h' may be 0. After the last
            rows of the images all have been returned.
        """
        nothing = x[:, : self._channels, :0]
        cells = self._cells(x)
        if not cells.shape[2]:
            return nothing
        planes = self._frame.beside(cells)
        self._most = max(self._most, len(planes))
        restored = [
            self._recon(features)
            for features in self._passed(0, self._fenet(planes))
            if len(features)
        ]
        y = torch.cat([planes[:0, :, : self._recon.channels], *restored])
        self._image.add_to(y, planes[..., : y.shape[2]])
        return self._pixels(y) if len(y) else nothing

    def _passed(self, m: int, memory: Tensor) -> Iterator[Tensor]:
        """Yield features for ReconNet that rows of B_m complete.

        With the last rows of an image each layer finishes one more than the one before;
        they go on in parts, so that no map becomes higher than a strip. Without
        BatchNorm the ReLU of B_m is computed here, once for all that read it.
        """
        if m == len(self._blocks):
            self._fuse(m, memory, self._relu(memory))
            yield self._fused.take(len(memory), memory)
            return
        for part in torch.split(memory, self._most):
            relu = self._relu(part)
            self._fuse(m, part, relu)
            for block in self._blocks[m:]:
                block.remember(m, part, relu)
            yield from self._passed(m + 1, self._blocks[m](part))

    def _relu(self, memory: Tensor) -> Tensor | None:
        return self._frame.activated(_relu, memory) if self._shares_relu else None

    def _fuse(self, m: int, memory: Tensor, relu: Tensor | None) -> None:
        """Add the features of B_m to the weighted sum of all."""
        if not m or not len(memory):
            return
        norm, weight = self._fusion[m - 1]
        if weight or m == len(self._blocks):
            term = self._frame.activated(norm, memory) if relu is None else relu
            for place, part in self._fused.places(m, memory):
                part.add_(term[place], alpha=weight)

    def _cells(self, x: Tensor) -> Tensor:
        """Return complete cells as planes, (N, C·u², h / u, W / u), or no rows."""
        self._received += x.shape[2]
        if self._pending is not None:
            x = torch.cat([self._pending, x], 2)
        if self._received < self.height:
            rows = max(x.shape[2] - self._reflected, 0)
            rows -= rows % self.unshuffle
            x, self._pending = x[:, :, :rows], x[:, :, rows:].clone()
        if not x.shape[2]:
            return x
        return F.pixel_unshuffle(pad_to_multiple(x, self.unshuffle), self.unshuffle)

    def _pixels(self, y: Tensor) -> Tensor:
        """Return pixels of restored planes without what was padded."""
        pixels = F.pixel_shuffle(self._frame.apart(y), self.unshuffle)
        rows = min(pixels.shape[2], self.height - self._returned)
        self._returned += rows
        return pixels[:, :, :rows, : self.width]


class _Block:
    """A memory block whose gate takes up each memory as soon as it exists."""

    def __init__(self, frame: RowLayout, weights: FusedBlock) -> None:
        self._frame = frame
        self._weights = weights
        self._recursions = [
            (
                RowConv(frame, cast("Activation", norm), cast("Convolution", first)),
                RowConv(frame, _relu, weights.second),
                ResidualBuffer(),
            )
            for norm, first in zip(weights.norms, weights.first, strict=True)
        ]
        self._gate = RowAccumulator(weights.gate_bias)

    def remember(self, m: int, memory: Tensor, relu: Tensor | None) -> None:
        """Take the next rows of the m-th long-term memory, and their ReLU if known."""
        if self._weights.long_term:
            self._admit(m, memory, relu)

    def __call__(self, h: Tensor) -> Tensor:
        """Take the next rows of B_{m-1} and return those of B_m."""
        # The last gates are those of the recursions, or that of the last recursion.
        term = len(self._weights.gates) - len(self._recursions)
        for first, second, waiting in self._recursions:
            y = second(first(h))
            waiting.add_to(y, h)
            h = y
            if self._weights.short_term:
                self._admit(term, h)
            term += 1
        if not self._weights.short_term:
            self._admit(term - 1, h)
        return self._gate.take(len(h), h)

    def _admit(self, term: int, x: Tensor, relu: Tensor | None = None) -> None:
        if len(x):
            gate = cast("GateTerm", self._weights.gates[term])
            activated = self._frame.activated(gate.norm, x) if relu is None else relu
            for place, part in self._gate.places(term, x):
                gate.convolution.add_to(part, activated[place])


def _copy(x: Tensor, out: Tensor) -> None:
    out.copy_(x)


def _relu(x: Tensor, out: Tensor) -> None:
    torch.clamp_min(x, 0, out=out)
