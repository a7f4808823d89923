"""Patches of which the noise is known, to learn reading noise from.

A clean patch is drawn, noise of a kind is added, and what lies behind the noise
(demosaicing, resizing, JPEG, clipping, rounding) is done to the noisy and to the clean
patch alike. The noise is what they differ by then, before values are rounded. Hot
pixels are seen, but do not count.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from memnet_core.image_ops.color import full_range_luminance
from memnet_core.noise.network import CELL, NONE
from memnet_core.noise.synthesis import HOT_MEAN, add_noise, draw_noise
from memnet_core.training.data.synthetic_pictures import COUNT, KINDS, synthetic_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Plane = NDArray[Any]
    Rng = np.random.Generator

__all__ = ["SIGMAS", "NoiseSamples", "local_deviation"]

SIGMAS = (0.3, 75.0)
"""Gray levels that the deviation is drawn between, evenly on a logarithmic scale."""

_MARGIN = CELL
"""Pixels by which patches are made too large, so that a grid of JPEG blocks can begin
anywhere."""

_MADE_SHARE = 0.22
_MICROGRAPH_SHARE = 0.4
"""Of patches with noise of counted light, those that show a micrograph."""

_FLAT_SHARE = 0.08
_HALFTONE_SHARE = 0.09
_BESIDE_BRIGHT_SHARE = 0.05
_FULL_CONTRAST_SHARE = 0.4
_KINDS = {"none": 0.26, "added": 0.24, "photons": 0.24, "camera": 0.26}
_SUM_SHARE = 0.06
_RESAMPLED_SHARE = 0.12
_JPEG_SHARE = 0.2
_CAMERA_JPEG_SHARE = 0.6
_CLIPPED_SHARE = 0.5
_SATURATED_SHARE = 0.08
_COARSE_SHARE = 0.06
_HOT_SHARE = 0.04
_QUALITIES = (80, 98)
_GAMMA = 2.2
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)

_MICROGRAPHS = ("spots", "filaments", "cells", "texture")
_GRAIN_KINDS = ("cells", "texture")
"""Pictures made by program whose grain is as fine as blurred noise, unless enlarged."""


class NoiseSamples:
    """Draws batches, each of which follows from seed and number.

    Parameters
    ----------
    pictures : sequence of ndarray of uint8 or float, shape (H, W, 3)
        Clean pictures on a scale of 0 to 255.
    seed : int
        Determines every sample.
    """

    def __init__(self, pictures: Sequence[NDArray[Any]], seed: int) -> None:
        self._pictures = pictures
        self._seed = seed

    def batch(self, number: int, side: int, count: int) -> tuple[Tensor, Tensor]:
        """Return patches and the logarithms of what is to be read in their cells.

        Parameters
        ----------
        number : int
            Number of the batch.
        side : int
            Side of the patches in pixels, a multiple of `CELL`.
        count : int
            How many.

        Returns
        -------
        Tensor, shape (N, 1, side, side)
            Values in about [0, 1].
        Tensor, shape (N, 1, side / 8, side / 8)
            log(σ + `NONE`) with σ in gray levels of 255.
        """
        rngs = [np.random.default_rng([self._seed, number, n]) for n in range(count)]
        samples = [_sample(self._pictures, side, rng) for rng in rngs]
        planes = np.stack([plane for plane, _ in samples])[:, None]
        sigmas = np.stack([sigma for _, sigma in samples])[:, None]
        return (
            torch.from_numpy(planes.astype(np.float32)),
            torch.from_numpy(np.log(sigmas + NONE).astype(np.float32)),
        )


def local_deviation(difference: NDArray[Any]) -> NDArray[np.float64]:
    """Return the deviation of noise in cells of 8×8 px, from one draw of the noise.

    It is the root of the mean square over 24×24 px, the cell and those around it, which
    is sure to 3 % for white noise.

    Parameters
    ----------
    difference : ndarray, shape (H, W)
        Noisy less clean picture; sides are multiples of 8.
    """
    rows, columns = (side // CELL for side in difference.shape)
    squares = np.square(difference, dtype=np.float64)
    cells = squares.reshape(rows, CELL, columns, CELL).mean((1, 3))
    padded = np.pad(cells, 1, mode="edge")
    down = padded[:-2] + padded[1:-1] + padded[2:]
    deviation: NDArray[np.float64] = np.sqrt(
        (down[:, :-2] + down[:, 1:-1] + down[:, 2:]) / 9
    )
    return deviation


def _sample(
    pictures: Sequence[NDArray[Any]], side: int, rng: Rng
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return a patch in about [0, 1] and its map in gray levels."""
    kind = str(rng.choice([*_KINDS], p=[*_KINDS.values()]))
    sigma = math.exp(rng.uniform(*np.log(SIGMAS)))
    behind = _Behind.drawn(kind, rng)
    large = side + _MARGIN
    expand_model = math.ceil(large * behind.scale)
    clean = _clean_patch(pictures, kind, expand_model, rng)
    frames = int(rng.choice((2, 4, 8))) if rng.random() < _SUM_SHARE else 1
    if kind == "camera":
        camera = _Camera.drawn(sigma, rng)
        reference = camera.developed(clean)
        noisy = [camera.photographed(clean, rng) for _ in range(frames)]
    else:
        reference = _one_plane(clean, rng)
        noise = _noise_maker(kind, reference, sigma, rng)
        noisy = [noise(rng) for _ in range(frames)]
    channel = None if rng.random() < 0.5 else int(rng.integers(3))
    whole = [behind.done(plane, large, channel) for plane in (*noisy, reference)]
    top, left = rng.integers(0, _MARGIN, 2) if rng.random() < 0.5 else (0, 0)
    *seen, truth = (p[top : top + side, left : left + side] for p in whole)
    patch = np.stack(seen).mean(axis=0)
    found = local_deviation(255 * (patch - truth))
    if rng.random() < _HOT_SHARE:
        is_hot = rng.random(patch.shape) < 10 ** rng.uniform(-4, -2.5)
        brightness = HOT_MEAN * max(sigma, 2) / 255
        patch = patch + is_hot * rng.exponential(brightness, patch.shape)
    return _rounded(patch, sigma, rng), found


