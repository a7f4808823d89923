"""An opened file: a source of windows, with what belongs to its pixels."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError
from memnet_core.io.core.arrays import ChunkCache
from memnet_core.io.core.errors import wrap_read_errors
from memnet_core.io.core.image import Image, Metadata, Probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from memnet_core.jpeg.coding import JpegCoding

__all__ = ["ImageFile", "in_memory", "named_axes", "probe_of_stack"]

_LETTERS = frozenset("TZCYXS")
_WHOLE = slice(None)


class ImageFile:
    """Planes of a file, read by windows; use it in a ``with`` statement.

    It is a `memnet_core.sources.protocols.PixelSource`.

    Parameters
    ----------
    path : Path
        The file, to name it in errors.
    array : array
        Anything with ``shape``, ``dtype`` and basic slicing, in memory or not.
    axes : str
        One letter for each axis of the array in any order; Y and X are among them, S
        are the samples of a pixel.
    format : str
        Kind of the file, such as ``OME-TIFF``.
    metadata : Metadata
        What belongs to the pixels.
    chunk_shape : (int, int), optional
        Rows and columns that are decoded at once; None for whole planes, (1, 1) for
        pixels in memory.
    postprocess : callable, optional
        Applied to pixels that were read.
    missing_planes : frozenset of int
        Planes that are missing and hold zeros instead.
    resources : ExitStack, optional
        What to close in the end.

    Attributes
    ----------
    path, format, metadata, missing_planes
        As given.
    axes : str
        Axes with Y and X last, or before S.
    leading : str
        The axes before Y: those of planes.
    sizes : tuple of int
        Sizes along `axes`.
    """

    def __init__(
        self,
        path: Path,
        array: Any,
        axes: str,
        *,
        format: str,  # noqa: A002
        metadata: Metadata,
        chunk_shape: tuple[int, int] | None = None,
        postprocess: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
        missing_planes: frozenset[int] = frozenset(),
        resources: ExitStack | None = None,
    ) -> None:
        self.path = path
        self.missing_planes = missing_planes
        self.format = format
        self.metadata = metadata
        self.leading = "".join(axis for axis in axes if axis not in "YXS")
        self.axes = f"{self.leading}YX{'S' if 'S' in axes else ''}"
        self._order = tuple(axes.index(axis) for axis in self.axes)
        self.sizes = tuple(int(array.shape[i]) for i in self._order)
        self._array = array
        self._stored = axes
        self._chunk_shape = chunk_shape or self.shape[1:3]
        edges = (
            [*range(0, size, side), size]
            for size, side in zip(self.shape[1:3], self._chunk_shape, strict=True)
        )
        self._cache = ChunkCache(self._decoded, *edges)
        self._postprocess = postprocess
        self._resources = resources or ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._cache.clear()
        self._resources.close()

    def close_also(self, resources: ExitStack) -> None:
        """Have what the file belongs to closed after it."""
        resources.callback(self._resources.close)
        self._resources = resources

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample, in the byte order of the machine."""
        dtype: np.dtype[Any] = np.dtype(self._array.dtype)
        return dtype.newbyteorder("=")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, S): planes, height, width, samples."""
        count = len(self.leading)
        height, width, samples = (*self.sizes[count:], 1)[:3]
        return math.prod(self.sizes[:count]), height, width, samples

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Rows and columns that are decoded at once."""
        return self._chunk_shape

    @property
    def channels(self) -> int:
        """Number of channels: the size of the axis C, else 1."""
        place = self.leading.find("C")
        return self.sizes[place] if place >= 0 else 1

    @property
    def jpeg_tables(self) -> tuple[tuple[int, ...], ...]:
        """Quantization tables of a JPEG in natural order, luminance first, or ()."""
        return self.metadata.jpeg_tables

    @property
    def jpeg_coding(self) -> JpegCoding | None:
        """How a JPEG codes the pixels, or None."""
        return self.metadata.jpeg_coding

    @property
    def is_in_memory(self) -> bool:
        """Whether all pixels were read, and no file is needed any more."""
        return self._chunk_shape == (1, 1)

    @property
    def is_stack(self) -> bool:
        """Whether there are axes besides those of one picture, or text about them."""
        native = self.metadata.native
        return bool(self.leading) or (native is not None and native.describes_axes)

    def channel(self, plane: int) -> int:
        """Return the number of the channel that a plane belongs to, from 0."""
        place = self.leading.find("C")
        return self._place(plane)[place] if place >= 0 else 0

    def neighbors(self, plane: int) -> list[int]:
        """Return the planes before and after one in time, else in depth."""
        sizes = dict(zip(self.leading, self.sizes, strict=False))
        axis = next((a for a in "TZ" if sizes.get(a, 1) > 1), "")
        if not axis:
            return []
        step = math.prod(self.sizes[self.leading.index(axis) + 1 : len(self.leading)])
        place = self._place(plane)[self.leading.index(axis)]
        before = [plane - step] if place > 0 else []
        return [*before, plane + step] if place < sizes[axis] - 1 else before

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels of shape (h, w, S) in the dtype of the file.

        What a window needs of its plane is decoded once, and kept for the windows
        below it: a page of a TIFF, or a row of tiles or chunks.

        Parameters
        ----------
        plane : int
            0 to N - 1, in the order of `axes`.
        rows, columns : slice
            Start and stop inside the plane, without a step.

        Raises
        ------
        ImageError
            If the file is damaged.
        """
        if self.is_in_memory:
            return self._decoded(plane, rows, columns)
        return self._cache.read(plane, rows, columns)

    def _decoded(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        leading = tuple(slice(i, i + 1) for i in self._place(plane))
        block = self.read_block(leading, rows, columns)
        pixels: NDArray[Any] = block[(0,) * len(leading)]
        return pixels

    def read_block(
        self, leading: tuple[slice, ...], rows: slice, columns: slice
    ) -> NDArray[Any]:
        """Read a part of several planes at once.

        Parameters
        ----------
        leading : tuple of slice
            Which planes: a slice for each letter of `leading`.
        rows, columns : slice
            Which part of them.

        Returns
        -------
        ndarray
            The block along `axes`, and along S in any case.

        Raises
        ------
        ImageError
            If the file is damaged.
        """
        wanted = dict(zip(self.leading, leading, strict=True))
        wanted |= {"Y": rows, "X": columns}
        selection = tuple(wanted.get(axis, _WHOLE) for axis in self._stored)
        with wrap_read_errors(self.path):
            pixels = np.asarray(self._array[selection]).transpose(self._order)
            if self._postprocess:
                pixels = self._postprocess(pixels)
        pixels = np.ascontiguousarray(pixels, self.dtype)
        return pixels if self.axes.endswith("S") else pixels[..., None]

    def image(self) -> Image:
        """Read all pixels into memory.

        Raises
        ------
        ImageError
            If the file is damaged.
        """
        pixels = self.read_block((_WHOLE,) * len(self.leading), _WHOLE, _WHOLE)
        return Image(
            pixels if self.axes.endswith("S") else pixels[..., 0],
            self.axes,
            self.metadata,
            self.format,
        )

    def magnified_sizes(self, scale: int) -> tuple[int, ...]:
        """Return the sizes along `axes` of `scale` times the rows and columns."""
        place = len(self.leading)
        height, width = (size * scale for size in self.sizes[place : place + 2])
        return (*self.sizes[:place], height, width, *self.sizes[place + 2 :])

    def _place(self, plane: int) -> tuple[int, ...]:
        """Return the indices of a plane along the leading axes."""
        sizes = self.sizes[: len(self.leading)]
        return tuple(int(i) for i in np.unravel_index(plane, sizes))


def in_memory(path: Path, image: Image, axes: str = "") -> ImageFile:
    """Return an image in memory as if it were read from a file.

    Parameters
    ----------
    path : Path
        To name it in errors.
    image : Image
        Its pixels are used as they are.
    axes : str
        As for `named_axes`.
    """
    return ImageFile(
        path,
        image.pixels,
        named_axes(path, image.axes, image.pixels.shape, axes),
        format=image.format,
        metadata=image.metadata,
        chunk_shape=(1, 1),
    )


def probe_of_stack(file: ImageFile) -> Probe:
    """Return what is known of a stack that had to be opened to know it."""
    return Probe(
        format=file.format,
        shape=file.sizes,
        dtype=str(file.dtype),
        megapixels=math.prod(file.shape[:3]) / 1e6,
        is_stack=True,
    )


def named_axes(path: Path, axes: str, shape: tuple[int, ...], named: str) -> str:
    """Return the axes that a user named instead of those that a file tells.

    Parameters
    ----------
    path : Path
        The file, to name it in errors.
    axes : str
        What the file tells.
    shape : tuple of int
        Sizes along them.
    named : str
        Letters out of TZCYXS, or nothing to leave the axes as they are.

    Raises
    ------
    ImageError
        If the number of axes differs, or the named ones are no picture's.
    """
    if not named:
        return axes
    if not {"Y", "X"} <= set(named) <= _LETTERS or len(set(named)) < len(named):
        raise ImageError(
            f"{named} are no axes; name each of Y, X and any of T, Z, C, S once."
        )
    found = f"{'×'.join(map(str, shape))} ({axes})"
    if len(named) != len(shape):
        raise ImageError(
            f"{path} has {len(shape)} axes, {found}, but {named} names {len(named)}.",
            path=path,
        )
    samples = shape[named.index("S")] if "S" in named else 1
    if samples > 4:
        raise ImageError(
            f"{path} is {found}: {samples} samples are no color; name another axis S.",
            path=path,
        )
    return named
