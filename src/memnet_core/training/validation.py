"""Validate a network in evaluation mode, on a fixed set of images."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from memnet_core.errors import TrainingError
from memnet_core.image_ops.metrics import psnr
from memnet_core.image_ops.resize import modcrop
from memnet_core.training.data.sampler import make_sampler, network_planes
from memnet_core.training.events import Example
from memnet_core.training.losses import memnet_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.model.network import MemNet
    from memnet_core.training.config import TrainingConfig
    from memnet_core.training.data.images import TrainingImages

    _Scored = tuple[NDArray[Any], NDArray[Any], float]
    """Degraded, clean, and what the level's plane holds, if there is one."""

__all__ = ["RESERVED_STEPS", "Validation", "weight_sizes"]

RESERVED_STEPS = 2**40
"""Samples of steps from here on are never trained on."""

_IMAGES = 8
_SIDE = 240
_EXAMPLE_SIDE = 120
_EXAMPLES = 3
_LOSS_BATCHES = 4


class Validation:
    """Fixed images and patches.

    Parameters
    ----------
    config : TrainingConfig
        Task, levels, seed and loss.
    images : TrainingImages
        The centers of the first eight are restored.
    device : torch.device
        Where the network is.

    Attributes
    ----------
    input_psnr : dict of str to float
        Mean PSNR in dB of the degraded images, by level.
    remark : str
        Which images are too small for patches.
    """

    def __init__(
        self, config: TrainingConfig, images: TrainingImages, device: torch.device
    ) -> None:
        self._alpha = config.alpha
        self._device = device
        phase = config.phases[-1]
        sampler = make_sampler(config, images)
        self.remark = sampler.remark
        self._batches = [
            sampler.batch(RESERVED_STEPS + n, phase.patch, range(phase.batch))
            for n in range(_LOSS_BATCHES)
        ]
        self._pairs = _pairs(config, images)
        self.input_psnr = {
            label: _mean([psnr(clean, degraded) for degraded, clean, _ in pairs])
            for label, pairs in self._pairs.items()
        }

    @torch.no_grad()
    def loss(self, model: MemNet, error: Callable[[Tensor, Tensor], Tensor]) -> float:
        """Return the mean loss of a network in evaluation mode."""
        losses = []
        for batch in self._batches:
            degraded, clean = (planes.to(self._device) for planes in batch)
            losses.append(
                float(memnet_loss(model(degraded), clean, error, self._alpha))
            )
        return _mean(losses)

    @torch.no_grad()
    def restored(
        self, model: MemNet
    ) -> tuple[dict[str, float], tuple[Example, ...], dict[str, float]]:
        """Restore the validation images.

        Returns
        -------
        dict of str to float
            Mean PSNR in dB by level.
        tuple of Example
            Some patches of the middle level.
        dict of str to float
            At the middle level, ``memory/m``, the mean of |B_m|, and
            ``prediction/m``, the mean PSNR of y_m in dB.
        """
        means = {}
        examples: list[Example] = []
        watched: dict[str, list[float]] = {}
        middle = list(self._pairs)[len(self._pairs) // 2]
        for label, pairs in self._pairs.items():
            values = []
            for degraded, clean, told in pairs:
                planes = network_planes(degraded)[None]
                levels = [torch.full_like(planes[:, :1], told)]
                levels *= model.architecture.level_planes
                planes = torch.cat([planes, *levels], 1)
                with _memory_sizes(model) as sizes:
                    prediction = model(planes.to(self._device))
                image = _pixels(prediction.output, clean)
                values.append(psnr(clean, image))
                if label != middle:
                    continue
                for m, size in enumerate(sizes, 1):
                    watched.setdefault(f"memory/{m}", []).append(size)
                for m, y in enumerate(prediction.intermediate, 1):
                    quality = psnr(clean, _pixels(y, clean))
                    watched.setdefault(f"prediction/{m}", []).append(quality)
                if len(examples) < _EXAMPLES:
                    parts = (degraded, image, clean)
                    cut = (_center(pixels, _EXAMPLE_SIDE) for pixels in parts)
                    examples.append(Example(label, *cut))
            means[label] = _mean(values)
        watch = {name: _mean(values) for name, values in watched.items()}
        return means, tuple(examples), watch


def weight_sizes(model: MemNet) -> dict[str, float]:
    """Return the root mean square of the weights of each convolution."""
    return {
        f"weights/{name}": float(module.weight.detach().square().mean().sqrt())
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    }


@contextmanager
def _memory_sizes(model: MemNet) -> Iterator[list[float]]:
    """Collect the mean of |B_m| of each block while a network runs."""
    sizes: list[float] = []

    def collect(block: nn.Module, inputs: object, b: Tensor) -> None:
        sizes.append(float(b.abs().mean()))

    hooks = [block.register_forward_hook(collect) for block in model.blocks]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()


def _pixels(output: Tensor, clean: NDArray[Any]) -> NDArray[Any]:
    """Return planes (1, C, H, W) in [0, 1] as pixels in [0, 255], shaped as others."""
    pixels: NDArray[Any] = 255 * output[0].cpu().numpy().transpose(1, 2, 0)
    return pixels.reshape(clean.shape)


def _pairs(config: TrainingConfig, images: TrainingImages) -> dict[str, list[_Scored]]:
    """Return degraded and clean centers of images, by level."""
    clean = [_center(plane, _SIDE) for plane in images.clean[:_IMAGES]]
    task = config.kind
    if images.degraded is not None:
        degraded = [_center(plane, _SIDE) for plane in images.degraded[:_IMAGES]]
        told = [task.level_map_value(level) for level in images.levels[:_IMAGES]]
        told = told or [0.0] * len(clean)
        return {"pairs": list(zip(degraded, clean, told, strict=True))}
    pairs: dict[str, list[_Scored]] = {}
    for level in _levels(config):
        rng = np.random.default_rng(config.seed)
        cropped = [modcrop(plane, task.multiple(level)) for plane in clean]
        value = task.level_map_value(level)
        made = [(task.degrade(plane, level, rng), plane, value) for plane in cropped]
        # A blank image that a JPEG keeps as it is has an infinite PSNR.
        pairs[task.label(level)] = [p for p in made if not np.array_equal(*p[:2])]
        if not pairs[task.label(level)]:
            raise TrainingError(
                f"At {task.label(level)} the images to validate on stay as they are; "
                "give some that are not blank."
            )
    return pairs


def _levels(config: TrainingConfig) -> tuple[float, ...]:
    """Return the usual levels that are trained for, or what else is."""
    usual = config.kind.validation_levels
    covered = tuple(level for level in usual if config.levels.covers(level))
    return covered or config.levels.values


def _center(plane: NDArray[Any], side: int) -> NDArray[Any]:
    top, left = (max(length - side, 0) // 2 for length in plane.shape[:2])
    return np.ascontiguousarray(plane[top : top + side, left : left + side])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
