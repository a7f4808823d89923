"""Fine-tuning: choose the initial model, expand it, decide if a data set is small."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from memnet_core.errors import ModelError, SettingRef, TrainingError
from memnet_core.io import open_scenes
from memnet_core.model.network import MemNet
from memnet_core.model.registry import find_model, installed
from memnet_core.training.data.clean_images import image_files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import nn

    from memnet_core.model.architecture import Architecture
    from memnet_core.model.card import Card
    from memnet_core.model.network import GateUnit, MemoryBlock
    from memnet_core.tasks import Grain

__all__ = ["FEW_MEGAPIXELS", "expand_model", "is_small_dataset", "start_card"]

FEW_MEGAPIXELS = 50
"""Data sets up to this size start from a trained model; about 300 images of BSD."""


def start_card(
    start: str | None, task: str | None, grain: Grain = "white", channels: int = 1
) -> Card:
    """Return the card of the model that a run starts from.

    Parameters
    ----------
    start : str, optional
        Name or file of the model; by default the shipped model for the task.
    task : str, optional
        Required task of the model.
    grain : str
        Noise correlation of the shipped model: ``white`` or ``correlated``.
    channels : int
        Planes that the shipped model restores together, if there is the choice: 1 for
        gray, 3 for color.

    Raises
    ------
    ModelError
        If there is none.
    TrainingError
        If it is for another task.
    """
    if start is None:
        cards = [e.card for e in installed()[0] if e.is_shipped and e.card.task == task]
        if not cards:
            init = SettingRef("init")
            raise ModelError(
                f"No model for {task} ships; give one to start from with {init}",
                settings=[init],
            )
        return min(
            cards,
            key=lambda card: (
                card.grain != grain,
                card.architecture.image_channels != channels,
            ),
        )
    card = find_model(start).card
    if task is not None and card.task != task:
        raise TrainingError(
            f"The model {card.name!r} to start from is for {card.task}, not for {task}."
        )
    return card


def is_small_dataset(folders: Iterable[Path]) -> bool:
    """Whether the images of the folders hold too few pixels to train from scratch.

    Raises
    ------
    MemnetError
        If a folder holds no image, or one cannot be opened.
    """
    pixels = 0
    for folder in folders:
        for path in image_files(folder):
            with open_scenes(path) as scenes:
                for number in range(len(scenes)):
                    with scenes.open(number) as image:
                        pixels += math.prod(image.shape[:3])
            if pixels > FEW_MEGAPIXELS * 1e6:
                return False
    return True


@torch.no_grad()
def expand_model(model: MemNet, architecture: Architecture) -> MemNet:
    """Build a larger network that computes the same function.

    New recursions get no weight in the gate units, new memory blocks none in the
    output, and a new level map none in FENet. Without short-term memories, more
    recursions do change the function. A color network computes the same for images
    whose channels are equal.

    Parameters
    ----------
    model : MemNet
        The trained network; it is not changed.
    architecture : Architecture
        The same architecture, or one with more memory blocks or recursions, with a
        level map, or for color.

    Raises
    ------
    TrainingError
        If the architectures differ in anything else, or the network is larger.
    """
    old = model.architecture
    same = replace(
        old,
        memory_blocks=architecture.memory_blocks,
        recursions=architecture.recursions,
        level_map=architecture.level_map,
        image_channels=architecture.image_channels,
        chroma_level=architecture.chroma_level,
    )
    if (
        same != architecture
        or old.memory_blocks > architecture.memory_blocks
        or old.recursions > architecture.recursions
        or old.level_map > architecture.level_map
        or old.image_channels > architecture.image_channels
        or old.chroma_level > architecture.chroma_level
    ):
        raise TrainingError(
            "A run starts from a model of its own architecture, or one with fewer "
            "memory blocks or recursions, without a level map, or for gray planes; "
            f"this one has {_shape(old)}, the run {_shape(architecture)}."
        )
    larger = MemNet(architecture)
    _grow_input(model, larger)
    for source, target in zip(model.blocks, larger.blocks, strict=False):
        _grow_block(source, target)  # type: ignore[arg-type]
    _repeat_output(model.reconnet.conv, larger.reconnet.conv)
    _copy_list(model.reconnet.norm, larger.reconnet.norm)
    if architecture.multi_supervised:
        larger.fusion.zero_()
        larger.fusion[: old.memory_blocks] = model.fusion
    return larger.train()


def _grow_input(model: MemNet, larger: MemNet) -> None:
    """Copy FENet; colors share the weights of a gray plane, a new level map has none.

    Differences of colors get random weights, which cancel for gray images. Without
    them the network gets the mean of the colors only, and learns nothing else.
    """
    old, new = model.architecture, larger.architecture
    cells = old.unshuffle**2
    image = old.image_channels * cells
    colors = new.image_channels // old.image_channels
    weight = model.fenet.weight
    target = larger.fenet.weight.zero_()
    shared = weight[:, None, :image].repeat(1, colors, 1, 1, 1) / colors
    contrast = torch.randn_like(shared) * weight[:, :image].std()
    contrast -= contrast.mean(1, keepdim=True)
    target[:, : colors * image] = (shared + contrast).flatten(1, 2)
    # A level of chroma comes last, and is the one that is new.
    levels = slice(colors * image, colors * image + old.level_planes * cells)
    target[:, levels] = weight[:, image:]
    assert model.fenet.bias is not None
    assert larger.fenet.bias is not None
    larger.fenet.bias.copy_(model.fenet.bias)
    if model.fenet_norm is None or larger.fenet_norm is None:
        return
    goals = larger.fenet_norm.state_dict()
    for name, tensor in model.fenet_norm.state_dict().items():
        if tensor.ndim == 0:
            goals[name].copy_(tensor)
            continue
        goals[name][: colors * image] = tensor[:image].repeat(colors)
        goals[name][levels] = tensor[image:]


def _repeat_output(source: nn.Conv2d, target: nn.Conv2d) -> None:
    """Copy ReconNet, once for each color."""
    colors = target.out_channels // source.out_channels
    assert source.bias is not None
    assert target.bias is not None
    target.weight.copy_(source.weight.repeat(colors, 1, 1, 1))
    target.bias.copy_(source.bias.repeat(colors))


def _grow_block(source: MemoryBlock, target: MemoryBlock) -> None:
    _copy(source.recursive.conv1, target.recursive.conv1)
    _copy(source.recursive.conv2, target.recursive.conv2)
    _copy_list(source.recursive.norm1, target.recursive.norm1)
    _copy_list(source.recursive.norm2, target.recursive.norm2)
    _grow_gate(source.gate, target.gate)


def _grow_gate(source: GateUnit, target: GateUnit) -> None:
    """Copy a gate unit; new inputs come last and get no weight."""
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
    """Copy modules one by one; additional targets get the last one."""
    for index, module in enumerate(target):
        _copy(source[min(index, len(source) - 1)], module)


def _shape(architecture: Architecture) -> str:
    """Describe an architecture, such as ``M4 R4, 48 channels, unshuffle 2``."""
    kinds = [
        word
        for name, word in (
            ("multi_supervised", "multi-supervised"),
            ("long_term", "long-term"),
            ("short_term", "short-term"),
            ("fenet_norm", "normalized FENet"),
            ("level_map", "level map"),
            ("chroma_level", "level of chroma"),
            ("batch_norm", "BatchNorm"),
        )
        if getattr(architecture, name)
    ]
    return (
        f"M{architecture.memory_blocks} R{architecture.recursions}, "
        f"{architecture.channels} channels, unshuffle {architecture.unshuffle}, "
        f"{'color' if architecture.image_channels > 1 else 'gray'} "
        f"({', '.join(kinds)})"
    )
