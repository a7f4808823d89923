"""Names of before, for callers that are rewritten; to be deleted with the last one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memnet_core.io.files import create_image, open_image
from memnet_core.io.files import save_image as write_image
from memnet_core.io.formats import format_of_suffix
from memnet_core.io.formats import is_image_folder as is_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.io.calibration import Calibration
    from memnet_core.io.image import Image, Metadata
    from memnet_core.io.image_file import ImageFile
    from memnet_core.io.sink import FileSink

__all__ = [
    "PlaneCrops",
    "Stack",
    "is_zarr",
    "open_stack",
    "read_image",
    "suffix_format",
    "tiff_like",
    "write_image",
]

_WHOLE = slice(None)


def read_image(path: Path) -> Image:
    """Read all pixels of a file."""
    with open_image(path) as file:
        return file.image()


def suffix_format(path: Path) -> str:
    """Return the name of the format that a suffix stands for."""
    return format_of_suffix(path).name


@dataclass
class _Metadata:
    page: Metadata
    calibration: Calibration = field(init=False)

    def __post_init__(self) -> None:
        self.calibration = self.page.calibration


class Stack:
    """An `ImageFile` that is indexed by planes."""

    def __init__(self, file: ImageFile) -> None:
        self.file = file
        self.path = file.path
        self.format = file.format
        self.metadata = _Metadata(file.metadata)
        self.leading = file.leading
        self.axes = file.axes
        self.sizes = file.sizes
        self.shape = file.shape
        self.dtype: np.dtype[Any] = file.dtype

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Return a plane, (H, W, S)."""
        _, height, width, _ = self.shape
        return self.file.read(index, slice(0, height), slice(0, width))

    def crop(self, index: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a part of a plane."""
        return self.file.read(index, rows, columns)

    def read(
        self, leading: tuple[slice, ...], rows: slice, columns: slice
    ) -> NDArray[Any]:
        """Return a block."""
        return self.file.read_block(leading, rows, columns)


def open_stack(path: Path, axes: str = "") -> Stack:
    """Open a file."""
    return Stack(open_image(path, axes))


class _Planes:
    def __init__(self, sink: FileSink) -> None:
        self._sink = sink
        self.sizes = sink.sizes
        self.dropped = sink.dropped

    def __setitem__(self, index: int, pixels: NDArray[Any]) -> None:
        height, width = pixels.shape[:2]
        self._sink.write(index, slice(0, height), slice(0, width), pixels)


@contextmanager
def tiff_like(path: Path, stack: Stack, scale: int) -> Iterator[_Planes]:
    """Write planes to a file like that of a stack."""
    with create_image(path, stack.file, scale) as sink:
        yield _Planes(sink)


class PlaneCrops:
    """At most 16 crops all over a stack, to judge it by without reading all of it."""

    def __init__(self, stack: Stack, side: int = 2048, most: int = 16) -> None:
        count, height, width, samples = stack.shape
        self._stack = stack
        self.shape = (
            min(count, most),
            min(height, side),
            min(width, side),
            samples,
        )
        self.dtype = stack.dtype

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Return a crop; the middle one is the middle of the middle plane."""
        count, height, width, _ = self._stack.shape
        crops, rows, columns, _ = self.shape
        plane = (
            round(index * (count - 1) / max(crops - 1, 1)) if crops < count else index
        )
        top, left = (
            self._start(index, crops, length - part)
            for length, part in ((height, rows), (width, columns))
        )
        return self._stack.crop(
            plane, slice(top, top + rows), slice(left, left + columns)
        )

    @staticmethod
    def _start(index: int, crops: int, room: int) -> int:
        """Return where a crop begins: they wander along the diagonal."""
        return room * (2 * index + 1) // (2 * crops)
