"""Degradations of whole batches, where their pixels are: on a GPU, or a CPU.

What `memnet_core.tasks` does with one plane at a time; what is random in a sample is
drawn from its own numbers, alike in both, except for the noise of pixels.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from memnet_core.image_ops.resize import resize_matrix
from memnet_core.jpeg.coding import BLOCK, chroma_table, luminance_table
from memnet_core.jpeg.dct_bounds import dct_basis
from memnet_core.noise import synthesis
from memnet_core.tasks.deblock import Deblock, draw_whole_chroma
from memnet_core.tasks.denoise import (
    HOT_MEAN,
    CorrelatedDenoise,
    Denoise,
    NoiseKind,
    draw_noise_kind,
)
from memnet_core.tasks.super_resolution import SuperResolution
from memnet_core.training.data.jpeg_histories import LAST_SHIFT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.noise.synthesis import Noise
    from memnet_core.tasks import Task
    from memnet_core.training.data.jpeg_histories import JpegHistory

    Degradation = Callable[
        [Tensor, Sequence[float], Sequence[np.random.Generator], torch.Generator],
        Tensor,
    ]
    """Of clean pixels (N, C, H, W) in [0, 255], by the level and the random numbers
    of each sample, and those of the device."""

__all__ = [
    "DEGRADATIONS",
    "add_noise",
    "bicubic",
    "compress_twice",
    "compressed",
    "correlated_noise",
    "gaussian_noise",
    "jpeg",
    "shrunk",
    "windows",
]

# JFIF's conversion in 16 bits behind the point, as libjpeg rounds it. All sums of
# products with whole gray levels are below 2²⁴, so float32 holds them exactly.
_POINT = 65536
_HALF = _POINT // 2
_CENTER = 128
_TO_YCC = (
    ((19595, 38470, 7471), _HALF),
    ((-11059, -21709, 32768), _CENTER * _POINT + _HALF - 1),
    ((32768, -27439, -5329), _CENTER * _POINT + _HALF - 1),
)
_RED, _GREEN, _BLUE = 91881, (-22554, -46802), 116130

_TIE = 2e-3
"""Within which float32 may miss a half, which is rounded up."""


def to_device_async(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array on a device, without waiting for what that is busy with."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def gaussian_noise(
    pixels: Tensor, sigmas: Sequence[float], generator: torch.Generator
) -> Tensor:
    """Add white Gaussian noise, without clipping.

    Parameters
    ----------
    pixels : Tensor
        Shape (N, C, H, W), any scale.
    sigmas : sequence of float
        N standard deviations on that scale.
    generator : torch.Generator
        Of the device that the pixels are on.
    """
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    deviations = to_device_async(np.asarray(sigmas, np.float32), pixels.device)
    return torch.addcmul(pixels, noise, deviations[:, None, None, None])


def correlated_noise(
    pixels: Tensor,
    sigmas: Sequence[float],
    kinds: Sequence[NoiseKind],
    generator: torch.Generator,
) -> Tensor:
    """Add noise of a kind for each sample; see `memnet_core.tasks.denoise`.

    Parameters
    ----------
    pixels, sigmas, generator
        As for `gaussian_noise`.
    kinds : sequence of NoiseKind
        N of them.
    """
    device, (count, _, height, width) = pixels.device, pixels.shape
    values = to_device_async(np.array(kinds, np.float32), device)[
        :, :, None, None, None
    ]
    down, across, rows, hot = values.unbind(1)
    across = across * torch.fft.rfftfreq(width, device=device)
    down = down * torch.fft.fftfreq(height, device=device)[:, None]
    kept = torch.exp(-2 * torch.pi**2 * (down.square() + across.square()))
    white = torch.randn(pixels.shape, generator=generator, device=device)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * kept, s=(height, width))
    noise = noise / noise.std((1, 2, 3), keepdim=True)
    offsets = torch.randn((count, 1, height, 1), generator=generator, device=device)
    noise = (1 - rows.square()).sqrt() * noise + rows * offsets
    chance, surprise = (
        torch.rand(pixels.shape, generator=generator, device=device) for _ in range(2)
    )
    noise = noise - HOT_MEAN * (1 - surprise).log() * (chance < hot)
    deviations = to_device_async(np.asarray(sigmas, np.float32), device)
    return torch.addcmul(pixels, noise, deviations[:, None, None, None])


def add_noise(
    pixels: Tensor, noises: Sequence[Noise], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Add noise of a description for each sample; see `memnet_core.noise.synthesis`.

    Parameters
    ----------
    pixels : Tensor
        Clean pixels of shape (N, C, H, W), in [0, 255].
    noises : sequence of Noise
        N of them.
    generator : torch.Generator
        Of the device that the pixels are on.

    Returns
    -------
    noisy : Tensor, shape (N, C, H, W)
        Pixels on the same scale, which may leave [0, 255].
    told : Tensor, shape (N, 1, H, W)
        Local standard deviation for the level map, in gray levels, with its error.
    """
    device, size = pixels.device, (pixels.shape[2], pixels.shape[3])
    gains = np.stack([noise.sigma * noise.gain(*size) for noise in noises])
    misreadings = np.stack([noise.misreading(*size) for noise in noises])
    floor = to_device_async(_by_sample([noise.floor for noise in noises]), device)
    peak = pixels.amax((1, 2, 3), keepdim=True).clamp(min=1)
    share = floor + (1 - floor) * pixels / peak
    deviation = (
        to_device_async(gains.astype(np.float32), device)[:, None] * share.sqrt()
    )
    told = deviation.square().mean(1, keepdim=True).sqrt()
    noisy = torch.addcmul(pixels, deviation, _unit_noise(pixels, noises, generator))
    return noisy, told * to_device_async(misreadings.astype(np.float32), device)[
        :, None
    ]


