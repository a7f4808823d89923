"""How strong the noise is at every pixel, as the noise network reads it.

What the network reads of one cell takes some texture for noise. So its readings are
pooled twice, each time by a low quantile, which texture does not reach: over the cells
of a sample that are about as bright, which gives deviation as a function of brightness,
and over tiles of a plane, which gives the factor by which they differ from that.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from memnet_core.noise import CELL, RADIUS
from memnet_core.noise.estimation import brightness_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from memnet_core.noise.network import NoiseNetwork

    Planes = NDArray[Any]
    Deviation = Callable[[NDArray[Any]], NDArray[Any]]
    """Deviation of noise at some brightness, both in gray levels of 255."""

__all__ = ["NoiseCurve", "NoiseMap", "Readings", "readings_of"]

_GRAYS = 255.0

_QUANTILE = 0.4
"""Share of the cells of a class, or of a tile, that read as less than what is taken.
The median costs 0.3 dB where all is texture; less than this reads noise as too weak."""

_UNBIASED = 1.07
"""Ratio of noise that is the same everywhere to the quantile of its readings."""

_CLASSES, _FEWEST = 12, 100
"""Even classes of brightness, and the cells that each has at least."""

_TILE = 16
"""Cells along the side of a tile: 128 px."""

_FACTORS = (-3.0, 0.7)
"""Logarithms of the least and the greatest factor of a tile."""

_ABOVE = 1.5
"""Greatest ratio of what is taken for a cell to what was read of it alone: text in a
picture with noise is read as clean. Readings of noise scatter by less."""

_LEAST = 0.05
"""Gray levels below which readings do not differ; rounding makes 0.3."""

_QUIET = 0.25
"""Share of the cells of a sample that are taken for quiet ones."""

_QUIETEST, _EVEN = 0.1, 0.53
"""Share of the cells as bright, and how much of the usual deviation is read there of
noise: 0.6 to 0.9 from σ 5 on (benchmarks/steps.py); 0.5 of shrubs that read as σ 8."""

_HELD_FROM = 0.3
"""Ratio from which on fine details count as noise: 0.4 to 1.0 in simulated cameras."""

_SHARED_FROM = 1.2
"""Ratio of what is read to what the finest details hold from which on neighbors share
the noise: 0.7 to 1.0 for white noise, at least 1.4 for noise blurred by 0.6 px."""


class NoiseCurve(BaseModel):
    """Deviation of the noise by brightness, both in gray levels of 255.

    Attributes
    ----------
    means : tuple of float
        Brightness of classes, rising.
    sigmas : tuple of float
        Their noise; between classes it is interpolated, beyond it goes on level.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    means: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    sigmas: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]

    def __call__(self, means: NDArray[Any]) -> NDArray[np.float64]:
        """Return the deviation at some brightness."""
        found: NDArray[np.float64] = np.interp(means, self.means, self.sigmas)
        return found


