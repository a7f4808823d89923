"""Registration of MemNet with spandrel, for programs that load models with it.

spandrel (pip install spandrel) detects the architecture of a file from its tensors and
returns a descriptor. The card of a model, and so its levels, is not passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from spandrel import (
    MAIN_REGISTRY,
    Architecture,
    ArchSupport,
    ImageModelDescriptor,
    SizeRequirements,
)
from spandrel.util import KeyCondition

from memnet_core.errors import UsageError
from memnet_core.export.import_weights import architecture_of
from memnet_core.model.checkpoint import load_model
from memnet_core.model.network import MemNet
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

__all__ = ["MemNetArch", "described", "register"]


class MemNetArch(Architecture[MemNet]):  # type: ignore[misc]
    """Registration of MemNet with spandrel.

    Parameters
    ----------
    plane : float, optional
        Value of the level map, for networks with one: σ/255 for noise, see
        `memnet_core.tasks.Task.level_map_value`.
    """

    def __init__(self, plane: float | None = None) -> None:
        super().__init__(
            id="MemNet",
            detect=KeyCondition.has_all(
                "fenet.weight",
                "blocks.0.recursive.conv1.weight",
                "blocks.0.gate.conv.weight",
                "reconnet.conv.weight",
            ),
        )
        self._plane = plane

    def load(self, state_dict: Mapping[str, Tensor]) -> ImageModelDescriptor[MemNet]:
        """Return the descriptor of a network.

        Its scale is always 1: super-resolution networks take an image that is already
        enlarged by bicubic interpolation.

        Raises
        ------
        ModelError
            If the tensors are not exactly those of one architecture.
        UsageError
            If the network has a level map, and no value was given.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
        shape = architecture_of(shapes)
        if shape.level_map and self._plane is None:
            raise UsageError(
                "This model needs the level; register MemNetArch(plane=...), which is "
                "σ/255 for noise."
            )
        return ImageModelDescriptor(
            MemNet(shape),
            state_dict,
            architecture=self,
            purpose="Restoration",
            tags=[
                f"M{shape.memory_blocks}R{shape.recursions}",
                f"{shape.channels}nc",
                *([f"unshuffle{shape.unshuffle}"] if shape.unshuffle > 1 else []),
            ],
            supports_half=False,
            supports_bfloat16=False,
            scale=1,
            input_channels=shape.image_channels,
            output_channels=shape.image_channels,
            size_requirements=SizeRequirements(multiple_of=shape.unshuffle),
            call_fn=self._restored,
        )

    def _restored(self, model: MemNet, image: Tensor) -> Tensor:
        level = torch.full_like(image[:, :1], self._plane or 0.0)
        planes = torch.cat([image, *[level] * model.architecture.level_planes], 1)
        restored: Tensor = model(planes).output
        return restored


def register(plane: float | None = None, registry: Any = MAIN_REGISTRY) -> None:
    """Register MemNet with spandrel, so that its ModelLoader opens our files.

    Parameters
    ----------
    plane : float, optional
        As for `MemNetArch`.
    registry : spandrel.ArchRegistry
        Registry to extend; a second registration changes nothing.
    """
    support = ArchSupport.from_architecture(MemNetArch(plane))
    registry.add(support, ignore_duplicates=True)


def described(path: Path, level: float | None = None) -> ImageModelDescriptor[MemNet]:
    """Return spandrel's descriptor of a model file, completed from its card.

    Parameters
    ----------
    path : Path
        Model file.
    level : float, optional
        Level of the degradation, for a model with a level map.

    Raises
    ------
    ModelError
        If the file cannot be loaded, see `memnet_core.load_model`.
    LevelError
        If the task has no such level.
    UsageError
        If the model needs a level.
    """
    model, card = load_model(path)
    task = find_task(card.task)
    plane = None
    if level is not None:
        task.check(level)
        plane = task.level_map_value(level)
    descriptor = MemNetArch(plane).load(model.state_dict())
    descriptor.tags.append(card.serves)
    return descriptor.eval()