def _unit_noise(
    pixels: Tensor, noises: Sequence[Noise], generator: torch.Generator
) -> Tensor:
    """Return noise of unit deviation, hot pixels aside."""
    device, (count, channels, *size) = pixels.device, pixels.shape
    random: Any = {"generator": generator, "device": device}
    height, width = (side + synthesis.WRAP for side in size)
    unit: Tensor = torch.randn((count, channels, height, width), **random)
    if blurred := [number for number, noise in enumerate(noises) if noise.down]:
        numbers = to_device_async(np.array(blurred), device)
        responses = np.stack([noises[n].response(height, width) for n in blurred])
        coefficients = torch.fft.rfft2(unit[numbers])
        coefficients = coefficients * to_device_async(responses, device)[:, None]
        unit[numbers] = torch.fft.irfft2(coefficients, s=(height, width))
    unit = unit[..., : size[0], : size[1]]
    if any(noise.rows for noise in noises):
        rows = to_device_async(_by_sample([noise.rows for noise in noises]), device)
        offsets = torch.randn((count, 1, size[0], 1), **random)
        unit = (1 - rows.square()).sqrt() * unit + rows * offsets
    if any(noise.hot for noise in noises):
        hot = to_device_async(_by_sample([noise.hot for noise in noises]), device)
        chance, surprise = (torch.rand(pixels.shape, **random) for _ in range(2))
        unit = unit - synthesis.HOT_MEAN * (1 - surprise).log() * (chance < hot)
    return unit


def _by_sample(values: Sequence[float]) -> NDArray[np.float32]:
    """Return a number for each sample, of shape (N, 1, 1, 1)."""
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def bicubic(pixels: Tensor, scale: int) -> Tensor:
    """Shrink and enlarge as MATLAB's ``imresize`` does, neither clipped nor rounded.

    Parameters
    ----------
    pixels : Tensor
        Shape (N, C, H, W), any scale; both sides are multiples of `scale`.
    scale : int
        How many times smaller the small image is.
    """
    rows, columns = (_down_up(side, scale, pixels.device) for side in pixels.shape[2:])
    return rows @ pixels @ columns.T


