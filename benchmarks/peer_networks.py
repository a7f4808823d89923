"""Networks of other people, for comparison and as teachers: PyTorch alone.

Weights are read from ../shared/peers, which ../shared/DATA.md describes. Images are
(N, C, H, W) in [0, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SHARED", "Chain", "FFDNet", "SMFANet", "chain", "ffdnet", "smfanet"]

Network = TypeVar("Network", bound=nn.Module)

SHARED = Path(__file__).parents[2] / "shared"

_POOLED = 8
"""Side of the cells of which SMFA sees the maximum."""


class Chain(nn.Module):
    """AR-CNN and DnCNN: convolutions with ReLU between them.

    Parameters
    ----------
    layers : list of (Tensor, Tensor)
        Weight and bias of each convolution.
    residual : bool
        Whether the result is what is to be taken away from the image.
    padding : int
        Pixels that are repeated around the image and cropped again.
    """

    def __init__(
        self, layers: list[tuple[Tensor, Tensor]], *, residual: bool, padding: int
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(_convolution(w, b) for w, b in layers)
        self.residual = residual
        self.padding = padding

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds for one pixel."""
        return _weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Restore images of one channel."""
        side = self.padding
        y = F.pad(image, (side,) * 4, mode="replicate") if side else image
        y = _chained(self.convolutions, y)
        if side:
            y = y[..., side:-side, side:-side]
        return image - y if self.residual else y


class FFDNet(nn.Module):
    """FFDNet: convolutions with ReLU between them on a quarter of the pixels.

    Parameters
    ----------
    layers : list of (Tensor, Tensor)
        Weight and bias of each convolution.
    """

    def __init__(self, layers: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(_convolution(w, b) for w, b in layers)

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds for one pixel."""
        return _weights(self) / 4

    def forward(self, image: Tensor, sigma: float) -> Tensor:
        """Restore images of the channels it is made for, of noise `sigma` in [0, 1]."""
        height, width = image.shape[2:]
        even = F.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
        x = F.pixel_unshuffle(even, 2)
        x = torch.cat([x, torch.full_like(x[:, :1], sigma)], 1)
        y: Tensor = F.pixel_shuffle(_chained(self.convolutions, x), 2)
        return y[..., :height, :width]


class SMFANet(nn.Module):
    """SMFANet+ (Zheng et al., ECCV 2024): enlarges RGB.

    Parts are named as the weights are.

    Parameters
    ----------
    scale : int
        How many times higher and wider the result is.
    blocks : int
        Number of blocks.
    channels : int
        Number of feature maps.
    """

    def __init__(self, scale: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.scale = scale
        self.to_feat = nn.Conv2d(3, channels, 3, padding=1)
        self.feats = nn.ModuleList(_Block(channels) for _ in range(blocks))
        self.to_img = nn.Sequential(
            nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)
        )

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds for one pixel of the result."""
        pooled = sum(
            _weights(block.smfa.dw_conv) + _weights(block.smfa.linear_1)
            for block in self.feats
            if isinstance(block, _Block)
        )
        whole = _weights(self) - pooled
        return float(whole + pooled / _POOLED**2) / self.scale**2

    def forward(self, small: Tensor) -> Tensor:
        """Enlarge images of three channels, of at least 8×8 px."""
        first = self.to_feat(small)
        features = first
        for block in self.feats:
            features = block(features)
        enlarged: Tensor = self.to_img(features + first)
        return enlarged


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.smfa = _Modulation(channels)
        self.pcfn = _FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.smfa(F.normalize(x))
        mixed: Tensor = x + self.pcfn(F.normalize(x))
        return mixed


class _Modulation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear_0 = nn.Conv2d(channels, 2 * channels, 1)
        self.linear_1 = nn.Conv2d(channels, channels, 1)
        self.linear_2 = nn.Conv2d(channels, channels, 1)
        self.lde = _Detail(channels)
        self.dw_conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.belt = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        detail, x = self.linear_0(x).chunk(2, dim=1)
        cells = F.adaptive_max_pool2d(x, (height // _POOLED, width // _POOLED))
        spread = x.var((2, 3), keepdim=True)
        weights = self.linear_1(self.alpha * self.dw_conv(cells) + self.belt * spread)
        modulated = x * F.interpolate(F.gelu(weights), (height, width))
        joined: Tensor = self.linear_2(modulated + self.lde(detail))
        return joined


class _Detail(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_0 = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, padding=1, groups=channels),
            nn.Conv2d(2 * channels, 2 * channels, 1),
        )
        self.conv_1 = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        detail: Tensor = self.conv_1(F.gelu(self.conv_0(x)))
        return detail


class _FeedForward(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 2 * channels
        self.mixed = hidden // 4
        self.conv_0 = nn.Conv2d(channels, hidden, 1)
        self.conv_1 = nn.Conv2d(self.mixed, self.mixed, 3, padding=1)
        self.conv_2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.conv_0(x))
        first, rest = x[:, : self.mixed], x[:, self.mixed :]
        joined: Tensor = self.conv_2(torch.cat([F.gelu(self.conv_1(first)), rest], 1))
        return joined


def chain(file: str, *, residual: bool, padding: int = 0) -> Chain:
    """Return AR-CNN or DnCNN with the weights of a file."""
    return _ready(Chain(_layers(file), residual=residual, padding=padding))


def ffdnet(file: str) -> FFDNet:
    """Return FFDNet with the weights of a file."""
    return _ready(FFDNet(_layers(file)))


def smfanet(scale: int) -> SMFANet:
    """Return SMFANet+ for a scale of 2, 3 or 4."""
    arrays = np.load(SHARED / "peers" / f"SMFANetplus_x{scale}.npz")
    weights = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    blocks = {name.split(".")[1] for name in weights if name.startswith("feats.")}
    network = SMFANet(scale, len(blocks), len(weights["to_feat.bias"]))
    network.load_state_dict(weights)
    return _ready(network)


def _layers(file: str) -> list[tuple[Tensor, Tensor]]:
    """Return weight and bias of every convolution of a chain."""
    arrays = np.load(SHARED / "peers" / file)
    return [
        (torch.from_numpy(arrays[f"w{i}"]), torch.from_numpy(arrays[f"b{i}"]))
        for i in range(len(arrays.files) // 2)
    ]


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    outputs, inputs, side, _ = weight.shape
    convolution = nn.Conv2d(inputs, outputs, side, padding=side // 2)
    convolution.load_state_dict({"weight": weight, "bias": bias})
    return convolution


def _chained(convolutions: nn.ModuleList, x: Tensor) -> Tensor:
    for index, convolution in enumerate(convolutions):
        x = convolution(x)
        if index < len(convolutions) - 1:
            x = x.relu_()
    return x


def _weights(network: nn.Module) -> int:
    """Return the number of weights of all convolutions."""
    return sum(
        part.weight.numel() for part in network.modules() if isinstance(part, nn.Conv2d)
    )


def _ready(network: Network) -> Network:
    """Return a network that is no longer trained."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()
