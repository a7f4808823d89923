"""Teachers for distillation: our models, and other networks as plain functions.

K. Zhang et al., *Beyond a Gaussian denoiser* (DnCNN), TIP 2017, and *FFDNet*, TIP 2018;
M. Zheng et al., *SMFANet*, ECCV 2024. Their weights are read from NumPy files.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from memnet_core.errors import SettingRef, TrainingError
from memnet_core.model.checkpoint import load_model
from memnet_core.model.network import pad_to_multiple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from memnet_core.training.config import TrainingConfig

    Weights = Mapping[str, Tensor]

__all__ = ["Teacher", "chain", "dncnn", "ffdnet", "read_teachers", "smfanet"]

_UNREADABLE = (EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)
"""Errors that NumPy raises for files without arrays."""

_SMFA_POOLED = 8
"""Side of SMFANet's max-pooling cells."""

_TEACHER, _LEVELS = SettingRef("teacher"), SettingRef("levels")


@dataclass(frozen=True)
class Teacher:
    """A network that restores planes.

    Attributes
    ----------
    restore : callable
        Takes planes (N, C, H, W) in [0, 1] and values of the level map, (N, 1, 1, 1),
        and returns the restored planes; called without gradients.
    scale : int
        Upscaling factor of the output.
    """

    restore: Callable[[Tensor, Tensor], Tensor]
    scale: int = 1


def dncnn(weights: Weights, planes: Tensor) -> Tensor:
    """Restore planes (N, 1, H, W) in [0, 1] by DnCNN, which predicts the residual.

    `weights` maps ``w0, b0, w1, b1 ...`` to weights and biases.
    """
    return planes - chain(weights, planes)


def ffdnet(weights: Weights, planes: Tensor, deviations: Tensor) -> Tensor:
    """Restore planes by FFDNet.

    Parameters
    ----------
    weights : mapping of str to Tensor
        As for `dncnn`.
    planes : Tensor
        Noisy planes of shape (N, 1 or 3, H, W), in [0, 1].
    deviations : Tensor
        Standard deviations of the noise on that scale, shape (N, 1, 1, 1).
    """
    height, width = planes.shape[2:]
    cells = F.pixel_unshuffle(pad_to_multiple(planes, 2), 2)
    inputs = torch.cat([cells, deviations.expand_as(cells[:, :1])], 1)
    return F.pixel_shuffle(chain(weights, inputs), 2)[..., :height, :width]


def chain(weights: Weights, x: Tensor) -> Tensor:
    """Apply convolutions with ReLU between them to (N, C, H, W); see `dncnn`."""
    count = len(weights) // 2
    for number in range(count):
        x = F.conv2d(x, weights[f"w{number}"], weights[f"b{number}"], padding="same")
        if number < count - 1:
            x = x.relu_()
    return x


def smfanet(weights: Weights, colors: Tensor) -> Tensor:
    """Upscale color images by SMFANet+.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Weights under their authors' names.
    colors : Tensor
        Images of shape (N, 3, H, W), in [0, 1].

    Returns
    -------
    Tensor
        Images of shape (N, 3, s·H, s·W), where s follows from the weights.
    """
    first = h = _conv(weights, "to_feat", colors)
    blocks = {name.split(".")[1] for name in weights if name.startswith("feats.")}
    for number in range(len(blocks)):
        block = f"feats.{number}"
        h = h + _smfa(weights, f"{block}.smfa", F.normalize(h))
        h = h + _pcfn(weights, f"{block}.pcfn", F.normalize(h))
    return F.pixel_shuffle(_conv(weights, "to_img.0", h + first), _smfa_scale(weights))