def shrunk(pixels: Tensor, scale: int) -> Tensor:
    """Return the small images in between of `bicubic`."""
    rows, columns = (_down(side, scale, pixels.device) for side in pixels.shape[2:])
    return rows @ pixels @ columns.T


@functools.lru_cache(maxsize=16)
def _down_up(side: int, scale: int, device: torch.device) -> Tensor:
    small = side // scale
    matrix = resize_matrix(small, side) @ resize_matrix(side, small)
    return to_device_async(matrix.astype(np.float32), device)


@functools.lru_cache(maxsize=16)
def _down(side: int, scale: int, device: torch.device) -> Tensor:
    return to_device_async(
        resize_matrix(side, side // scale).astype(np.float32), device
    )


def jpeg(
    pixels: Tensor,
    qualities: Sequence[int],
    whole_chroma: Sequence[bool] | None = None,
    chroma_qualities: Sequence[int] | None = None,
) -> Tensor:
    """Compress and decompress as baseline JPEG.

    As Pillow does, but for the roundings inside of libjpeg's transforms, which compute
    with whole numbers. On photographs the mean absolute difference is at most 0.15 gray
    levels: about a block in fifty has a coefficient at the edge of two steps, which
    falls to the other one, and above q 90 one in ten gray levels is rounded otherwise.

    Parameters
    ----------
    pixels : Tensor of float32
        Shape (N, 1 or 3, H, W), whole gray levels in [0, 255]; blocks begin at the
        upper left corner.
    qualities : sequence of int
        N qualities from 1 to 100.
    whole_chroma : sequence of bool, optional
        Which of the N keep all samples of chroma (4:4:4); by default none do (4:2:0).
    chroma_qualities : sequence of int, optional
        N qualities of the tables for chroma; `qualities` by default.
    """
    luminance = _steps(luminance_table, qualities, pixels.device)
    if pixels.shape[1] == 1:
        return _coded(pixels, luminance)
    # The encoder repeats the last column before it shrinks chroma.
    width = pixels.shape[3]
    padded = F.pad(pixels, (0, -width % (2 * BLOCK), 0, 0), mode="replicate")
    y, cb, cr = (_weighted(padded, *row) for row in _TO_YCC)
    y = _coded(y, luminance)
    chroma = torch.cat([cb, cr], 1)
    steps = _steps(chroma_table, chroma_qualities or qualities, pixels.device)
    whole = np.zeros(len(pixels), np.bool_) if whole_chroma is None else whole_chroma
    kinds = [np.flatnonzero(whole), np.flatnonzero(np.logical_not(whole))]
    decoded = []
    for numbers, code in zip(kinds, (_coded, _coded_subsampled), strict=True):
        if len(numbers):
            part = to_device_async(numbers, pixels.device)
            decoded.append(code(chroma[part], steps[part]))
    order = to_device_async(np.argsort(np.concatenate(kinds)), pixels.device)
    return _from_ycc(y, torch.cat(decoded)[order])[..., :width]


def compress_twice(
    pixels: Tensor, qualities: Sequence[int], histories: Sequence[JpegHistory]
) -> tuple[Tensor, Tensor]:
    """Return JPEGs with a history, and what they would be without compression.

    See `memnet_core.training.data.jpeg_histories.compress_twice`, from which the former
    differ by at most 0.4 gray levels in the mean of photographs.

    Parameters
    ----------
    pixels : Tensor of float32
        Clean pixels of shape (N, 1 or 3, H, W), whole gray levels in [0, 255].
    qualities : sequence of int
        N qualities of the first compression.
    histories : sequence of JpegHistory
        N histories whose first images have one size.
    """
    size = pixels.shape[2], pixels.shape[3]
    height, width = histories[0].source(*size)
    source = _resized(pixels, (height, width))
    padded = F.pad(source.round().clamp(0, 255), [LAST_SHIFT] * 4, mode="replicate")
    shifts = to_device_async(
        np.array([history.shift for history in histories]), pixels.device
    )
    outer = height + LAST_SHIFT, width + LAST_SHIFT
    firsts, lasts = zip(*(history.whole_chroma for history in histories), strict=True)
    first = jpeg(windows(padded, LAST_SHIFT - shifts, outer), qualities, firsts)
    kept = windows(first, shifts, (height, width))
    between = _resized(kept, size).round().clamp(0, 255)
    last = jpeg(between, [history.quality for history in histories], lasts)
    return last, _resized(source, size).clamp(0, 255)


def _resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    if pixels.shape[2:] == size:
        return pixels
    rows, columns = (
        to_device_async(resize_matrix(old, new).astype(np.float32), pixels.device)
        for old, new in zip(pixels.shape[2:], size, strict=True)
    )
    return rows @ pixels @ columns.T


def windows(planes: Tensor, starts: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a window of each of some planes.

    Parameters
    ----------
    planes : Tensor
        Shape (N, C, H, W).
    starts : Tensor of int64
        Shape (N, 2): row and column at which the window begins.
    size : (int, int)
        Height and width of the windows.
    """
    count, channels, _, width = planes.shape
    steps = [torch.arange(side, device=planes.device) for side in size]
    rows = (starts[:, :1] + steps[0])[:, None, :, None]
    columns = (starts[:, 1:] + steps[1])[:, None, None, :]
    high = planes.gather(2, rows.expand(count, channels, size[0], width))
    return high.gather(3, columns.expand(count, channels, *size))


def _steps(
    table: Callable[[int], NDArray[np.int64]],
    qualities: Sequence[int],
    device: torch.device,
) -> Tensor:
    """Return the steps of every sample, shape (N, 1, 64)."""
    steps = np.stack([table(quality) for quality in qualities]).astype(np.float32)
    return to_device_async(steps[:, None], device)


def _weighted(rgb: Tensor, weights: tuple[int, int, int], offset: int) -> Tensor:
    red, green, blue = rgb.chunk(3, 1)
    summed: Tensor = weights[0] * red + weights[1] * green + weights[2] * blue + offset
    return (summed / _POINT).floor()


def _from_ycc(y: Tensor, chroma: Tensor) -> Tensor:
    cb, cr = (chroma - _CENTER).chunk(2, 1)
    red = ((_RED * cr + _HALF) / _POINT).floor()
    green = ((_GREEN[0] * cb + _GREEN[1] * cr + _HALF) / _POINT).floor()
    blue = ((_BLUE * cb + _HALF) / _POINT).floor()
    return torch.cat([y + red, y + green, y + blue], 1).clamp(0, 255)


def _coded_subsampled(chroma: Tensor, steps: Tensor) -> Tensor:
    """Code one sample of chroma for 2×2 pixels, and enlarge it as decoders do."""
    height, width = chroma.shape[2:]
    padded = F.pad(chroma, (0, width % 2, 0, height % 2), mode="replicate")
    cells = F.avg_pool2d(padded, 2) * 4
    # libjpeg rounds down and up in turns.
    bias = torch.arange(cells.shape[3], device=chroma.device) % 2 + 1
    small = _coded(((cells + bias) / 4).floor(), steps)
    rows = _enlarged_rows(small)
    columns = _enlarged_rows(rows.mT).mT
    turns = torch.arange(columns.shape[3], device=chroma.device) % 2
    return ((columns + 8 - turns) / 16).floor()[..., :height, :width]


def _enlarged_rows(planes: Tensor) -> Tensor:
    """Return twice as many rows, each 3/4 of the nearest and 1/4 of the next, by 4."""
    padded = torch.cat([planes[:, :, :1], planes, planes[:, :, -1:]], 2)
    upper = 3 * planes + padded[:, :, :-2]
    lower = 3 * planes + padded[:, :, 2:]
    return torch.stack([upper, lower], 3).flatten(2, 3)


def _coded(planes: Tensor, steps: Tensor) -> Tensor:
    """Quantize the coefficients of (N, C, H, W) planes, and decode them."""
    count, channels, height, width = planes.shape
    padding = (0, -width % BLOCK, 0, -height % BLOCK)
    padded = F.pad(planes, padding, mode="replicate")
    rows, columns = (side // BLOCK for side in padded.shape[2:])
    split = padded.view(count, channels, rows, BLOCK, columns, BLOCK)
    blocks = split.transpose(3, 4).reshape(count, -1, BLOCK * BLOCK) - _CENTER
    basis = _dct(planes.device)
    # libjpeg has coefficients in whole eighths, and rounds halves away from zero.
    eighths = (8 * (blocks @ basis.T) + 0.5 + _TIE).floor()
    multiples = ((eighths.abs() + 4 * steps) / (8 * steps)).floor()
    decoded = (multiples * eighths.sign() * steps) @ basis + _CENTER
    levels = (decoded + 0.5 + _TIE).floor().clamp(0, 255)
    joined = levels.view(count, channels, rows, columns, BLOCK, BLOCK).transpose(3, 4)
    return joined.reshape(padded.shape)[..., :height, :width]


@functools.lru_cache(maxsize=4)
def _dct(device: torch.device) -> Tensor:
    return to_device_async(dct_basis().astype(np.float32), device)


def _noisy(
    pixels: Tensor,
    levels: Sequence[float],
    rngs: Sequence[np.random.Generator],
    generator: torch.Generator,
) -> Tensor:
    return gaussian_noise(pixels, levels, generator)


def _grainy(
    pixels: Tensor,
    levels: Sequence[float],
    rngs: Sequence[np.random.Generator],
    generator: torch.Generator,
) -> Tensor:
    return correlated_noise(pixels, levels, [*map(draw_noise_kind, rngs)], generator)


def _enlarged(
    pixels: Tensor,
    levels: Sequence[float],
    rngs: Sequence[np.random.Generator],
    generator: torch.Generator,
) -> Tensor:
    return bicubic(pixels, int(levels[0]))


def _compressed(
    pixels: Tensor,
    levels: Sequence[float],
    rngs: Sequence[np.random.Generator],
    generator: torch.Generator,
) -> Tensor:
    return compressed(pixels, levels, rngs)


def compressed(
    pixels: Tensor,
    levels: Sequence[float],
    rngs: Sequence[np.random.Generator],
    chroma_levels: Sequence[float] | None = None,
) -> Tensor:
    """Compress as `jpeg`, with all samples of chroma or a quarter of them.

    Parameters
    ----------
    pixels : Tensor
        Clean pixels of shape (N, 1 or 3, H, W) in [0, 255].
    levels : sequence of float
        N qualities.
    rngs : sequence of numpy.random.Generator
        N, which decide on the samples of chroma.
    chroma_levels : sequence of float, optional
        N qualities of chroma; `levels` by default.
    """
    whole = [pixels.shape[1] == 3 and draw_whole_chroma(rng) for rng in rngs]
    whole_levels = pixels.round().clamp(0, 255)
    qualities, of_chroma = (
        None if values is None else [round(value) for value in values]
        for values in (levels, chroma_levels)
    )
    return jpeg(whole_levels, qualities or [], whole, of_chroma)


DEGRADATIONS: dict[type[Task], Degradation] = {
    Denoise: _noisy,
    CorrelatedDenoise: _grainy,
    Deblock: _compressed,
    SuperResolution: _enlarged,
}
"""What degrades a batch, by the kind of the task; its levels have one period."""
