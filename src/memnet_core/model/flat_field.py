"""Measure and remove a network's fixed pattern on flat areas.

With pixel-unshuffle every pixel of the u×u cell has its own plane in ReconNet. After
training these planes respond to a flat area differently, by up to one gray level, which
shows as stripes in every result. ReconNet is linear: the smallest change of its weights
that makes the responses zero is a least-squares problem.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.model.network import MemNet
    from memnet_core.tasks import Levels, Task

__all__ = ["flat_answers", "remove_fixed_pattern"]

_BRIGHTNESSES = 18
"""Number of flat gray levels to probe, from black to white."""

_SIDE = 160
"""Side of noisy flat probes in pixels, including the border."""

_BORDER = 32
"""Margin of noisy probes in pixels that is ignored: zero padding affects it."""

_RIDGE = 1e-3
"""Ridge penalty on changes of the weights; the bias is not penalized."""

_LARGEST = 1.5 / 255
"""Largest response in [0, 1] that counts as a pattern. A larger one comes from a gray
level that training did not cover."""

_NOISY_WEIGHT = 10.0
"""Weight of noisy probes relative to noise-free ones, which are more numerous."""


class _Answers(NamedTuple):
    """Means over flat probes: (n, C) features and (n, planes) residuals in [0, 1]."""

    features: Tensor
    changes: Tensor


def flat_answers(model: MemNet, task: Task, levels: Levels) -> NDArray[np.float32]:
    """Measure by how much a network changes noise-free flat areas.

    Parameters
    ----------
    model : MemNet
        The network.
    task : Task
        The task it was trained for.
    levels : Levels
        Levels it was trained for; used only with a level map.

    Returns
    -------
    ndarray, shape (levels, brightnesses, planes)
        Changes in gray levels of 255, one plane for each pixel of the cell and channel.
    """
    brightness = torch.linspace(0, 1, _BRIGHTNESSES)
    probe = _Probe(_collapsed(model))
    found = [
        probe(_flat(model, brightness, task.level_map_value(level)), brightness).changes
        for level in _standing_for(levels)
    ]
    return torch.stack(found).numpy() * 255


def remove_fixed_pattern(model: MemNet, task: Task, levels: Levels) -> MemNet:
    """Return a copy of the network, on the CPU, that keeps flat areas flat.

    Parameters
    ----------
    model : MemNet
        The network; it is not changed.
    task : Task
        The task it was trained for.
    levels : Levels
        Levels it was trained for.
    """
    mended = copy.deepcopy(model).cpu().eval()
    brightness = torch.linspace(0, 1, _BRIGHTNESSES)
    exact, whole = _Probe(_collapsed(mended)), _Probe(mended)
    clean, noisy = [], []
    rng = np.random.default_rng(0)
    standing = _standing_for(levels)
    for level in standing:
        value = task.level_map_value(level)
        clean.append(exact(_flat(mended, brightness, value), brightness))
        if task.noisy and level in standing[-3:]:
            shades = torch.tensor([0.1, 0.5, 0.9])
            channels = mended.architecture.image_channels
            noise = rng.normal(0, level / 255, (1, channels, _SIDE, _SIDE))
            for sign in (1, -1):
                images = _flat(mended, shades, value, _SIDE)
                images[:, :channels] += torch.from_numpy(sign * noise).float()
                noisy.append(whole(images, shades))
    rows = [(answers, 1.0) for answers in clean]
    rows += [(answers, _NOISY_WEIGHT) for answers in noisy]
    features = torch.cat([a.features * w for a, w in rows]).double()
    weights = torch.cat([torch.full((len(a.features), 1), w) for a, w in rows])
    changes = torch.cat([a.changes * w for a, w in rows]).double()
    pattern = (changes.abs() < _LARGEST * weights).all(dim=1)
    if not pattern.any():
        return mended
    system = torch.cat([features, weights.double()], dim=1)[pattern]
    changes = changes[pattern]
    price = torch.full((system.shape[1],), _RIDGE * len(system), dtype=torch.float64)
    price[-1] = 0  # the bias is free
    solved = torch.linalg.solve(
        system.T @ system + torch.diag(price), -(system.T @ changes)
    )
    conv = mended.reconnet.conv
    with torch.no_grad():
        taps = conv.weight.shape[-1] ** 2
        conv.weight += (solved[:-1].T / taps)[..., None, None].float()
        cast("Tensor", conv.bias).add_(solved[-1].float() / _fusion(mended).sum())
    return mended


class _Probe:
    """Runs a network and notes what ReconNet gets, as its fusion weighs it."""

    def __init__(self, model: MemNet) -> None:
        self._model = model.eval()

    @torch.inference_mode()
    def __call__(self, images: Tensor, brightness: Tensor) -> _Answers:
        """Return the means over flat images of some brightness, (n,)."""
        seen: list[Tensor] = []
        hook = self._model.reconnet.conv.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0])
        )
        try:
            output = self._model(images).output
        finally:
            hook.remove()
        unshuffle = self._model.architecture.unshuffle
        border = _BORDER if images.shape[-1] > unshuffle else 0
        cells = F.pixel_unshuffle(output, unshuffle)
        fusion = _fusion(self._model)
        fused = sum(w * f for w, f in zip(fusion, seen, strict=True))
        features, planes = (
            _inner(part, border // unshuffle) for part in (cast("Tensor", fused), cells)
        )
        return _Answers(features, planes - brightness[:, None])


def _fusion(model: MemNet) -> Tensor:
    """Return the weight of each prediction in the output."""
    if not model.architecture.multi_supervised:
        return torch.ones(1)
    return model.fusion.detach()


def _inner(planes: Tensor, border: int) -> Tensor:
    """Return means (n, C) without the border."""
    size = planes.shape[-1]
    inner = planes[..., border : size - border, border : size - border]
    return inner.mean(dim=(2, 3))


def _standing_for(levels: Levels) -> list[float]:
    """Return the levels that are measured: all of a list, five of a range."""
    if not levels.continuous:
        return list(levels.values)
    low, high = levels.values[0], levels.values[-1]
    spaced = np.geomspace if low > 0 else np.linspace
    return [float(value) for value in spaced(low, high, 5)]


def _flat(
    model: MemNet, brightness: Tensor, level_map_value: float, side: int | None = None
) -> Tensor:
    """Return flat images, by default of one cell, with the planes of levels behind."""
    architecture = model.architecture
    side = side or architecture.unshuffle
    image = brightness[:, None, None, None].expand(
        -1, architecture.image_channels, side, side
    )
    planes = architecture.level_planes
    level = torch.full((len(brightness), planes, side, side), level_map_value)
    return torch.cat([image, level], dim=1)


def _collapsed(model: MemNet) -> MemNet:
    """Return a network that answers at one cell what it answers in the flat plane.

    There all pixels under a kernel are the same, so that its sum stands for it.
    """
    collapsed = copy.deepcopy(model)
    for module in collapsed.modules():
        if isinstance(module, nn.Conv2d):
            center = module.weight.shape[-1] // 2
            total = module.weight.detach().sum(dim=(2, 3))
            with torch.no_grad():
                module.weight.zero_()
                module.weight[..., center, center] = total
    return collapsed