def _smfa(weights: Weights, name: str, features: Tensor) -> Tensor:
    """Self-modulation: pooled maxima and variances, plus a local detail branch."""
    size = (features.shape[2], features.shape[3])
    y, x = _conv(weights, f"{name}.linear_0", features).chunk(2, 1)
    cells = [max(side // _SMFA_POOLED, 1) for side in size]
    peaks = _conv(weights, f"{name}.dw_conv", F.adaptive_max_pool2d(x, cells))
    variance = x.var((2, 3), keepdim=True)
    mixed = peaks * weights[f"{name}.alpha"] + variance * weights[f"{name}.belt"]
    mixed = F.gelu(_conv(weights, f"{name}.linear_1", mixed))
    modulated = x * F.interpolate(mixed, size=size, mode="nearest")
    local = _conv(weights, f"{name}.lde.conv_0.0", y)
    local = F.gelu(_conv(weights, f"{name}.lde.conv_0.1", local))
    local = _conv(weights, f"{name}.lde.conv_1", local)
    return _conv(weights, f"{name}.linear_2", modulated + local)


def _pcfn(weights: Weights, name: str, features: Tensor) -> Tensor:
    """Feed-forward layers with a spatial convolution of the first channels only."""
    h = F.gelu(_conv(weights, f"{name}.conv_0", features))
    part = len(weights[f"{name}.conv_1.weight"])
    spatial = F.gelu(_conv(weights, f"{name}.conv_1", h[:, :part]))
    return _conv(weights, f"{name}.conv_2", torch.cat([spatial, h[:, part:]], 1))


def _conv(weights: Weights, name: str, x: Tensor) -> Tensor:
    """Convolve; the shape of the weight tells the number of groups."""
    weight = weights[f"{name}.weight"]
    groups = x.shape[1] // weight.shape[1]
    bias = weights[f"{name}.bias"]
    return F.conv2d(x, weight, bias, padding="same", groups=groups)


def _smfa_scale(weights: Weights) -> int:
    return math.isqrt(len(weights["to_img.0.bias"]) // 3)


def read_teachers(config: TrainingConfig, device: torch.device) -> dict[int, Teacher]:
    """Read the teachers of a run, at least one, onto a device.

    Returns
    -------
    dict of int to Teacher
        Teachers by upscaling factor of the levels; 1 except for super-resolution.

    Raises
    ------
    MemnetError
        If a file holds no known network, or one for another task than the run's.
    """
    task = config.kind
    scales = sorted({task.scale(level) for level in config.levels.values})
    teachers: dict[int, Teacher] = {}
    for path in config.teacher:
        teacher = _read(path, config, device)
        serves = scales if teacher.scale == 1 else [teacher.scale]
        if twice := teachers.keys() & set(serves):
            at = f" for scale {min(twice)}" if min(twice) > 1 else ""
            raise TrainingError(
                f"{path} teaches what another {_TEACHER} does{at}; give one of them.",
                settings=[_TEACHER],
            )
        teachers |= dict.fromkeys(serves, teacher)
    if missing := [scale for scale in scales if scale not in teachers]:
        raise TrainingError(
            f"No teacher enlarges by {missing[0]}; give one more {_TEACHER}, or "
            f"other {_LEVELS}.",
            settings=[_TEACHER, _LEVELS],
        )
    return teachers


def _read(path: Path, config: TrainingConfig, device: torch.device) -> Teacher:
    if path.suffix == ".safetensors":
        return _own(path, config, device)
    weights = _read_weights(path, device)
    channels = config.architecture.image_channels
    try:
        teacher = _foreign(path, weights, config)
        blank = torch.zeros(1, channels, 32, 32, device=device)
        with torch.no_grad():
            teacher.restore(blank, blank[:, :1, :1, :1])
    except (KeyError, RuntimeError) as error:
        raise TrainingError(
            f"The weights in {path} are not those of a whole network ({error}); get a "
            "fresh copy of the file."
        ) from error
    return teacher


def _foreign(path: Path, weights: Weights, config: TrainingConfig) -> Teacher:
    """Recognize a network by the names and shapes of its weights."""
    channels = config.architecture.image_channels
    if "to_feat.weight" in weights:
        _check(path, "enlarging", config.task == "sr")
        return Teacher(
            lambda planes, _: _in_color(weights, planes), scale=_smfa_scale(weights)
        )
    inputs = weights["w0"].shape[1] if "w0" in weights else 0
    outputs = len(weights[f"w{len(weights) // 2 - 1}"]) if inputs else 0
    if inputs and inputs == outputs + 1 and outputs % 4 == 0:
        _check(
            path, "white noise", config.task == "denoise" and config.grain == "white"
        )
        _check(path, _color_name(outputs // 4), channels == outputs // 4)
        return Teacher(lambda planes, values: ffdnet(weights, planes, values))
    if inputs == outputs == 1 and weights["w0"].shape[2] == 3:
        _check(path, _color_name(1), channels == 1)
        return Teacher(lambda planes, _: dncnn(weights, planes))
    raise TrainingError(
        f"{path} holds none of the networks that can teach: FFDNet, DnCNN, SMFANet+; "
        "give a file of theirs, or a model that 'memnet train' wrote."
    )


def _in_color(weights: Weights, planes: Tensor) -> Tensor:
    """Upscale color planes, or gray ones as three equal channels."""
    colors = smfanet(weights, planes.expand(-1, 3, -1, -1))
    return colors if planes.shape[1] == 3 else colors.mean(1, keepdim=True)


def _own(path: Path, config: TrainingConfig, device: torch.device) -> Teacher:
    model, card = load_model(path)
    channels = card.architecture.image_channels
    _check(path, card.serves, (card.task, card.grain) == (config.task, config.grain))
    _check(path, _color_name(channels), channels == config.architecture.image_channels)
    ends = config.levels.values[0], config.levels.values[-1]
    _check(path, f"levels {card.levels}", all(map(card.levels.covers, ends)))
    model = model.to(device)

    def restore(planes: Tensor, values: Tensor) -> Tensor:
        if card.architecture.level_map:
            maps = values[:, : card.architecture.level_planes]
            planes = torch.cat([planes, maps.expand(-1, -1, *planes.shape[2:])], 1)
        return model(planes).output  # type: ignore[no-any-return]

    return Teacher(restore)


def _check(path: Path, subject: str, fits: bool) -> None:
    if not fits:
        raise TrainingError(
            f"{path} teaches {subject}, which is not what this run learns; give "
            f"another {_TEACHER}.",
            settings=[_TEACHER],
        )


def _color_name(channels: int) -> str:
    return "color" if channels == 3 else "gray planes"


def _read_weights(path: Path, device: torch.device) -> dict[str, Tensor]:
    try:
        # NumPy does not close a path whose archive is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise TrainingError(
            f"Cannot read the teacher {path} ({reason}); give a NumPy file (.npz) or "
            "a model that 'memnet train' wrote."
        ) from error
    return {
        name: torch.from_numpy(array.astype(np.float32)).to(device)
        for name, array in arrays.items()
    }
