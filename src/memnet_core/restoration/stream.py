"""A network on a device through which the rows of images stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from memnet_core.devices import available_memory, is_out_of_memory, select_device
from memnet_core.errors import NotFinite, OutOfMemory, UsageError
from memnet_core.model.fused import memory_per_pixel
from memnet_core.model.streaming import EvaluationNetwork

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from memnet_core.model.network import MemNet
    from memnet_core.restoration.settings import Precision

__all__ = ["Engine"]

_MEMORY_SHARE = 0.5


class Engine:
    """A network on a device, ready for images of any size.

    Parameters
    ----------
    model : MemNet
        The trained network.
    device : str
        ``auto`` or one of `memnet_core.devices.available_devices`.
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
    level_map : bool
        Whether the network wants to be told the level.
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
        self.level_map = architecture.level_map
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
        level: float | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """Restore images of one size whose rows arrive in strips.

        Parameters
        ----------
        strips : iterable of ndarray of float32, shape (N, C, h, W)
            Consecutive rows of N images, values in [0, 1]; h may change.
        height : int
            Number of rows in all.
        level : float, optional
            Value of the level's plane, for a network that has one.

        Yields
        ------
        ndarray of float32, shape (N, C, h, W)
            Restored rows in order, not clipped, as soon as they are known.

        Raises
        ------
        OutOfMemory
            If the memory of the device does not suffice.
        NotFinite
            If the result is not finite.
        UsageError
            If the network wants a level and there is none.
        """
        if self.level_map and level is None:
            raise UsageError("This network has to be told the level.")
        x = np.concatenate(list(strips), axis=2)
        assert x.shape[2] == height
        if self.level_map:
            plane = np.full_like(x[:, :1], level)
            x = np.concatenate([x, plane], axis=1)
        y = self._attempt(x)
        if y is None:
            raise OutOfMemory(
                f"Rows of {x.shape[3]} px do not fit into the memory of {self.device}."
            )
        if not np.isfinite(y).all():
            raise NotFinite(
                "The network's output is not finite; check the range of the image's "
                "values, or give one."
            )
        rows = self.strip_rows(x.shape[3], x.shape[0])
        for top in range(0, height, rows):
            yield y[:, :, top : top + rows]

    def strip_rows(self, width: int, images: int = 1) -> int:
        """Return the height of a strip that suits the cache, a multiple of `multiple`.

        Parameters
        ----------
        width : int
            Columns of an image.
        images : int
            Images that are restored at once.
        """
        return self.multiple * 16

    def widest(self, images: int = 1) -> int:
        """Return how many columns fit into memory, at least 1."""
        budget = available_memory(self.device) * _MEMORY_SHARE
        one = self.memory(1024, self.strip_rows(1024, images)) / 1024 * images
        return max(1, int(budget / one))

    def memory(self, width: int, rows: int) -> int:
        """Return the bytes that strips of one image need, beside the weights."""
        return memory_per_pixel(self._model.architecture) * width * (rows + self.radius)

    def _attempt(self, x: NDArray[np.float32]) -> NDArray[np.float32] | None:
        try:
            batch = torch.from_numpy(x).to(self.device, self._dtype)
            restored: NDArray[np.float32] = self._network(batch).float().cpu().numpy()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return restored
