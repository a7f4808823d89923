"""A trained network as one module of plain operators, and its TorchScript.

It is equivalent to `memnet_core.model.network` in evaluation mode, with the folded
weights of `memnet_core.model.fused`. Images of shape (N, C, H, W) must have sides that
are multiples of the pixel-unshuffle: other programs tile and pad on their own.
"""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memnet_core.errors import SettingRef, UsageError
from memnet_core.model.fused import FusedWeights, Rectifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.model.fused import Activation, Convolution, FusedBlock, GateTerm
    from memnet_core.model.network import MemNet

__all__ = ["ExportableMemNet", "run_torchscript", "write_torchscript"]


class ExportableMemNet(nn.Module):
    """A trained MemNet in operators that every framework has.

    Parameters
    ----------
    model : MemNet
        The trained network; it is not changed.
    plane : float, optional
        Value of the level map to fix. Without it, a network with a level map takes
        the level as its second input.

    Attributes
    ----------
    takes_level : bool
        Whether the level is the second input.

    Raises
    ------
    UsageError
        If a value is given for a level map that the network does not have.
    """

    def __init__(self, model: MemNet, plane: float | None = None) -> None:
        super().__init__()
        self.architecture = model.architecture
        setting = SettingRef("level")
        self.takes_level = self.architecture.level_map and plane is None
        if plane is not None and not self.architecture.level_map:
            raise UsageError(
                f"This model takes no level; leave out {setting}.", settings=[setting]
            )
        self.plane = plane
        self.weights = FusedWeights(model)
        self.eval()

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Restore a batch of images.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            Values in [0, 1]; H and W are multiples of the pixel-unshuffle.
        level : Tensor, shape (N, P, H, W) or (N, P, 1, 1), optional
            The level planes, if `takes_level`; P is 2 for luminance and chroma, else 1.

        Returns
        -------
        Tensor, shape (N, C, H, W)
            Restored images, not clipped.
        """
        weights, unshuffle = self.weights, self.architecture.unshuffle
        planes = x
        if self.plane is not None:
            level = torch.full_like(x[:, :1, :1, :1], self.plane)
        if level is not None:
            size = x.shape[0], self.architecture.level_planes, *x.shape[2:]
            planes = torch.cat([x, level.expand(size)], 1)
        if unshuffle > 1:
            planes = F.pixel_unshuffle(planes, unshuffle)
        if weights.fenet_norm is not None:
            planes = _activated(weights.fenet_norm, planes)
        memories = [_convolved(weights.fenet, planes)]
        terms = []
        for block, norm, share in zip(
            weights.blocks, weights.recon_norms, weights.fusion, strict=True
        ):
            memories.append(_block(cast("FusedBlock", block), memories))
            if share:
                term = _activated(cast("Activation", norm), memories[-1])
                terms.append(term * share)
        residual = _convolved(weights.recon, _added(terms))
        if unshuffle > 1:
            residual = F.pixel_shuffle(residual, unshuffle)
        return x * sum(weights.fusion) + residual


def _block(block: FusedBlock, memories: list[Tensor]) -> Tensor:
    """Return B_m from [B_0 ... B_{m-1}]."""
    h = memories[-1]
    recursions = []
    for norm, first in zip(block.norms, block.first, strict=True):
        inner = _convolved(
            cast("Convolution", first), _activated(cast("Activation", norm), h)
        )
        h = _convolved(block.second, F.relu(inner)) + h
        recursions.append(h)
    long_term = memories if block.long_term else []
    short_term = recursions if block.short_term else recursions[-1:]
    terms = [
        _convolved(term.convolution, _activated(term.norm, memory))
        for term, memory in zip(
            cast("list[GateTerm]", list(block.gates)),
            [*long_term, *short_term],
            strict=True,
        )
    ]
    return _added(terms) + block.gate_bias.reshape(-1, 1, 1)


def _activated(norm: Activation, x: Tensor) -> Tensor:
    if isinstance(norm, Rectifier):
        return F.relu(x)
    return F.relu(x * norm.scale.reshape(-1, 1, 1) + norm.shift.reshape(-1, 1, 1))


def _convolved(convolution: Convolution, x: Tensor) -> Tensor:
    padding = convolution.weight.shape[-1] // 2
    return F.conv2d(x, convolution.weight, convolution.bias, padding=padding)


def _added(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def write_torchscript(
    network: ExportableMemNet, path: Path, about: dict[str, str] | None = None
) -> None:
    """Write a network as TorchScript, with metadata in its extra file ``memnet.json``.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    side = 8 * network.architecture.unshuffle
    image = torch.zeros(1, network.architecture.image_channels, side, side)
    level = image[:, : network.architecture.level_planes, :1, :1]
    example = (image, level) if network.takes_level else image
    buffer = io.BytesIO()  # given a path, its folders have the temporary file's name
    with _without_warnings(), torch.inference_mode():
        traced = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]
        torch.jit.save(
            traced, buffer, _extra_files={"memnet.json": json.dumps(about or {})}
        )
    path.write_bytes(buffer.getvalue())


def run_torchscript(path: Path, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a TorchScript file on the image, and the level if it takes one."""
    with _without_warnings(), torch.inference_mode():
        network = torch.jit.load(path)  # type: ignore[no-untyped-call]
        tensors = map(torch.from_numpy, inputs)
        restored: NDArray[np.float32] = network(*tensors).numpy()
    return restored


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence the deprecation of TorchScript in favor of torch.export.

    Programs that read these files (ilastik, deepImageJ, C++) read no others.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
        yield
