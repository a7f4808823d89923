"""The one engine of all doors: restores planes tile by tile, as a generator."""

from __future__ import annotations

import copy
import gc
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from memnet_core.devices import available_memory, is_out_of_memory, select_device
from memnet_core.errors import DeviceError, ImageError, UsageError
from memnet_core.model.fused import memory_per_pixel
from memnet_core.model.network import pad_to_multiple
from memnet_core.model.streaming import EvaluationNetwork
from memnet_core.tiling import Tile, plan_tiles

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from memnet_core.model.network import MemNet

__all__ = ["EventsWithResult", "Restorer", "TileDone", "result_of"]

log = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "float16"]

_LARGEST_TILE = 1024
_SMALLEST_TILE = 16
_CPU_BATCH_PIXELS = 256 * 256
_GPU_BATCH_PIXELS = 1024 * 1024
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class TileDone:
    """One more tile is finished.

    Attributes
    ----------
    done, total : int
        Tiles so far and in all; the total grows if memory runs out.
    """

    done: int
    total: int


class Restorer:
    """A network on a device, ready for planes of any size.

    Parameters
    ----------
    model : MemNet
        The trained network.
    device : str
        ``auto`` or one of `memnet_core.devices.available_devices`.
    tile : int or (int, int), optional
        Side, or height and width, of a tile in pixels, without its halo. The default
        follows from the memory at hand, and may shrink when that runs out.
    halo : int, optional
        Context around a tile in pixels. The default, the radius of the receptive
        field, makes the result independent of the tiles; a smaller one is faster.
    exit_block : int, optional
        Stop after memory block m = 1..M.
    tta : bool
        Whether to average the results of the eight flips and rotations.
    precision : str
        ``float32``, ``bfloat16`` or ``float16``; tiles in which a result is not finite
        are done again in float32.

    Raises
    ------
    DeviceError
        If the device does not exist.
    UsageError
        If a tile is smaller than 1 px, a halo negative, or the exit block unknown.
    """

    def __init__(
        self,
        model: MemNet,
        *,
        device: str = "auto",
        tile: int | tuple[int, int] | None = None,
        halo: int | None = None,
        exit_block: int | None = None,
        tta: bool = False,
        precision: Precision = "float32",
    ) -> None:
        sides = (tile, tile) if isinstance(tile, int) else tile
        if sides and min(sides) < 1:
            raise UsageError(
                f"A tile has to be at least 1 px wide and high, not {tile}."
            )
        if halo is not None and halo < 0:
            raise UsageError(f"A halo cannot be negative: {halo}.")
        architecture = model.architecture
        self.device = select_device(device)
        self.radius = architecture.radius(exit_block)
        self.halo = self.radius if halo is None else halo
        self._tile = sides
        self._largest = _LARGEST_TILE
        self._batch_pixels = (
            _CPU_BATCH_PIXELS if self.device.type == "cpu" else _GPU_BATCH_PIXELS
        )
        self.multiple = architecture.unshuffle
        self._bytes_per_pixel = memory_per_pixel(architecture)
        self._transforms = range(8 if tta else 1)
        self._exact = EvaluationNetwork(model, exit_block).to(self.device)
        self._dtype: torch.dtype = getattr(torch, precision)
        self._network = (
            self._exact
            if precision == "float32"
            else EvaluationNetwork(model, exit_block).to(self.device, self._dtype)
        )

    @property
    def is_exact(self) -> bool:
        """Whether the result is that of the whole image, up to rounding."""
        return self.halo >= self.radius

    def restore(
        self, planes: NDArray[np.float32]
    ) -> Generator[TileDone, None, NDArray[np.float32]]:
        """Restore planes of one shape; closing the generator cancels.

        Parameters
        ----------
        planes : ndarray of float32, shape (N, H, W)
            Values in [0, 1].

        Yields
        ------
        TileDone
            After every tile.

        Returns
        -------
        ndarray of float32, shape (N, H, W)
            Restored planes, not clipped.

        Raises
        ------
        DeviceError
            If not even the smallest tile, or the tile that was asked for, fits.
        ImageError
            If the network's output is not finite, even in float32.
        """
        restored = np.zeros(planes.shape, np.float32)
        done = 0
        for transform in self._transforms:
            turned = np.array(_turn(planes, transform), np.float32, order="C")
            source = pad_to_multiple(torch.from_numpy(turned), self.multiple)
            result = np.empty(turned.shape, np.float32)
            later = len(self._transforms) - 1 - transform
            sideways = transform % 2 == 1
            for remaining, in_pass in self._restore_tiles(source, result, sideways):
                done += 1
                yield TileDone(done, done + remaining + later * in_pass)
            restored += _turn_back(result, transform)
        restored /= len(self._transforms)
        return restored

    def with_tile(self, tile: tuple[int, int]) -> Restorer:
        """Return the same engine, with the same network, for tiles of a given size."""
        twin = copy.copy(self)
        twin._tile = tile
        return twin

    def tile_size(self) -> tuple[int, int]:
        """Return the given tile, or the largest square that fits into memory."""
        if self._tile:
            return self._tile
        budget = available_memory(self.device) * _MEMORY_SHARE
        window = math.isqrt(int(budget / self._bytes_per_pixel))
        side = min(max(window - 2 * self.halo, _SMALLEST_TILE), self._largest)
        return side, side

    def _restore_tiles(
        self, source: torch.Tensor, result: NDArray[np.float32], sideways: bool
    ) -> Iterator[tuple[int, int]]:
        """Fill `result`; after each tile yield how many remain, and how many there are.

        When memory runs out, what is unfinished is planned anew.
        """
        count, *shape = source.shape
        unfinished = np.ones(shape, np.bool_)
        while count and unfinished.any():
            side = self.tile_size()
            turned = side[::-1] if sideways else side
            plan = plan_tiles((shape[0], shape[1]), turned, self.halo, self.multiple)
            tiles = [tile for tile in plan if unfinished[tile.core].any()]
            jobs = [(tile, plane) for tile in tiles for plane in range(count)]
            size = self._batch_size(tiles[0])
            for first in range(0, len(jobs), size):
                batch = jobs[first : first + size]
                outputs = self._attempt([source[p][t.window] for t, p in batch])
                if outputs is None:
                    self._make_room(len(batch), batch[0][0], side)
                    break
                for done, ((tile, plane), output) in enumerate(
                    zip(batch, outputs, strict=True), start=first + 1
                ):
                    target = result[plane][tile.core]
                    target[...] = output[tile.inner][
                        : target.shape[0], : target.shape[1]
                    ]
                    if plane == count - 1:
                        unfinished[tile.core] = False
                    yield len(jobs) - done, len(jobs)

    def _attempt(self, windows: list[torch.Tensor]) -> NDArray[np.float32] | None:
        """Restore windows, or return None if memory does not suffice.

        The caller goes on outside the handler, which would hold on to the memory.
        """
        try:
            return self._run(windows)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _make_room(self, batch: int, tile: Tile, side: tuple[int, int]) -> None:
        """After running out of memory, ask for less of it from now on.

        First fewer windows at once; then, unless their size was given, smaller ones.
        """
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._batch_pixels = batch * tile.window_pixels // 2
        if batch > 1:
            log.warning("Out of memory: going on with %d tiles at once.", batch // 2)
            return
        if self._tile:
            raise DeviceError(
                f"A tile of {side[0]}×{side[1]} px with a halo of {self.halo} px does "
                f"not fit into the memory of {self.device}; choose a smaller tile, or "
                "leave its size to memnet."
            )
        tried = min(max(core.stop - core.start for core in tile.core), side[0])
        if tried <= _SMALLEST_TILE:
            raise DeviceError(
                f"Not even a tile of {tried} px with a halo of {self.halo} px fits "
                f"into the memory of {self.device}; free some, or use another device."
            )
        self._largest = max(tried // 2, _SMALLEST_TILE)
        log.warning("Out of memory: going on with tiles of %d px.", self._largest)

    def _batch_size(self, tile: Tile) -> int:
        """Return how many windows to run at once."""
        budget = available_memory(self.device) * _MEMORY_SHARE / self._bytes_per_pixel
        most = min(self._batch_pixels, int(budget))
        return max(1, most // tile.window_pixels)

    def _run(self, windows: list[torch.Tensor]) -> NDArray[np.float32]:
        """Restore windows of one shape, in float32 where less does not suffice."""
        batch = torch.stack(windows)[:, None].to(self.device)
        output = self._network(batch.to(self._dtype)).float()
        finite = bool(output.isfinite().all())
        if not finite and self._network is not self._exact:
            log.warning("A tile was not finite in %s; done in float32.", self._dtype)
            output = self._exact(batch)
            finite = bool(output.isfinite().all())
        if not finite:
            raise ImageError(
                "The network's output is not finite; check the range of the image's "
                "values, or give one."
            )
        restored: NDArray[np.float32] = output[:, 0].cpu().numpy()
        return restored


class EventsWithResult:
    """The events of a generator, to loop over, and then its result.

    Parameters
    ----------
    generator : generator
        Yields events and returns a result.

    Attributes
    ----------
    result
        What the generator returned; there is none before the loop has ended.
    """

    result: Any

    def __init__(self, generator: Generator[Any, None, Any]) -> None:
        self._generator = generator

    def __iter__(self) -> Iterator[Any]:
        self.result = yield from self._generator


def result_of(generator: Generator[Any, None, Any]) -> Any:
    """Run a generator of events to its end and return its result."""
    events = EventsWithResult(generator)
    for _ in events:
        pass
    return events.result


def _turn(planes: NDArray[np.float32], transform: int) -> NDArray[np.float32]:
    """Return one of the eight flips and rotations of (N, H, W) planes."""
    turned = np.rot90(planes, transform % 4, axes=(1, 2))
    return turned[:, :, ::-1] if transform >= 4 else turned


def _turn_back(planes: NDArray[np.float32], transform: int) -> NDArray[np.float32]:
    """Undo `_turn`."""
    flipped = planes[:, :, ::-1] if transform >= 4 else planes
    return np.rot90(flipped, -(transform % 4), axes=(1, 2))