class Readings(NamedTuple):
    """What was read of the cells of a sample, those of one value left out.

    Attributes
    ----------
    means, sigmas : ndarray, shape (n,)
        Brightness and deviation of the noise, in gray levels of 255.
    """

    means: NDArray[np.float64]
    sigmas: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Readings]) -> Readings:
        """Return the readings of several samples."""
        nothing = np.empty(0)
        return cls(
            np.concatenate([nothing, *(part.means for part in parts)]),
            np.concatenate([nothing, *(part.sigmas for part in parts)]),
        )

    def curve(
        self, floor: Deviation | None = None, quantile: float = _QUANTILE
    ) -> NoiseCurve:
        """Return the deviation by brightness, nowhere below `floor`."""
        if not self.means.size:
            return NoiseCurve(means=(0.0,), sigmas=(0.0,))
        order = np.argsort(self.means, kind="stable")
        parts = brightness_classes(len(order), _CLASSES, _FEWEST) or [slice(None)]
        means = np.array([self.means[order[part]].mean() for part in parts])
        sigmas = _UNBIASED * np.array(
            [np.quantile(self.sigmas[order[part]], quantile) for part in parts]
        )
        if floor:
            sigmas = np.maximum(sigmas, floor(means))
        return NoiseCurve(means=tuple(means.tolist()), sigmas=tuple(sigmas.tolist()))

    def level(self, curve: NoiseCurve) -> float:
        """Return the root of the mean variance along a curve, in gray levels of 255."""
        if not self.means.size:
            return 0.0
        return float(np.sqrt(np.mean(curve(self.means) ** 2)))

    @property
    def may_be_texture(self) -> bool:
        """Whether cells as bright differ so much that texture may have been read."""
        quietest = self.level(self.curve(quantile=_QUIETEST))
        return quietest < _EVEN * self.level(self.curve())

    def is_shared(self, deviation: Deviation) -> bool:
        """Whether neighbors share the noise: the finest details hold too little of it.

        Parameters
        ----------
        deviation : callable
            Deviation that the finest details have at some brightness, in gray levels.
        """
        strong = self.sigmas > 1
        is_strong = strong.size > 0 and strong.mean() > _QUIET
        return bool(is_strong and self._share(deviation) > _SHARED_FROM)

    def holds(self, deviation: Deviation) -> bool:
        """Whether the finest details are mostly noise, and no texture of clean images.

        Parameters
        ----------
        deviation : callable
            As for `is_shared`.
        """
        return self.means.size > 0 and self._share(deviation) > _HELD_FROM

    def _share(self, deviation: Deviation) -> float:
        """Return what is read in quiet cells, of what the finest details hold."""
        found = np.maximum(deviation(self.means), _LEAST)
        return float(np.quantile(self.sigmas / found, _QUIET))


def readings_of(network: NoiseNetwork, planes: Sequence[Planes]) -> Readings:
    """Read a sample.

    Parameters
    ----------
    network : NoiseNetwork
        What reads it.
    planes : sequence of ndarray, shape (H, W)
        Values in about [0, 1]; cells at the right and the bottom that are not whole do
        not count.
    """
    from memnet_core.noise.network import noise_map  # imports PyTorch

    means, sigmas = [], []
    for plane in planes:
        cells = _cells(plane)
        noisy = np.ptp(cells, axis=(2, 3)) > 0
        rows, columns = noisy.shape
        sigmas.append(noise_map(network, plane)[:rows, :columns][noisy])
        means.append(_GRAYS * cells.mean((2, 3), dtype=np.float64)[noisy])
    if not means:
        return Readings(np.empty(0), np.empty(0))
    return Readings(np.concatenate(means), np.concatenate(sigmas).astype(np.float64))


