"""Starting from a trained network, also one with fewer blocks or recursions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from memnet_core.errors import TrainingError
from memnet_core.model.network import MemNet

if TYPE_CHECKING:
    from torch import nn

    from memnet_core.model.architecture import Architecture
    from memnet_core.model.network import GateUnit, MemoryBlock

__all__ = ["grown"]


@torch.no_grad()
def grown(model: MemNet, architecture: Architecture) -> MemNet:
    """Return a network that computes what a smaller one does, and can learn more.

    Gate units start without the recursions that are new, and the output without the
    predictions of new memory blocks. Where short-term memories are left out, more
    recursions do change the function.

    Parameters
    ----------
    model : MemNet
        The trained network; it is not changed.
    architecture : Architecture
        The same, or with more memory blocks or recursions.

    Raises
    ------
    TrainingError
        If the architectures differ in anything else, or the network is the larger.
    """
    old = model.architecture
    same = replace(
        old,
        memory_blocks=architecture.memory_blocks,
        recursions=architecture.recursions,
    )
    if (
        same != architecture
        or old.memory_blocks > architecture.memory_blocks
        or old.recursions > architecture.recursions
    ):
        raise TrainingError(
            "A run starts from a model of its own architecture, or one with fewer "
            f"memory blocks or recursions; this one has {_shape(old)}, the run "
            f"{_shape(architecture)}."
        )
    larger = MemNet(architecture)
    _copy(model.fenet, larger.fenet)
    if model.fenet_norm is not None and larger.fenet_norm is not None:
        _copy(model.fenet_norm, larger.fenet_norm)
    for source, target in zip(model.blocks, larger.blocks, strict=False):
        _grow_block(source, target)  # type: ignore[arg-type]
    _copy(model.reconnet.conv, larger.reconnet.conv)
    _copy_list(model.reconnet.norm, larger.reconnet.norm)
    if architecture.multi_supervised:
        larger.fusion.zero_()
        larger.fusion[: old.memory_blocks] = model.fusion
    return larger.train()


def _grow_block(source: MemoryBlock, target: MemoryBlock) -> None:
    _copy(source.recursive.conv1, target.recursive.conv1)
    _copy(source.recursive.conv2, target.recursive.conv2)
    _copy_list(source.recursive.norm1, target.recursive.norm1)
    _copy_list(source.recursive.norm2, target.recursive.norm2)
    _grow_gate(source.gate, target.gate)


def _grow_gate(source: GateUnit, target: GateUnit) -> None:
    """Copy a gate unit; the inputs that it lacks come last, and get no weight."""
    inputs = source.conv.in_channels
    target.conv.weight.zero_()
    target.conv.weight[:, :inputs] = source.conv.weight
    assert target.conv.bias is not None
    assert source.conv.bias is not None
    target.conv.bias.copy_(source.conv.bias)
    for name, tensor in source.norm.state_dict().items():
        goal = target.norm.state_dict()[name]
        (goal[:inputs] if goal.ndim else goal).copy_(tensor)


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


def _copy_list(source: nn.ModuleList, target: nn.ModuleList) -> None:
    """Copy one by one, and the last to all that remain."""
    for index, module in enumerate(target):
        _copy(source[min(index, len(source) - 1)], module)


def _shape(architecture: Architecture) -> str:
    """Return what a network is, such as ``M4 R4, 48 channels, unshuffle 2``."""
    kinds = [
        word
        for name, word in (
            ("multi_supervised", "multi-supervised"),
            ("long_term", "long-term"),
            ("short_term", "short-term"),
            ("fenet_norm", "normalised FENet"),
        )
        if getattr(architecture, name)
    ]
    return (
        f"M{architecture.memory_blocks} R{architecture.recursions}, "
        f"{architecture.channels} channels, unshuffle {architecture.unshuffle} "
        f"({', '.join(kinds)})"
    )
