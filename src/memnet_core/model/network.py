"""MemNet: the network of Tai et al., ICCV 2017, in its training form.

Equation and section numbers refer to Y. Tai, J. Yang, X. Liu, C. Xu, *MemNet: A
Persistent Memory Network for Image Restoration*, ICCV 2017. The evaluation form, which
computes the same function row by row, is in `memnet_core.model.streaming`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from memnet_core.model.architecture import Architecture

__all__ = [
    "MemNet",
    "Prediction",
    "pad_to_multiple",
]


class Prediction(NamedTuple):
    """What a MemNet predicts for a batch of images, each of shape (N, C, H, W).

    `output` is y (eq. 3 or 12); `intermediate` holds y_1 ... y_M (eq. 11), or nothing
    for a network without multi-supervision.
    """

    output: Tensor
    intermediate: tuple[Tensor, ...]


_RESIDUAL_GAIN = 0.3
_RECON_GAIN = 0.1
"""Factors on He's initial weights where no BatchNorm scales the maps: of the second
convolution of a unit, so that H^r does not double with r, and of ReconNet, so that the
first predictions are close to the input. Smaller gates instead make the signal fade and
cost 0.7 dB (docs/decisions/shape-and-recipe.md)."""


class _Memory(NamedTuple):
    """A feature map and, without BatchNorm, its ReLU, computed once for all readers."""

    x: Tensor
    relu: Tensor | None


def _remember(x: Tensor, norm: nn.Module) -> _Memory:
    return _Memory(x, F.relu(x) if isinstance(norm, nn.Identity) else None)


def _norm(architecture: Architecture, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if architecture.batch_norm else nn.Identity()


def _activate(norm: nn.Module, memory: _Memory) -> Tensor:
    """Return τ of a memory: BatchNorm, if there is one, then ReLU."""
    if memory.relu is not None:
        return memory.relu
    return F.relu(norm(memory.x), inplace=True)


class RecursiveUnit(nn.Module):
    """R residual building blocks that share their two convolutions (eq. 5-6).

    Every recursion has its own BatchNorm: the statistics of H^r change with r.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels = architecture.channels
        recursions = range(architecture.recursions)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.ModuleList(_norm(architecture, channels) for _ in recursions)
        self.norm2 = nn.ModuleList(_norm(architecture, channels) for _ in recursions)

    def forward(self, h: _Memory) -> list[_Memory]:
        """Return H^1 ... H^R."""
        outputs = []
        for norm1, norm2 in zip(self.norm1, self.norm2, strict=True):
            inner = self.conv1(_activate(norm1, h))
            residual = self.conv2(F.relu(norm2(inner), inplace=True))
            h = _remember(residual + h.x, norm1)
            outputs.append(h)
        return outputs


class GateUnit(nn.Module):
    """τ and a 1×1 convolution over all memories (eq. 8-9)."""

    def __init__(self, architecture: Architecture, block: int) -> None:
        super().__init__()
        channels = architecture.channels
        inputs = architecture.gate_inputs(block) * channels
        self.norm = _norm(architecture, inputs)
        self.conv = nn.Conv2d(inputs, channels, 1)

    def forward(self, memories: list[_Memory]) -> Tensor:
        """Return B_m from the long-term, then the short-term memories."""
        relus = [memory.relu for memory in memories if memory.relu is not None]
        if relus:
            activated = torch.cat(relus, 1)
        else:
            joined = torch.cat([memory.x for memory in memories], 1)
            activated = F.relu(self.norm(joined), inplace=True)
        gated: Tensor = self.conv(activated)
        return gated


class MemoryBlock(nn.Module):
    """A recursive unit and the gate unit behind it (section 3.2)."""

    def __init__(self, architecture: Architecture, block: int) -> None:
        super().__init__()
        self.long_term = architecture.long_term
        self.short_term = architecture.short_term
        self.recursive = RecursiveUnit(architecture)
        self.gate = GateUnit(architecture, block)

    def forward(self, memories: list[_Memory]) -> Tensor:
        """Return B_m from [B_0 ... B_{m-1}]."""
        recursions = self.recursive(memories[-1])
        long_term = memories if self.long_term else []
        short_term = recursions if self.short_term else recursions[-1:]
        gated: Tensor = self.gate([*long_term, *short_term])
        return gated