def _rounded(patch: Plane, sigma: float, rng: Rng) -> NDArray[Any]:
    """Round half of the patches to 8 bits, and a few to coarser steps."""
    if rng.random() < _COARSE_SHARE:
        # Few counts that are stretched over the whole range.
        step = min(sigma * rng.uniform(0.3, 1.5), 16) / 255
    elif rng.random() < 0.5:
        step = 1 / 255
    else:
        return patch
    rounded: Plane = np.rint(patch / step) * step
    return rounded


# Clean patches


def _clean_patch(
    pictures: Sequence[NDArray[Any]], kind: str, side: int, rng: Rng
) -> Plane:
    """Draw a clean patch for a kind of noise, (side, side, 3) in [0, 1]."""
    shows = rng.random()
    if shows < _FLAT_SHARE:
        patch = _flat(side, rng)
    elif kind == "photons" and shows < _FLAT_SHARE + _MICROGRAPH_SHARE:
        patch = _made(str(rng.choice(_MICROGRAPHS)), side, rng)
    elif shows < _FLAT_SHARE + _MADE_SHARE:
        patch = _made(str(rng.choice([*KINDS])), side, rng)
    else:
        picture = pictures[int(rng.integers(len(pictures)))]
        patch = _crop(picture, side, math.exp(max(rng.uniform(-0.9, 0.9), -0.4)), rng)
    if rng.random() < _HALFTONE_SHARE:
        patch = _halftone(patch, rng)
    if rng.random() < _FULL_CONTRAST_SHARE:
        return patch
    contrast = math.exp(rng.uniform(math.log(0.03), 0))
    low = rng.random() ** 2 * (1 - contrast)
    patch = low + contrast * patch ** np.float32(math.exp(rng.uniform(-0.5, 1)))
    if rng.random() < _BESIDE_BRIGHT_SHARE:
        beads = synthetic_picture(_number("spots", rng))
        patch = np.maximum(patch, _crop(beads, side, rng.uniform(0.5, 1), rng))
    return patch.astype(np.float32)


