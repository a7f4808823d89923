"""What a format of image files is to the rest of the house."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from memnet_core.errors import ImageError
from memnet_core.io.core.errors import wrap_write_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io.core.image import Probe
    from memnet_core.io.core.image_file import ImageFile
    from memnet_core.io.core.opened import OpenedFile
    from memnet_core.io.core.scenes import Scenes

__all__ = ["HEAD_BYTES", "FileSink", "Format", "PlaneWriter"]


HEAD_BYTES = 32
"""How much of a file `Format.sniff` gets to see."""


class PlaneWriter(Protocol):
    """Takes the planes of a result in order."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """What of the source the format cannot hold."""

    def put(self, pixels: NDArray[Any]) -> None:
        """Write the next plane, (H, W, S), in the dtype of the source."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of image file: how it is recognized, read and made.

    A new format is a module that makes one of these, and an entry of
    `memnet_core.io.registry.FORMATS`; nothing else in the house knows formats by name.

    Attributes
    ----------
    name : str
        What ``--format`` calls it.
    title : str
        What people call it.
    suffixes : tuple of str
        The first one is given to results.
    read_suffixes : tuple of str
        Further suffixes of files of this kind, which results do not get.
    sniff : callable
        ``sniff(path, head)``: whether the content is of this kind. `head` are the
        first `HEAD_BYTES` bytes of a file, or none of a folder.
    probe : callable
        ``probe(file)``: what the header of an `OpenedFile` says.
    open : callable
        ``open(file, axes)``: an `ImageFile`; `axes` are letters that a user named
        instead of what the file tells, or nothing.
    create : callable, optional
        ``create(path, like, scale)``: a context manager that gives a `PlaneWriter`
        for the planes of `like`, of `scale` times the rows and columns. What cannot be
        held is refused with a ValueError before a plane is asked for. None where a
        result is not written plane by plane.
    scenes : callable, optional
        ``scenes(file)``: the `Scenes` of a file that can hold several images; `open` is
        for files with one of them only.
    create_scenes : callable, optional
        ``create_scenes(path, likes, scale)``: as `create`, but for several images, and
        gives a list of `PlaneWriter`, of which one after the other gets its planes.
    told : callable, optional
        ``told(file)``: text that holds what a result says of how it was made. A file
        that ends too early is refused with a ValueError.
    is_folder : bool
        Whether an image is a folder.
    holds_axes : bool
        Whether files hold planes along named axes, not one picture.
    by_shards : bool
        Whether results are made by shards, by many processes, with
        `memnet_core.io.zarr.image.create_ome_zarr`.
    lossy : bool
        Whether pixels are changed by writing them.
    on_request : bool
        Whether files are restored where they are named, and not out of folders.

    Examples
    --------
    A format of text files, each with the rows of one gray picture:

    >>> from contextlib import contextmanager
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from memnet_core.io import Format, Image, Probe, in_memory
    >>> def open_text(file, axes):
    ...     pixels = np.loadtxt(file.rewound(), np.uint8, skiprows=1, ndmin=2)
    ...     return in_memory(file.path, Image(pixels, "YX", format="Text"), axes)
    >>> def probe_text(file):
    ...     with open_text(file, "") as image:
    ...         size = image.sizes[0] * image.sizes[1] / 1e6
    ...         return Probe("Text", image.sizes, str(image.dtype), size)
    >>> class TextWriter:
    ...     dropped = ()
    ...     def __init__(self, path):
    ...         self.path = path
    ...     def put(self, pixels):
    ...         np.savetxt(self.path, pixels[..., 0], "%d", header="IMG", comments="")
    >>> @contextmanager
    ... def create_text(path, like, scale):
    ...     if like.shape[0] > 1 or like.shape[3] > 1 or like.dtype != np.uint8:
    ...         raise ValueError("text holds one gray picture of 8 bits")
    ...     yield TextWriter(path)
    >>> TEXT = Format(
    ...     name="text",
    ...     title="Text",
    ...     suffixes=(".rows",),
    ...     sniff=lambda path, head: head.startswith(b"IMG"),
    ...     probe=probe_text,
    ...     open=open_text,
    ...     create=create_text,
    ... )
    >>> TEXT.suffix, TEXT.names(Path("A.ROWS"))
    ('.rows', True)
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path, bytes], bool]
    probe: Callable[[OpenedFile], Probe]
    open: Callable[[OpenedFile, str], ImageFile]
    create: (
        Callable[[Path, ImageFile, int], AbstractContextManager[PlaneWriter]] | None
    ) = None
    scenes: Callable[[OpenedFile], Scenes] | None = None
    create_scenes: (
        Callable[
            [Path, Sequence[ImageFile], int],
            AbstractContextManager[Sequence[PlaneWriter]],
        ]
        | None
    ) = None
    read_suffixes: tuple[str, ...] = ()
    told: Callable[[OpenedFile], str] | None = None
    is_folder: bool = False
    holds_axes: bool = False
    by_shards: bool = False
    lossy: bool = False
    on_request: bool = False

    @property
    def is_written(self) -> bool:
        """Whether results can be of this kind."""
        return self.create is not None or self.by_shards

    @property
    def suffix(self) -> str:
        """The suffix that results get."""
        return self.suffixes[0]

    @property
    def endings(self) -> frozenset[str]:
        """What ``Path.suffix`` is of files of this kind, in lower case."""
        known = (*self.suffixes, *self.read_suffixes)
        return frozenset(f".{suffix.rpartition('.')[2]}" for suffix in known)

    def names(self, path: Path) -> bool:
        """Whether a result of this suffix is of this format."""
        return path.suffix.lower() in self.endings - {*self.read_suffixes}


