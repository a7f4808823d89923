"""A network on a device through which the rows of images stream."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from memnet_core._util.devices import (
    available_memory,
    is_out_of_memory,
    select_device,
)
from memnet_core.errors import ModelError, NotFinite, OutOfMemory, UsageError
from memnet_core.inference.plan import Prepared, RestorePlan
from memnet_core.inference.steps import plan_chain
from memnet_core.model.checkpoint import load_model
from memnet_core.model.streaming import EvaluationNetwork

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from memnet_core.inference.settings import Precision, RestoreOptions
    from memnet_core.model.network import MemNet
    from memnet_core.model.streaming import RowStream
    from memnet_core.sources.protocols import PixelSource

__all__ = ["Engine", "EngineCache", "bind_engine", "prepare"]


# Other programs, and the images themselves, need memory, too.
_MEMORY_SHARE = 0.5
# Bytes of a feature map in a strip. Some five are at work at once, and fit the cache
# of a desktop processor. Twice and half as much were within 3 % there. The size of the
# cache is not asked for: servers report hundreds of MiB that many share, and strips of
# such a size cost gigabytes and are slower (1 Mpx: 20.9 CPU s instead of 23.1).
_CPU_MAP = 4 * 2**20 // 3
# Every convolution copies the two rows that it keeps in and out; fewer fresh rows than
# these do not pay.
_FEWEST_ROWS = 4
# Rows and columns of a picture that is restored to see how long it takes.
_TRIAL = 64, 256
# Enough work for each kernel on a GPU, and a strip takes a fraction of a second.
_GPU_MAP = 64 * 2**20


class Engine:
    """A network on a device, ready for images of any size.

    Parameters
    ----------
    model : MemNet
        The trained network.
    device : str
        ``auto`` or one of `memnet_core._util.devices.available_devices`.
    exit_block : int, optional
        Stop after memory block m = 1..M.
    precision : str
        ``float32``, ``bfloat16`` or ``float16``.

    Attributes
    ----------
    device : torch.device
        Where it computes.
    radius : int
        How far a pixel of the result sees, in pixels, on a grid of multiples of
        `multiple`.
    multiple : int
        Side of the cells in which pixels are shuffled.
    image_channels : int
        Planes that are restored together.
    level_planes : int
        Planes for levels behind those of the image: none, one, or one for luminance
        and one for chroma.
    precision : str
        Type that the network computes in.

    Raises
    ------
    DeviceError
        If the device does not exist.
    UsageError
        If the network makes no prediction after `exit_block`.
    """

    def __init__(
        self,
        model: MemNet,
        *,
        device: str = "auto",
        exit_block: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        architecture = model.architecture
        self.device = select_device(device)
        self.radius = architecture.radius(exit_block)
        self.multiple = architecture.unshuffle
        self.image_channels = architecture.image_channels
        self.level_planes = architecture.level_planes
        self.precision = precision
        self._model = model
        self._exit_block = exit_block
        self._dtype: torch.dtype = getattr(torch, precision)
        self._network = EvaluationNetwork(model, exit_block).to(
            self.device, self._dtype
        )

    def exact(self) -> Engine:
        """Return an engine that computes the same in float32."""
        if self.precision == "float32":
            return self
        return Engine(self._model, device=str(self.device), exit_block=self._exit_block)

    def stream(
        self,
        strips: Iterable[NDArray[np.float32]],
        height: int,
        level: float | Sequence[float] | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """Restore images of one size whose rows arrive in strips.

        Parameters
        ----------
        strips : iterable of ndarray of float32, shape (N, C, h, W)
            Consecutive rows of N images, values in [0, 1]; h may change.
        height : int
            Number of rows in all.
        level : float or sequence of float, optional
            Levels of luminance and of chroma; the last stands for what is not given.
            Empty where the strips hold the level planes behind the others.

        Yields
        ------
        ndarray of float32, shape (N, C, h, W)
            Restored rows in order, not clipped, as soon as they are known: something
            after every strip, if only an array of no rows.

        Raises
        ------
        OutOfMemory
            If the memory of the device does not suffice.
        NotFinite
            If the result is not finite.
        UsageError
            If the network wants a level and there is none.

        Notes
        -----
        The result does not depend on the strips, to the last bit on a CPU; on a GPU
        the libraries may choose another algorithm for another height.
        """
        if self.level_planes and level is None:
            raise UsageError("This network has to be told the level of degradation.")
        given = np.atleast_1d(0.0 if level is None else level)
        wanted = np.arange(self.level_planes if len(given) else 0)
        levels = given[np.minimum(wanted, len(given) - 1)]
        rows: RowStream | None = None
        most = height
        received = 0
        for strip in strips:
            images, _, _, width = strip.shape
            if rows is None:
                rows = self._network.stream(images, height, width)
                most = self.strip_rows(width, images)
            for top in range(0, strip.shape[2], most):
                part = strip[:, :, top : top + most]
                received += part.shape[2]
                restored = self._push(rows, part, levels)
                if restored is None:
                    raise OutOfMemory(
                        f"Rows of {width} px do not fit into the memory of "
                        f"{self.device}; free some, or use another device."
                    )
                if not np.isfinite(restored).all():
                    raise NotFinite(
                        "The network's output is not finite; check the range of the "
                        "image's values, or give one."
                    )
                yield restored
        if received != height:
            raise ValueError(f"There were {received} rows in place of {height}.")

    def strip_rows(self, width: int, images: int = 1) -> int:
        """Return the height of a strip, a multiple of `multiple`.

        It is one that stays in the cache of a CPU, and one that occupies a GPU.

        Parameters
        ----------
        width : int
            Columns of an image.
        images : int
            Images that are restored at once.
        """
        row = self._map_row(width) * images
        wanted = _CPU_MAP if self.device.type == "cpu" else _GPU_MAP
        return self.multiple * max(wanted // row, _FEWEST_ROWS)

    def widest(self, images: int = 1) -> int:
        """Return how many columns of each image fit into memory, at least 1."""
        budget = available_memory(self.device) * _MEMORY_SHARE
        width = 1024 * self.multiple
        rows = _FEWEST_ROWS * self.multiple
        return max(1, int(budget / (self.memory(width, rows) * images) * width))

    @cached_property
    def pace(self) -> float:
        """Seconds for a pixel of an image, measured on a small one."""
        planes = np.full((1, self.image_channels, *_TRIAL), 0.5, np.float32)
        for _ in range(2):  # the first time takes longer
            started = time.perf_counter()
            for _ in self.stream([planes], _TRIAL[0], 0.1):
                pass
        return (time.perf_counter() - started) / math.prod(_TRIAL)

    def memory(self, width: int, rows: int) -> int:
        """Return the bytes that one image needs, beside the weights.

        Parameters
        ----------
        width : int
            Columns of the image.
        rows : int
            Height of its strips.
        """
        height = -(-rows // self.multiple)
        maps = self._network.rows_held(height) * self._map_row(width)
        planes = self.image_channels + self.level_planes
        # Its planes wait for the residual; strips are padded, shuffled, converted.
        pixels = (2 * self.radius + 8 * rows) * width * planes
        return maps + pixels * self._dtype.itemsize

    def _map_row(self, width: int) -> int:
        """Return the bytes of a row of a feature map."""
        channels = self._network.architecture.channels
        return -(-width // self.multiple) * channels * self._dtype.itemsize

    def _push(
        self, rows: RowStream, strip: NDArray[np.float32], levels: NDArray[np.float64]
    ) -> NDArray[np.float32] | None:
        """Return restored rows, or None if memory does not suffice.

        The caller goes on outside the handler, which would hold on to the memory.
        """
        try:
            x = torch.from_numpy(np.ascontiguousarray(strip))
            x = x.to(self.device, self._dtype)
            maps = [torch.full_like(x[:, :1], level) for level in levels]
            x = torch.cat([x, *maps], 1)
            restored: NDArray[np.float32] = rows.push(x).float().cpu().numpy()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return restored


class EngineCache:
    """Engines, each loaded once."""

    def __init__(self) -> None:
        self._engines: dict[tuple[object, ...], Engine] = {}

    def engine(self, decision: RestorePlan, device: str = "auto") -> Engine:
        """Return the engine for a decision on a device.

        Raises
        ------
        ModelError, DeviceError, UsageError
            If model, device or exit block do not serve.
        """
        key = (decision.checksum, device, decision.exit_block, decision.precision)
        if key not in self._engines:
            model, card = load_model(decision.entry().path)
            if card.sha256 != decision.checksum:
                raise ModelError(
                    f"The model {decision.model} was exchanged meanwhile; begin anew."
                )
            self._engines[key] = Engine(
                model,
                device=device,
                exit_block=decision.exit_block,
                precision=decision.precision,
            )
        return self._engines[key]


_MODELS = EngineCache()


def prepare(
    source: PixelSource, settings: RestoreOptions, models: EngineCache | None = None
) -> Prepared:
    """Decide how a source is restored, and load what does it.

    Parameters
    ----------
    source : Source
        Any input.
    settings : RestoreOptions
        What was asked for.
    models : EngineCache, optional
        Where engines are kept; by default one place of this process.

    Raises
    ------
    MemnetError
        As `plan_chain`; also if the model or the device does not serve.
    """
    return bind_engine(plan_chain(source, settings), settings.device, models)


def bind_engine(
    decision: RestorePlan, device: str = "auto", models: EngineCache | None = None
) -> Prepared:
    """Return a decision with the engines on a device; see `prepare`."""
    before = tuple(bind_engine(plan, device, models) for plan in decision.before)
    engine = (models or _MODELS).engine(decision, device)
    return Prepared(decision, engine, decision.entry(), before)
