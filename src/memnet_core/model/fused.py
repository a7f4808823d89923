"""The network in its evaluation form: the same function, faster and in less memory.

Compared with `memnet_core.model.network`:

- a gate unit is a running sum of 1×1 convolutions, one for each memory, so that the
  memories are never concatenated;
- the second BatchNorm of a recursion is folded into the first convolution, and every
  other one is a single multiply-add in place, followed by ReLU in place;
- ReconNet's one convolution acts on the weighted sum of all blocks' features, as the
  predictions share it and their fusion (eq. 12) is linear;
- feature maps are channels-last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memnet_core.model.network import pad_to_multiple

if TYPE_CHECKING:
    from memnet_core.model.architecture import Architecture
    from memnet_core.model.network import GateUnit, MemNet, MemoryBlock, RecursiveUnit

__all__ = ["EvaluationNetwork", "memory_per_pixel"]


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
        architecture = model.architecture
        architecture.check_exit_block(exit_block)
        self.unshuffle = architecture.unshuffle
        self.image_planes = architecture.image_channels * architecture.unshuffle**2
        blocks = cast("list[MemoryBlock]", list(model.blocks[:exit_block]))

        self.fenet_norm = _Affine.of(model.fenet_norm) if model.fenet_norm else None
        self.fenet = _Convolution(model.fenet.weight, model.fenet.bias)
        self.blocks = nn.ModuleList(_Block(block) for block in blocks)

        fusion = torch.zeros(len(blocks))
        if not architecture.multi_supervised:
            fusion[-1], norms = (
                1.0,
                [None] * (len(blocks) - 1) + [model.reconnet.norm[0]],
            )
        elif len(blocks) < architecture.memory_blocks:
            fusion[-1], norms = 1.0, list(model.reconnet.norm[: len(blocks)])
        else:
            fusion, norms = model.fusion.detach(), list(model.reconnet.norm)
        self.fusion = fusion.tolist()
        self.recon_norms = nn.ModuleList(
            _Affine.of(norm) if weight else nn.Identity()
            for norm, weight in zip(norms, self.fusion, strict=True)
        )
        conv = model.reconnet.conv
        bias = cast("Tensor", conv.bias)
        self.recon = _Convolution(conv.weight, bias * fusion.sum())
        self.requires_grad_(False)

    @torch.inference_mode()
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
        height, width = x.shape[-2:]
        planes = F.pixel_unshuffle(pad_to_multiple(x, self.unshuffle), self.unshuffle)
        first = planes if self.fenet_norm is None else self.fenet_norm(planes)
        memories = [self.fenet(first).contiguous(memory_format=torch.channels_last)]
        activated = torch.empty_like(memories[0])
        fused = torch.zeros_like(activated)
        for block, norm, weight in zip(
            self.blocks, self.recon_norms, self.fusion, strict=True
        ):
            memories.append(block(memories, activated))
            if weight:
                fused.add_(norm(memories[-1], activated), alpha=weight)
        image = planes[:, : self.image_planes]
        y = self.recon(fused).add_(image, alpha=sum(self.fusion))
        return F.pixel_shuffle(y, self.unshuffle)[..., :height, :width]


class _Affine(nn.Module):
    """BatchNorm in evaluation mode and ReLU: max(0, s·x + t) for each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.detach().reshape(1, -1, 1, 1))
        self.register_buffer("shift", shift.detach().reshape(1, -1, 1, 1))

    @classmethod
    def of(cls, norm: nn.Module | None) -> _Affine:
        return cls(*_scale_and_shift(cast("nn.BatchNorm2d", norm)))

    def forward(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale, out=out).relu_()


class _Convolution(nn.Module):
    """A convolution that keeps the size of its input."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        weight = weight.detach().clone(memory_format=torch.channels_last)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.padding = weight.shape[-1] // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)


class _Block(nn.Module):
    """A memory block whose gate unit takes up each memory as soon as it exists."""

    def __init__(self, block: MemoryBlock) -> None:
        super().__init__()
        self.long_term = block.long_term
        self.short_term = block.short_term
        self.first, self.second = _recursive_convolutions(block.recursive)
        self.norms = nn.ModuleList(_Affine.of(n) for n in block.recursive.norm1)
        self.gates = nn.ModuleList(_gate_terms(block.gate))

    def forward(self, memories: list[Tensor], activated: Tensor) -> Tensor:
        """Return B_m; `activated` is scratch space of the shape of a memory."""
        gates = iter(self.gates)
        gated: Tensor | None = None
        for memory in memories if self.long_term else []:
            gated = _added(gated, next(gates)(memory, activated))
        h = memories[-1]
        last = len(self.norms) - 1
        for r, (norm, first) in enumerate(zip(self.norms, self.first, strict=True)):
            inner = first(norm(h, activated)).relu_()
            h = self.second(inner).add_(h)
            if self.short_term or r == last:
                gated = _added(gated, next(gates)(h, activated))
        return cast("Tensor", gated)


class _GateTerm(nn.Module):
    """What one memory contributes to a gate: W_k τ_k(x_k)."""

    def __init__(self, norm: _Affine, convolution: _Convolution) -> None:
        super().__init__()
        self.norm = norm
        self.convolution = convolution

    def forward(self, memory: Tensor, activated: Tensor) -> Tensor:
        term: Tensor = self.convolution(self.norm(memory, activated))
        return term


def memory_per_pixel(architecture: Architecture) -> int:
    """Return the bytes that `EvaluationNetwork` needs for a pixel of float32 input.

    At the end of the last block there are M long-term memories, the running sums of
    gate and fusion, H^{r-1}, H^r, scratch space, and what the convolution itself takes.
    """
    maps = architecture.memory_blocks + 6
    return -(-maps * architecture.channels * 4 // architecture.unshuffle**2) + 16


def _added(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total.add_(term)


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return s and t such that BatchNorm in evaluation mode is s·x + t."""
    mean = cast("Tensor", norm.running_mean)
    variance = cast("Tensor", norm.running_var)
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def _recursive_convolutions(
    unit: RecursiveUnit,
) -> tuple[nn.ModuleList, _Convolution]:
    """Return W1 with the second BatchNorm of each recursion folded in, and W2."""
    folded = nn.ModuleList()
    bias = cast("Tensor", unit.conv1.bias)
    for norm in unit.norm2:
        scale, shift = _scale_and_shift(cast("nn.BatchNorm2d", norm))
        weight = unit.conv1.weight * scale.reshape(-1, 1, 1, 1)
        folded.append(_Convolution(weight, bias * scale + shift))
    return folded, _Convolution(unit.conv2.weight, unit.conv2.bias)


def _gate_terms(gate: GateUnit) -> list[_GateTerm]:
    """Split a gate unit by its memories; the first term carries the bias."""
    channels = gate.conv.out_channels
    scales, shifts = (
        torch.split(part, channels) for part in _scale_and_shift(gate.norm)
    )
    weights = torch.split(gate.conv.weight, channels, dim=1)
    return [
        _GateTerm(
            _Affine(scale, shift),
            _Convolution(weight, gate.conv.bias if k == 0 else None),
        )
        for k, (scale, shift, weight) in enumerate(
            zip(scales, shifts, weights, strict=True)
        )
    ]
