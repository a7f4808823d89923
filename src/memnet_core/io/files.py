"""Opening and making image files of any format."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import ImageError
from memnet_core.io.faults import reading, writing
from memnet_core.io.formats import format_of_content, format_of_suffix
from memnet_core.io.image_file import in_memory
from memnet_core.io.sink import FileSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memnet_core.io.image import Image, Probe
    from memnet_core.io.image_file import ImageFile

__all__ = ["create_image", "open_image", "probe", "save_image"]


def open_image(path: Path, axes: str = "") -> ImageFile:
    """Open a file for reading by windows; use the result in a ``with`` statement.

    Parameters
    ----------
    path : Path
        A file of any of `memnet_core.io.FORMATS`, recognised by its content, or the
        folder of an OME-Zarr image.
    axes : str
        Letters out of TZCYXS, one for each axis of the file, instead of what it tells.

    Raises
    ------
    ImageError
        If the file is missing, empty, damaged, or of a kind that is not supported, or
        the axes do not fit.
    """
    with reading(path):
        return format_of_content(path).open(path, axes)


def probe(path: Path) -> Probe:
    """Read the header of a file, or of the folder of an image.

    Raises
    ------
    ImageError
        As `open_image`, as far as the header tells.
    """
    with reading(path):
        return format_of_content(path).probe(path)


@contextmanager
def create_image(path: Path, like: ImageFile, scale: int = 1) -> Iterator[FileSink]:
    """Make a file with other pixels for the same axes and metadata.

    Parameters
    ----------
    path : Path
        Where to write, in the format of the suffix; what is there is replaced when
        all planes are written, and stays if the block raises.
    like : ImageFile
        Where axes, type and metadata come from; see `in_memory`.
    scale : int
        How many of the new pixels stand for one of its own along Y and X.

    Yields
    ------
    FileSink
        Takes every window of every plane, in order.

    Raises
    ------
    ImageError
        If the format cannot hold these pixels, the file cannot be written, or windows
        are missing in the end.
    """
    chosen = format_of_suffix(path)
    if chosen.create is None:
        raise ImageError(
            f"{path} cannot be written at once; {chosen.title} is made by "
            "'memnet batch'.",
            path=path,
        )
    with (
        writing(path) as foreign,
        replaced_when_complete(path) as temporary,
        chosen.create(temporary, like, scale) as writer,
    ):
        sink = FileSink(path, writer, like.magnified_sizes(scale), like.axes)
        sink.dropped = (*like.metadata.dropped, *writer.dropped)
        try:
            yield sink
        except BaseException as error:
            foreign.append(error)
            raise
        sink.check_complete()


def save_image(path: Path, image: Image) -> tuple[str, ...]:
    """Write an image in the format of the suffix, whole or not at all.

    Parameters
    ----------
    path : Path
        Where to write; what is there is replaced.
    image : Image
        What to write.

    Returns
    -------
    tuple of str
        What the format could not hold.

    Raises
    ------
    ImageError
        As `create_image`.
    """
    kept = replace(image.metadata, dropped=())
    file = in_memory(path, replace(image, metadata=kept))
    count, height, width, _ = file.shape
    whole = slice(0, height), slice(0, width)
    with create_image(path, file) as sink:
        for plane in range(count):
            sink.write(plane, *whole, file.read(plane, *whole))
    return sink.dropped