def _flat(side: int, rng: Rng) -> Plane:
    """Draw one value, or a ramp between the corners' values."""
    corners = rng.random((2, 2, 3))
    if rng.random() < 0.5:
        corners[:] = rng.choice((0.0, 1.0, rng.random()), p=(0.1, 0.1, 0.8))
    weights = np.stack([np.linspace(1, 0, side), np.linspace(0, 1, side)])
    ramp: Plane = np.einsum("ai,abc,bj->ijc", weights, corners, weights)
    return ramp.astype(np.float32)


def _number(kind: str, rng: Rng) -> int:
    """Draw the number of a picture of a kind."""
    kinds = [*KINDS]
    return kinds.index(kind) + len(kinds) * int(rng.integers(COUNT // len(kinds)))


def _made(kind: str, side: int, rng: Rng) -> Plane:
    """Crop from a picture made by program; one of fine grain is enlarged."""
    picture = synthetic_picture(_number(kind, rng))
    if kind in _GRAIN_KINDS:
        return _crop(picture, side, rng.uniform(0.25, 0.45), rng)
    return _crop(picture, side, 1 if rng.random() < 0.6 else rng.uniform(0.5, 1.5), rng)


def _crop(picture: NDArray[Any], side: int, scale: float, rng: Rng) -> Plane:
    """Crop `scale` times as many pixels as are wanted, turn and resize them."""
    cut = min(round(side * scale), *picture.shape[:2])
    top, left = (int(rng.integers(length - cut + 1)) for length in picture.shape[:2])
    patch = picture[top : top + cut, left : left + cut]
    patch = np.rot90(patch, int(rng.integers(4)))
    if rng.random() < 0.5:
        patch = patch[::-1]
    if cut != side:
        image = Image.fromarray(np.ascontiguousarray(patch).astype(np.uint8))
        resized = image.resize((side, side), Image.Resampling.BICUBIC)
        patch = np.asarray(resized)
    return patch.astype(np.float32) / 255


def _halftone(patch: Plane, rng: Rng) -> Plane:
    """Print a patch with a screen of dots or lines, 2.5 to 9 px apart, or a mesh."""
    side, angle = len(patch), rng.uniform(0, math.pi)
    pitch = np.exp(rng.uniform(math.log(2.5), math.log(9), 2))
    if rng.random() < 0.7:
        pitch[1] = pitch[0]
    along = np.arange(side, dtype=np.float32) * np.float32(2 * math.pi)
    rows, columns = along[:, None], along
    u = (math.cos(angle) * columns + math.sin(angle) * rows) / pitch[0]
    v = (math.cos(angle) * rows - math.sin(angle) * columns) / pitch[1]
    screen = np.cos(u) if rng.random() < 0.25 else (np.cos(u) + np.cos(v)) / 2
    screen = (0.5 + 0.5 * screen).astype(np.float32)[..., None]
    if rng.random() < 0.4:
        # A mesh or a weave in front of what is seen.
        low, high = np.sort(rng.random(2))
        mesh: Plane = patch * (low + (high - low) * screen)
        return mesh.astype(np.float32)
    printed: Plane = ((patch - screen) * rng.uniform(1, 8) + 0.5).clip(0, 1)
    return printed


def _one_plane(patch: Plane, rng: Rng) -> Plane:
    """Return the luminance or a channel of colors."""
    if rng.random() < 0.5:
        return full_range_luminance(patch)
    return patch[..., int(rng.integers(3))]


# Noise


def _noise_maker(
    kind: str, plane: Plane, sigma: float, rng: Rng
) -> Callable[[Rng], NDArray[Any]]:
    """Return what gives noisy versions of a plane in [0, 1]."""
    if kind == "none":
        return lambda _: plane
    if kind == "added":
        noise = draw_noise(sigma, rng)._replace(hot=0.0)
        return lambda rng: add_noise(255 * plane, noise, rng)[0] / 255
    photons = _Photons.drawn(plane, sigma, rng)
    if rng.random() < 0.5:
        return lambda rng: photons.counted(plane.T, rng).T
    return lambda rng: photons.counted(plane, rng)


class _Photons(NamedTuple):
    """Noise of counted light: value of an electron, black level, electronics, rows."""

    gain: float
    black: float
    read: float
    rows: float
    multiplies: bool

    @classmethod
    def drawn(cls, plane: NDArray[Any], sigma: float, rng: Rng) -> _Photons:
        """Draw it so that noise is `sigma` gray levels strong at the brightest."""
        lowest, highest = float(plane.min()), float(plane.max())
        black = lowest * rng.random()
        brightest = sigma / 255
        read = brightest * math.exp(rng.uniform(math.log(0.01), 0))
        return cls(
            gain=max(brightest**2 - read**2, 1e-9) / max(highest - black, 1e-3),
            black=black,
            read=read,
            rows=brightest * rng.uniform(0.05, 0.7) if rng.random() < 0.2 else 0.0,
            multiplies=rng.random() < 0.35,
        )

    def counted(self, plane: NDArray[Any], rng: Rng) -> NDArray[Any]:
        """Return a noisy version of a plane."""
        gain = self.gain / (2 if self.multiplies else 1)
        electrons: Plane = rng.poisson((plane - self.black).clip(0) / gain)
        if self.multiplies:
            electrons = rng.standard_gamma(electrons.clip(1e-3)) * (electrons > 0)
        noisy = self.black + gain * electrons
        noisy += self.read * rng.standard_normal(plane.shape, np.float32)
        if self.rows:
            noisy += self.rows * rng.standard_normal((len(plane), 1), np.float32)
        return noisy


class _Camera(NamedTuple):
    """A color camera: Bayer's mosaic in linear light, developed to a picture."""

    sigma: float
    gamma: float
    balance: tuple[float, float, float]
    read_share: float
    phase: tuple[int, int]
    sharpening: float
    smoothing: float
    passes: int

    @classmethod
    def drawn(cls, sigma: float, rng: Rng) -> _Camera:
        """Draw it so that noise is about `sigma` where the picture is middle gray."""
        return cls(
            sigma=sigma,
            gamma=_GAMMA if rng.random() < 0.7 else 1.0,
            balance=(rng.uniform(1, 2.2), 1.0, rng.uniform(1, 2.2)),
            read_share=rng.uniform(0.02, 0.7),
            phase=(int(rng.integers(2)), int(rng.integers(2))),
            sharpening=rng.uniform(0, 1) if rng.random() < 0.5 else 0.0,
            smoothing=rng.uniform(0.2, 1) if rng.random() < 0.65 else 0.0,
            passes=int(rng.integers(1, 6)),
        )

    def photographed(self, clean: Plane, rng: Rng) -> Plane:
        """Return a developed photograph with noise."""
        light = self._light(clean)
        # Noise of sigma where the picture is middle gray, whose light is 0.5^gamma.
        middle = 0.5**self.gamma
        slope = middle / 0.5 * self.gamma
        variance = (self.sigma / 255 * slope) ** 2
        share = self.read_share + (1 - self.read_share) * light / middle
        deviation = np.sqrt(variance * share, dtype=np.float32)
        noise = rng.standard_normal(light.shape, np.float32)
        noisy = self._developed(light + deviation * noise)
        if self.smoothing:
            # What a camera removes of noise while it keeps the picture.
            clean = self.developed(clean)
            noise = smooth = noisy - clean
            for _ in range(self.passes):
                smooth = _smoothed(smooth)
            noisy = clean + noise + self.smoothing * (smooth - noise)
        return noisy

    def developed(self, clean: Plane) -> Plane:
        """Return a developed photograph without noise."""
        return self._developed(self._light(clean))

    def _light(self, clean: Plane) -> Plane:
        """Return the mosaic, (H, W)."""
        light = clean.clip(0, 1) ** np.float32(self.gamma)
        seen = light / np.array(self.balance, np.float32) * self._mask(*clean.shape[:2])
        mosaic: Plane = seen.sum(axis=2, dtype=np.float32)
        return mosaic

    def _mask(self, height: int, width: int) -> Plane:
        """Return which color a pixel sees, (H, W, 3)."""
        mask = np.zeros((height, width, 3), np.float32)
        row, column = self.phase
        mask[row::2, column::2, 0] = 1
        mask[1 - row :: 2, 1 - column :: 2, 2] = 1
        mask[..., 1] = 1 - mask[..., 0] - mask[..., 2]
        return mask

    def _developed(self, mosaic: Plane) -> Plane:
        """Interpolate colors linearly, balance, apply the tone curve and sharpen."""
        mask = self._mask(*mosaic.shape)
        sparse = mosaic[..., None] * mask
        colors = np.where(mask > 0, sparse, _smoothed(sparse) / _smoothed(mask))
        colors = (colors * np.array(self.balance, np.float32)).clip(0, 1)
        colors **= np.float32(1 / self.gamma)
        if self.sharpening:
            colors += self.sharpening * (colors - _smoothed(colors))
        return colors.astype(np.float32)


def _smoothed(values: Plane) -> Plane:
    """Smooth by [1 2 1] / 4 down and across; reflection keeps the phase of a mosaic."""
    padded = np.pad(values, [(1, 1), (1, 1)] + [(0, 0)] * (values.ndim - 2), "reflect")
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    smoothed: Plane = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 16
    return smoothed


# What lies behind the noise


class _Behind(NamedTuple):
    """What is done to a picture after its noise came in."""

    scale: float = 1.0
    quality: int = 0
    clips: bool = False
    saturation: float = 1.0
    resample: Any = Image.Resampling.BICUBIC

    @classmethod
    def drawn(cls, kind: str, rng: Rng) -> _Behind:
        drawn: dict[str, Any] = {"clips": rng.random() < _CLIPPED_SHARE}
        if rng.random() < _RESAMPLED_SHARE:
            drawn["scale"] = math.exp(rng.uniform(math.log(0.6), math.log(2)))
            filters = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
            drawn["resample"] = filters[int(rng.integers(2))]
        share = _CAMERA_JPEG_SHARE if kind == "camera" else _JPEG_SHARE
        if rng.random() < share:
            drawn["quality"] = int(rng.integers(_QUALITIES[0], _QUALITIES[1] + 1))
        if rng.random() < _SATURATED_SHARE:
            drawn["saturation"] = rng.uniform(0.4, 1)
            drawn["clips"] = True
        return cls(**drawn)

    def done(self, picture: NDArray[Any], side: int, channel: int | None) -> Plane:
        """Return one plane, (side, side), of a picture with one or three."""
        values = picture
        if self.clips:
            values = values.clip(0, self.saturation) / self.saturation
        if values.shape[0] != side:
            values = _resized(values, side, self.resample)
        if self.quality:
            values = _saved_as_jpeg(values, self.quality)
        if values.ndim == 3:
            values = values @ _LUMINANCE if channel is None else values[..., channel]
        return values.astype(np.float32)


def _resized(values: NDArray[Any], side: int, resample: Any) -> NDArray[Any]:
    planes = values.reshape(*values.shape[:2], -1).transpose(2, 0, 1)
    resized = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(
                (side, side), resample
            )
        )
        for plane in planes
    ]
    return np.stack(resized, axis=2).reshape(side, side, *values.shape[2:])


def _saved_as_jpeg(values: NDArray[Any], quality: int) -> NDArray[Any]:
    """Return what a JPEG of a picture in [0, 1] holds; colors at half size (4:2:0)."""
    buffer = io.BytesIO()
    pixels = np.rint(255 * values).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float32) / 255