class ReconNet(nn.Module):
    """The reconstruction convolution, shared by all predictions (eq. 3, 11)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels = architecture.channels
        self.norm = nn.ModuleList(
            _norm(architecture, channels) for _ in range(architecture.predictions)
        )
        planes = architecture.image_channels * architecture.unshuffle**2
        self.conv = nn.Conv2d(channels, planes, 3, padding=1)

    def forward(self, b: _Memory, prediction: int) -> Tensor:
        """Return the residual that the features `b` predict."""
        residual: Tensor = self.conv(_activate(self.norm[prediction], b))
        return residual


class MemNet(nn.Module):
    """A persistent memory network.

    Parameters
    ----------
    architecture : Architecture
        The hyper-parameters.

    Attributes
    ----------
    checkpointing : bool
        Whether to keep only the outputs of the memory blocks while training, and to
        compute the rest again for the gradients.

    Notes
    -----
    Weights are drawn as He et al. propose, scaled down in two places where there is no
    BatchNorm; biases start at 0, fusion weights at 1/M.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.checkpointing = False
        planes = architecture.input_channels * architecture.unshuffle**2
        self.fenet_norm = nn.BatchNorm2d(planes) if architecture.fenet_norm else None
        self.fenet = nn.Conv2d(planes, architecture.channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            MemoryBlock(architecture, m) for m in range(architecture.memory_blocks)
        )
        self.reconnet = ReconNet(architecture)
        if architecture.multi_supervised:
            blocks = architecture.memory_blocks
            self.fusion = nn.Parameter(torch.full((blocks,), 1 / blocks))
        # Weights on the meta device are read from a file; drawing them there imports
        # PyTorch's compiler, for a second of the processor.
        if not self.fenet.weight.is_meta:
            self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.architecture.batch_norm:
            return
        for unit in self.modules():
            if isinstance(unit, RecursiveUnit):
                unit.conv2.weight.mul_(_RESIDUAL_GAIN)
        self.reconnet.conv.weight.mul_(_RECON_GAIN)

    def forward(self, x: Tensor, exit_block: int | None = None) -> Prediction:
        """Restore a batch of images.

        Parameters
        ----------
        x : Tensor
            Shape (N, C, H, W), values in [0, 1]: the planes of the images, and behind
            them, for a network with a level map, that of the level, or those of
            luminance and chroma.
        exit_block : int, optional
            Stop after memory block m = 1..M-1 and return y_m as the output; M, like
            None, gives y.

        Returns
        -------
        Prediction
            Output and intermediate predictions, each of the shape of the images.

        Raises
        ------
        UsageError
            If the network makes no prediction after `exit_block`.
        """
        self.architecture.check_exit_block(exit_block)
        height, width = x.shape[-2:]
        unshuffle = self.architecture.unshuffle
        planes = F.pixel_unshuffle(pad_to_multiple(x, unshuffle), unshuffle)
        image = planes[:, : self.architecture.image_channels * unshuffle**2]

        def reconstruct(b: _Memory, prediction: int) -> Tensor:
            y = F.pixel_shuffle(image + self.reconnet(b, prediction), unshuffle)
            return y[..., :height, :width]

        features = (
            planes if self.fenet_norm is None else F.relu(self.fenet_norm(planes))
        )
        # Any norm tells whether there are some.
        norm = self.reconnet.norm[0]
        memories = [_remember(self.fenet(features), norm)]
        for block in self.blocks[:exit_block]:
            if self.checkpointing and self.training:
                # The ReLUs are computed again with the block, rather than kept.
                maps = [memory.x for memory in memories]
                b = checkpoint(_run_block, block, maps, norm, use_reentrant=False)
            else:
                b = block(memories)
            memories.append(_remember(b, norm))

        if not self.architecture.multi_supervised:
            return Prediction(reconstruct(memories[-1], 0), ())
        intermediate = tuple(reconstruct(b, m) for m, b in enumerate(memories[1:]))
        if exit_block is not None and exit_block < self.architecture.memory_blocks:
            return Prediction(intermediate[-1], intermediate)
        weighted = [w * y for w, y in zip(self.fusion, intermediate, strict=True)]
        return Prediction(torch.stack(weighted).sum(0), intermediate)


def _run_block(block: nn.Module, maps: list[Tensor], norm: nn.Module) -> Tensor:
    b: Tensor = block([_remember(x, norm) for x in maps])
    return b


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend the last two axes by reflection until `multiple` divides them.

    Parameters
    ----------
    x : Tensor
        Planes of shape (..., H, W), of any size from 1×1.
    multiple : int
        What has to divide the sides of the result.
    """
    for axis in (-2, -1):
        size = x.shape[axis]
        padded = -(-size // multiple) * multiple
        if padded > size:
            period = max(2 * (size - 1), 1)
            index = torch.arange(padded, device=x.device) % period
            x = x.index_select(axis, torch.minimum(index, period - index))
    return x
