"""Opening and making image files of any format."""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import ImageError, SettingRef
from memnet_core.io.core.errors import wrap_read_errors, wrap_write_errors
from memnet_core.io.core.format import FileSink
from memnet_core.io.core.image import Probe
from memnet_core.io.core.image_file import in_memory
from memnet_core.io.core.opened import OpenedFile
from memnet_core.io.core.scenes import Scenes, chosen_image
from memnet_core.io.registry import format_of, format_of_suffix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memnet_core.io.core.format import PlaneWriter
    from memnet_core.io.core.image import Image
    from memnet_core.io.core.image_file import ImageFile

__all__ = [
    "create_image",
    "create_scenes",
    "open_image",
    "open_scenes",
    "probe",
    "save_image",
    "scenes_of",
]


def open_image(
    path: Path | str, axes: str = "", *, scene: int | str | None = None
) -> ImageFile:
    """Open a file for reading by windows; use the result in a ``with`` statement.

    Parameters
    ----------
    path : Path or str
        A file of any of `memnet_core.io.FORMATS`, recognized by its content, or the
        folder of an OME-Zarr image or of a collection of them.
    axes : str
        Letters out of TZCYXS, one for each axis of the file, instead of what it tells.
    scene : int or str, optional
        Which image of a file that holds several: its number from 0, or its name, as
        `open_scenes` lists them.

    Raises
    ------
    ImageError
        If the file is missing, empty, damaged, or of a kind that is not supported,
        there is no such scene, or several and none is named, or the axes do not fit.
    """
    return chosen_image(open_scenes(Path(path)), axes, scene)


def open_scenes(path: Path) -> Scenes:
    """Open a file or folder and find its images; use it in a ``with`` statement.

    Raises
    ------
    ImageError
        As `open_image`.
    """
    with wrap_read_errors(path), ExitStack() as resources:
        file = resources.enter_context(OpenedFile(path))
        scenes = scenes_of(file)
        scenes.close_also(resources.pop_all())
        return scenes


def scenes_of(file: OpenedFile) -> Scenes:
    """Find the images of an open file, which has to stay open as long as they are.

    Raises
    ------
    ImageError
        As `open_image`.
    """
    with wrap_read_errors(file.path):
        known = format_of(file)
        if known.scenes:
            return known.scenes(file)
        return Scenes(file.path, [""], lambda _, axes: known.open(file, axes))


def probe(path: Path, *, scene: int | None = None) -> Probe:
    """Read the header of a file, or of the folder of an image.

    Parameters
    ----------
    path : Path
        The file or folder.
    scene : int, optional
        Which of its images; all of them by default.

    Raises
    ------
    ImageError
        As `open_image`, as far as the header tells.
    """
    if scene is None:
        with wrap_read_errors(path), OpenedFile(path) as file:
            return format_of(file).probe(file)
    with open_image(path, scene=scene) as image:
        return Probe(
            format=image.format,
            shape=image.sizes,
            dtype=str(image.dtype),
            megapixels=math.prod(image.shape[:3]) / 1e6,
            is_stack=image.is_stack,
        )


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
    with create_scenes(path, [like], scale) as (sink,):
        yield sink


@contextmanager
def create_scenes(
    path: Path, likes: Sequence[ImageFile], scale: int = 1
) -> Iterator[list[FileSink]]:
    """Make a file with as many images; otherwise like `create_image`.

    Yields
    ------
    list of FileSink
        Take the planes, one image after the other.
    """
    chosen = format_of_suffix(path)
    if chosen.create is None:
        raise ImageError(
            f"{path} cannot be written at once; {chosen.title} is made by "
            "'memnet batch'.",
            path=path,
        )
    if len(likes) > 1 and chosen.create_scenes is None:
        tiff = SettingRef("format", "tiff")
        raise ImageError(
            f"{path} cannot be written: {chosen.title} holds one image, and there are "
            f"{len(likes)}; choose {tiff} or ome-zarr.",
            settings=[tiff],
            path=path,
        )
    with (
        wrap_write_errors(path) as foreign,
        replaced_when_complete(path) as temporary,
        ExitStack() as opened,
    ):
        writers: Sequence[PlaneWriter]
        if len(likes) > 1 and chosen.create_scenes:
            made = chosen.create_scenes(temporary, likes, scale)
            writers = opened.enter_context(made)
        else:
            only = chosen.create(temporary, likes[0], scale)
            writers = [opened.enter_context(only)]
        sinks = []
        for like, writer in zip(likes, writers, strict=True):
            sink = FileSink(path, writer, like.magnified_sizes(scale), like.axes)
            sink.dropped = (*like.metadata.dropped, *writer.dropped)
            sinks.append(sink)
        try:
            yield sinks
        except BaseException as error:
            foreign.append(error)
            raise
        for sink in sinks:
            sink.check_complete()


def save_image(path: Path | str, image: Image) -> tuple[str, ...]:
    """Write an image in the format of the suffix, whole or not at all.

    Parameters
    ----------
    path : Path or str
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
    path = Path(path)
    kept = replace(image.metadata, dropped=())
    file = in_memory(path, replace(image, metadata=kept))
    count, height, width, _ = file.shape
    whole = slice(0, height), slice(0, width)
    with create_image(path, file) as sink:
        for plane in range(count):
            sink.write(plane, *whole, file.read(plane, *whole))
    return sink.dropped
