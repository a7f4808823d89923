"""The weights of a trained network, arranged for evaluation.

Compared with `memnet_core.model.network`:

- a gate unit is a sum of 1×1 convolutions, one for each memory, so that the memories
  are never concatenated;
- the second BatchNorm of a recursion is folded into the first convolution, and every
  other one is a single multiply-add followed by ReLU; a network without BatchNorm has
  a plain ReLU instead;
- ReconNet's one convolution acts on the weighted sum of all blocks' features, as the
  predictions share it and their fusion (eq. 12) is linear.

Feature maps have the shape (rows, columns, channels).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from memnet_core.model.network import GateUnit, MemNet, MemoryBlock

__all__ = [
    "Activation",
    "Affine",
    "Convolution",
    "FusedBlock",
    "FusedWeights",
    "GateTerm",
    "Rectifier",
]


class FusedWeights(nn.Module):
    """What a trained MemNet needs to make one prediction.

    Parameters
    ----------
    model : MemNet
        The trained network; it is not changed.
    exit_block : int, optional
        Stop after memory block m = 1..M-1 and predict y_m (eq. 11).

    Attributes
    ----------
    fusion : list of float
        Weight of the features of each block in the prediction.
    batch_norm : bool
        Whether activations differ between the readers of a memory.

    Raises
    ------
    UsageError
        If the network makes no prediction after `exit_block`.
    """

    def __init__(self, model: MemNet, exit_block: int | None = None) -> None:
        super().__init__()
        architecture = model.architecture
        architecture.check_exit_block(exit_block)
        blocks = cast("list[MemoryBlock]", list(model.blocks[:exit_block]))
        self.batch_norm = architecture.batch_norm
        self.fenet_norm = Affine.of(model.fenet_norm) if model.fenet_norm else None
        self.fenet = Convolution(model.fenet.weight, model.fenet.bias)
        self.blocks = nn.ModuleList(FusedBlock(block) for block in blocks)

        norms: list[nn.Module] = list(model.reconnet.norm)
        fusion = torch.zeros(len(blocks))
        if not architecture.multi_supervised:
            fusion[-1] = 1
            norms = norms * len(blocks)
        elif len(blocks) < architecture.memory_blocks:
            fusion[-1] = 1
        else:
            fusion = model.fusion.detach()
        self.fusion: list[float] = fusion.tolist()
        self.recon_norms = nn.ModuleList(
            _activation(norm) for norm in norms[: len(blocks)]
        )
        conv = model.reconnet.conv
        bias = cast("Tensor", conv.bias)
        self.recon = Convolution(conv.weight, bias * fusion.sum())
        self.requires_grad_(False)


class Affine(nn.Module):
    """BatchNorm in evaluation mode and ReLU: max(0, s·x + t) for each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.detach().clone())
        self.register_buffer("shift", shift.detach().clone())

    @classmethod
    def of(cls, norm: nn.Module | None) -> Affine:
        """Make one of a BatchNorm with its running statistics."""
        return cls(*_scale_and_shift(cast("nn.BatchNorm2d", norm)))

    def forward(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a new map, or fill `out`."""
        return torch.addcmul(self.shift, x, self.scale, out=out).relu_()


class Rectifier(nn.Module):
    """ReLU, the activation of a network without BatchNorm."""

    def forward(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a new map, or fill `out`."""
        return torch.clamp_min(x, 0, out=out)


Activation = Affine | Rectifier


class Convolution(nn.Module):
    """A convolution that pads columns by zeros, and rows not at all."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        weight = weight.detach().clone(memory_format=torch.channels_last)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.padding = (0, weight.shape[-1] // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map; a 3×3 convolution takes two rows away."""
        batch = _batch(x)
        if _by_onednn(x):
            # Where a map is small F.conv2d chooses another algorithm, which rounds
            # otherwise; so do matrix products of a few rows.
            y = torch.mkldnn_convolution(
                batch, self.weight, self.bias, self.padding, (1, 1), (1, 1), 1
            )
        else:
            y = F.conv2d(batch, self.weight, self.bias, padding=self.padding)
        return y[0].permute(1, 2, 0).contiguous()

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the result for `x` to a map of its size."""
        if _adds_in_place(x.device.type, x.dtype):
            _add_convolution(_batch(total), _batch(x), self.weight, self.bias)
        else:
            total.add_(self(x))


class FusedBlock(nn.Module):
    """The weights of a memory block."""

    def __init__(self, block: MemoryBlock) -> None:
        super().__init__()
        self.long_term = block.long_term
        self.short_term = block.short_term
        unit = block.recursive
        self.norms = nn.ModuleList(_activation(norm) for norm in unit.norm1)
        self.first = nn.ModuleList(_folded(unit.conv1, norm) for norm in unit.norm2)
        self.second = Convolution(unit.conv2.weight, unit.conv2.bias)
        self.gates = nn.ModuleList(_gate_terms(block.gate))
        self.gate_bias: Tensor
        bias = cast("Tensor", block.gate.conv.bias)
        self.register_buffer("gate_bias", bias.detach().clone())


class GateTerm(nn.Module):
    """What one memory contributes to a gate: W_k τ_k(x_k)."""

    def __init__(self, norm: Activation, weight: Tensor) -> None:
        super().__init__()
        self.norm = norm
        self.convolution = Convolution(weight, None)


def _batch(x: Tensor) -> Tensor:
    """Return a map as PyTorch's convolutions want it: (1, C, H, W), channels last."""
    return x[None].permute(0, 3, 1, 2)


def _by_onednn(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and _HAS_ONEDNN


def _add_convolution(
    total: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None
) -> None:
    """Add a 1×1 convolution to a map in one pass, a tenth of the network's time."""
    torch.ops.mkldnn._convolution_pointwise_.binary(
        total, x, weight, bias, (0, 0), (1, 1), (1, 1), 1, "add", 1.0, None, (), None
    )


@cache
def _adds_in_place(device: str, dtype: torch.dtype) -> bool:
    """Whether the operator is as PyTorch's own compiler uses it: it is undocumented."""
    if device != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        return False
    one = torch.ones(1, 1, 1, 1, dtype=dtype)
    total = one.clone()
    try:
        _add_convolution(total, one, one, None)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return total.item() == 2


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return s and t such that BatchNorm in evaluation mode is s·x + t."""
    mean = cast("Tensor", norm.running_mean)
    variance = cast("Tensor", norm.running_var)
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def _activation(norm: nn.Module) -> Activation:
    """Return BatchNorm, if there is one, and ReLU."""
    return Rectifier() if isinstance(norm, nn.Identity) else Affine.of(norm)


def _folded(conv: nn.Conv2d, norm: nn.Module) -> Convolution:
    """Return a convolution and the BatchNorm behind it, if there is one, in one."""
    if isinstance(norm, nn.Identity):
        return Convolution(conv.weight, conv.bias)
    scale, shift = _scale_and_shift(cast("nn.BatchNorm2d", norm))
    bias = cast("Tensor", conv.bias)
    return Convolution(conv.weight * scale.reshape(-1, 1, 1, 1), bias * scale + shift)


def _gate_terms(gate: GateUnit) -> list[GateTerm]:
    """Split a gate unit by its memories."""
    channels = gate.conv.out_channels
    weights = torch.split(gate.conv.weight, channels, dim=1)
    if isinstance(gate.norm, nn.Identity):
        return [GateTerm(Rectifier(), weight) for weight in weights]
    scales, shifts = (
        torch.split(part, channels)
        for part in _scale_and_shift(cast("nn.BatchNorm2d", gate.norm))
    )
    return [
        GateTerm(Affine(scale, shift), weight)
        for scale, shift, weight in zip(scales, shifts, weights, strict=True)
    ]


_HAS_ONEDNN = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
