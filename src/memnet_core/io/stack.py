"""An opened file whose planes are read when their turn comes."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError
from memnet_core.io.calibration import Calibration
from memnet_core.io.damage import reading
from memnet_core.io.image import Metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Literal, Self

    from numpy.typing import NDArray

__all__ = ["PlaneCrops", "Stack", "StackMetadata", "named_axes"]

_LETTERS = frozenset("TZCYXS")


@dataclass(frozen=True, kw_only=True)
class StackMetadata:
    """What belongs to a stack besides its pixels, as its kind of file says it.

    Attributes
    ----------
    calibration : Calibration
        What every kind says, of the axes.
    page : Metadata
        Tags of the first page of a TIFF, or what an ordinary picture carries.
    ome_xml : str
        The description of an OME-TIFF whose axes are those of the stack.
    imagej : str
        The same of an ImageJ hyperstack.
    imagej_tags : mapping of str to Any
        ``LUTs``, ``Ranges``, ``Labels``, ``Info``, ``Overlays`` ... of such a stack.
    shaped : mapping of str to Any
        The JSON description that tifffile gives to arrays.
    attributes : mapping of str to Any
        Attributes of the group of an OME-Zarr image.
    zarr_format : int
        2 or 3 for an OME-Zarr image.
    """

    calibration: Calibration = field(default_factory=Calibration)
    page: Metadata = field(default_factory=Metadata)
    ome_xml: str = ""
    imagej: str = ""
    imagej_tags: Mapping[str, Any] = field(default_factory=dict)
    shaped: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    zarr_format: Literal[2, 3] = 3


class Stack:
    """Planes of a file, read when they are asked for; use it in a ``with`` statement.

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
    metadata : StackMetadata
        What belongs to the pixels.
    finish : callable, optional
        Applied to pixels that were read.
    resources : ExitStack, optional
        What to close in the end.

    Attributes
    ----------
    axes : str
        Axes with Y and X last, or before S.
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
        metadata: StackMetadata,
        finish: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
        resources: ExitStack | None = None,
    ) -> None:
        self.path = path
        self.format = format
        self.metadata = metadata
        self.leading = "".join(axis for axis in axes if axis not in "YXS")
        self.axes = f"{self.leading}YX{'S' if 'S' in axes else ''}"
        self._order = tuple(axes.index(axis) for axis in self.axes)
        self.sizes = tuple(int(array.shape[i]) for i in self._order)
        self._array = array
        self._stored = axes
        self._finish = finish
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
        self._resources.close()

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

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Return the plane of an index in the order of `axes`, (H, W, S)."""
        whole = slice(None)
        return self.crop(index, whole, whole)

    def crop(self, index: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return rows and columns of a plane, (h, w, S)."""
        place = np.unravel_index(index, self.sizes[: len(self.leading)])
        leading = tuple(slice(int(i), int(i) + 1) for i in place)
        pixels: NDArray[Any] = self.read(leading, rows, columns)[(0,) * len(leading)]
        return pixels

    def read(
        self, leading: tuple[slice, ...], rows: slice, columns: slice
    ) -> NDArray[Any]:
        """Read a block.

        Parameters
        ----------
        leading : tuple of slice
            Which planes: a slice for each letter of `axes` before Y.
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
        selection = tuple(wanted.get(axis, slice(None)) for axis in self._stored)
        with reading(self.path):
            pixels = np.asarray(self._array[selection]).transpose(self._order)
            if self._finish:
                pixels = self._finish(pixels)
        pixels = np.ascontiguousarray(pixels, self.dtype)
        return pixels if self.axes.endswith("S") else pixels[..., None]


class PlaneCrops:
    """At most 16 crops all over a stack, to judge it by without reading all of it.

    Parameters
    ----------
    stack : Stack
        What to look at.
    side : int
        Largest height and width of a crop; planes that are no larger are not cropped.
    """

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
            f"{path} has {len(shape)} axes, {found}, but {named} names {len(named)}."
        )
    samples = shape[named.index("S")] if "S" in named else 1
    if samples > 4:
        raise ImageError(
            f"{path} is {found}: {samples} samples are no colour; name another axis S."
        )
    return named