class FileSink:
    """Takes windows of planes that come one after the other.

    One plane is held until it is complete. It is a
    `memnet_core.sources.protocols.Sink`.

    Parameters
    ----------
    path : Path
        The result, to name it in errors.
    writer : PlaneWriter
        Takes the planes.
    sizes : sequence of int
        Sizes along the axes.
    axes : str
        One letter for each axis; Y and X last, or before S.

    Attributes
    ----------
    path : Path
        As given.
    sizes : tuple of int
        Sizes along the axes.
    shape : (int, int, int, int)
        (N, H, W, S): planes, height, width, samples.
    dropped : tuple of str
        What of the source could not be kept.
    """

    def __init__(
        self, path: Path, writer: PlaneWriter, sizes: Sequence[int], axes: str
    ) -> None:
        count = axes.index("Y")
        height, width, samples = (*sizes[count:], 1)[:3]
        self.path = path
        self.sizes = tuple(sizes)
        self.shape = (math.prod(sizes[:count]), height, width, samples)
        self.dropped: tuple[str, ...] = ()
        self._writer = writer
        self._plane: NDArray[Any] | None = None
        self._next = 0
        self._filled = 0

    def write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        """Take a window, (h, w, S), of the plane that is next; each pixel once.

        It may be used until the plane is complete.

        Raises
        ------
        ImageError
            If it is another plane's turn, or the file cannot be written.
        """
        count, height, width, samples = self.shape
        expected = (rows.stop - rows.start, columns.stop - columns.start, samples)
        is_inside = plane < count and rows.stop <= height and columns.stop <= width
        if plane != self._next or pixels.shape != expected or not is_inside:
            raise ImageError(
                f"{self.path} cannot be written: a window of plane {plane} of shape "
                f"{pixels.shape} at row {rows.start}, column {columns.start} came "
                f"where plane {self._next} of planes of shape {self.shape} is next.",
                path=self.path,
            )
        if expected[:2] == (height, width):
            self._put(pixels)
            return
        if self._plane is None:
            self._plane = np.empty((height, width, samples), pixels.dtype)
        self._plane[rows, columns] = pixels
        self._filled += expected[0] * expected[1]
        if self._filled == height * width:
            self._put(self._plane)

    def check_complete(self) -> None:
        """Check that nothing is missing.

        Raises
        ------
        ImageError
            If a window is.
        """
        if self._next != self.shape[0]:
            raise ImageError(
                f"{self.path} cannot be written: there are {self._next} planes "
                f"instead of {self.shape[0]}.",
                path=self.path,
            )

    def _put(self, pixels: NDArray[Any]) -> None:
        with wrap_write_errors(self.path):
            self._writer.put(pixels)
        self._plane = None
        self._next += 1
        self._filled = 0