def _cells(plane: Planes) -> Planes:
    """Return the whole cells of a plane, shape (rows, columns, 8, 8)."""
    rows, columns = (side // CELL for side in plane.shape)
    whole = plane[: CELL * rows, : CELL * columns]
    return whole.reshape(rows, CELL, columns, CELL).swapaxes(1, 2)


class _Band(NamedTuple):
    """What is known of a row of tiles: of cells, and of tiles.

    The first axis of all but `still` is that of images, and deviations are those of
    color: the root mean square over channels.
    """

    means: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    factors: NDArray[np.float64]
    still: NDArray[np.bool_]


class NoiseMap:
    """The noise at the pixels of a window of a plane, from its top to its bottom.

    Tiles of 128 px lie on a grid of the whole plane and are read one by one, so that a
    window holds what the whole has there, to the last bit. Memory is that of the rows
    of tiles that a strip touches.

    Parameters
    ----------
    read : callable
        Returns images of some rows and the columns `seen`, shape (N, C, h, w), in
        about [0, 1].
    shape : (int, int)
        Height and width of the plane.
    columns : slice
        Those of the window.
    network : NoiseNetwork, optional
        Without one only `still` is known.
    curve : NoiseCurve, optional
        Deviation by brightness.
    """

    def __init__(
        self,
        read: Callable[[slice], Planes],
        shape: tuple[int, int],
        columns: slice,
        network: NoiseNetwork | None = None,
        curve: NoiseCurve | None = None,
    ) -> None:
        self._read = read
        self._shape = shape
        self._columns = columns
        self._network = network
        self._curve = curve
        self._tiles = self._touched(columns, shape[1])
        self._bands: dict[int, _Band] = {}

    @property
    def is_read(self) -> bool:
        """Whether `sigma` is known."""
        return self._network is not None

    @property
    def seen(self) -> slice:
        """The columns that it reads."""
        return self._around(self._tiles, self._shape[1])

    def seen_rows(self, rows: slice) -> slice:
        """Return the rows that it reads for some."""
        return self._around(self._touched(rows, self._shape[0]), self._shape[0])

    def sigma(self, rows: slice) -> NDArray[np.float32]:
        """Return the deviation in gray levels of 255, shape (N, 1, h, w)."""
        bands, first = self._of(rows)
        means, sigmas = (
            np.concatenate(parts, 1)
            for parts in zip(*((b.means, b.sigmas) for b in bands), strict=True)
        )
        factors = np.stack([band.factors for band in bands], 1)
        assert self._curve
        cells = np.minimum(
            self._curve(means) * np.exp(_enlarged(factors, _TILE, means.shape[1:])),
            _ABOVE * sigmas,
        )
        down, across = (
            np.arange(part.start, part.stop) - CELL * _TILE * start
            for part, start in ((rows, first), (self._columns, self._tiles.start))
        )
        return _interpolated(cells, CELL, down, across)[:, None].astype(np.float32)

    def still(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """Return which pixels lie in areas of one value, shape (h, w)."""
        bands, first = self._of(rows)
        pixels = np.concatenate([band.still for band in bands])
        top, left = (CELL * _TILE * n for n in (first, self._tiles.start))
        still: NDArray[np.bool_] = pixels[
            rows.start - top : rows.stop - top,
            columns.start - left : columns.stop - left,
        ]
        return still

    def _of(self, rows: slice) -> tuple[list[_Band], int]:
        """Return the rows of tiles that some rows touch, and the number of the first.

        Those above the ones before them are forgotten.
        """
        touched = self._touched(rows, self._shape[0])
        for number in [n for n in self._bands if n < touched.start - 2]:
            del self._bands[number]
        for number in range(touched.start, touched.stop):
            if number not in self._bands:
                self._bands[number] = self._band(number)
        numbers = range(touched.start, touched.stop)
        return [self._bands[number] for number in numbers], touched.start

    def _touched(self, part: slice, size: int) -> slice:
        """Return the tiles that what is known of some pixels depends on."""
        side = _TILE * CELL
        # Factors are interpolated between the middles of tiles, and then between cells.
        reach = side // 2 + CELL if self.is_read else 0
        return slice(
            max(part.start - reach, 0) // side,
            -(-min(part.stop + reach, size) // side),
        )

    def _around(self, tiles: slice, size: int) -> slice:
        """Return the pixels that are read for some tiles."""
        side = _TILE * CELL
        halo = RADIUS if self.is_read else 3 * CELL  # cells on which `still` depends
        return slice(
            max(tiles.start * side - halo, 0), min(tiles.stop * side + halo, size)
        )

    def _band(self, number: int) -> _Band:
        """Read a row of tiles."""
        height, width = self._shape
        rows, columns = self._around(slice(number, number + 1), height), self.seen
        images = self._read(rows)
        missing = (-height % CELL * (rows.stop == height),
                   -width % CELL * (columns.stop == width))  # fmt: skip
        images = np.pad(
            images, [(0, 0), (0, 0), (0, missing[0]), (0, missing[1])], mode="symmetric"
        )
        left = columns.start // CELL
        inside = slice(number * _TILE - rows.start // CELL, None)
        inside = slice(inside.start, inside.start + _TILE)
        beside = slice(
            *(_TILE * n - left for n in (self._tiles.start, self._tiles.stop))
        )
        still = _still(images)[
            CELL * inside.start : CELL * inside.stop,
            CELL * beside.start : CELL * beside.stop,
        ]
        if self._network is None:
            nothing = np.empty((0, 0, 0))
            return _Band(nothing, nothing, nothing, still)
        means = _GRAYS * np.stack([_brightness(image) for image in images])
        means = means[:, inside, beside]
        numbers = range(self._tiles.start, self._tiles.stop)
        tiles = [self._tile(images, inside, _TILE * n - left) for n in numbers]
        sigmas = np.concatenate(tiles, axis=2)
        return _Band(means, sigmas, self._factors(means, sigmas), still)

    def _tile(self, images: Planes, inside: slice, first: int) -> NDArray[np.float64]:
        """Return what is read of a tile, from its first cell on, (N, rows, columns)."""
        from memnet_core.noise.network import noise_map  # imports PyTorch

        assert self._network
        start = max(first - RADIUS // CELL, 0)
        stop = first + _TILE + RADIUS // CELL
        columns = slice(first - start, first - start + _TILE)
        variances = []
        for image in images[..., CELL * start : CELL * stop]:
            read = np.stack([noise_map(self._network, plane) for plane in image])
            variances.append(np.mean(read.astype(np.float64) ** 2, axis=0))
        deviations: NDArray[np.float64] = np.sqrt(np.stack(variances))
        return deviations[:, inside, columns]

    def _factors(
        self, means: NDArray[np.float64], sigmas: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the logarithm of each tile's factor, shape (N, tiles)."""
        assert self._curve
        usual = np.maximum(self._curve(means), _LEAST)
        ratios = np.log(_UNBIASED * np.maximum(sigmas, _LEAST) / usual)
        ends = [*range(0, means.shape[2], _TILE), means.shape[2]]
        tiles = [
            np.quantile(ratios[:, :, start:stop], _QUANTILE, axis=(1, 2))
            for start, stop in pairwise(ends)
        ]
        factors: NDArray[np.float64] = np.clip(np.stack(tiles, 1), *_FACTORS)
        return factors


def _still(images: Planes) -> NDArray[np.bool_]:
    """Return which pixels belong to areas of one value, of 3×3 cells or more.

    To an area belongs what has its value in the cells around it, too.
    """
    still = np.ones(images.shape[2:], bool)
    for plane in images.reshape(-1, *images.shape[2:]):
        cells = _cells(plane)
        rows, columns = cells.shape[:2]
        values = np.where(np.ptp(cells, axis=(2, 3)) == 0, cells[..., 0, 0], np.nan)
        same = _around_each(np.pad(values, 1, mode="edge"))
        inside = np.all(same == values, axis=0)
        middles = np.where(inside, values, np.nan)
        beside = middles
        for _ in range(2):  # the whole area, and the cells beside it
            padded = np.pad(beside, 1, constant_values=np.nan)
            beside = np.fmax.reduce(_around_each(padded))
        alike = cells == beside[..., None, None]
        still &= alike.swapaxes(1, 2).reshape(CELL * rows, CELL * columns)
    return still


def _around_each(padded: Planes) -> Planes:
    """Return the 3×3 values around each, shape (9, rows, columns)."""
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.moveaxis(windows.reshape(*windows.shape[:2], 9), -1, 0)


def _brightness(image: Planes) -> NDArray[np.float64]:
    """Return the mean of each cell over its pixels and over the channels."""
    cells = [_cells(plane).mean((2, 3), dtype=np.float64) for plane in image]
    return np.asarray(np.mean(cells, axis=0))


def _enlarged(
    values: NDArray[np.float64], side: int, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Interpolate values of shape (N, rows, columns) to `side` times as many."""
    return _interpolated(values, side, *(np.arange(length) for length in shape))


def _interpolated(
    values: NDArray[np.float64],
    side: int,
    down: NDArray[np.int64],
    across: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Interpolate linearly between the middles of squares, shape (N, rows, columns).

    Parameters
    ----------
    values : ndarray, shape (N, h, w)
        One for each square.
    side : int
        Length of its sides.
    down, across : ndarray of int
        Rows and columns that are wanted.
    """
    for axis, wanted in ((1, down), (2, across)):
        last = values.shape[axis] - 1
        middle = np.clip((wanted + 0.5) / side - 0.5, 0, last)
        before = middle.astype(np.int64)
        share = (middle - before)[:, None] if axis == 1 else middle - before
        values = values.take(before, axis) * (1 - share) + share * values.take(
            np.minimum(before + 1, last), axis
        )
    return values
