"""AVI, MP4, QuickTime and Matroska through imageio and PyAV, frame by frame."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.io.core.format import Format
from memnet_core.io.core.image import Calibration, Metadata, Probe
from memnet_core.io.core.image_file import ImageFile, named_axes, probe_of_stack
from memnet_core.io.core.limits import check_pixels
from memnet_core.io.raster.reader import jpeg_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.jpeg.coding import JpegCoding

__all__ = ["MOVIE"]

_START = re.compile(
    rb"RIFF....AVI |....ftyp(?:isom|iso[2-9]|mp4|avc1|M4V|MSNV|qt  |3gp)|\x1aE\xdf\xa3",
    re.DOTALL,
)


@dataclass(frozen=True)
class _Described:
    """What a movie is, apart from its pixels.

    Attributes
    ----------
    shape : tuple of int
        (T, H, W) or (T, H, W, 3).
    layout : str
        How frames are asked for, such as ``rgb24``.
    seconds : float
        From one frame to the next, 0 if that is not known.
    is_jpeg : bool
        Whether each frame is a JPEG of its own, as large as the movie.
    tables, coding
        Of these, if all frames have the same.
    dropped : tuple of str
        What is not carried.
    """

    shape: tuple[int, ...]
    layout: str
    seconds: float
    is_jpeg: bool
    tables: tuple[tuple[int, ...], ...]
    coding: JpegCoding | None
    dropped: tuple[str, ...]


class _Frames:
    """The frames of a movie as an array; going back means beginning anew."""

    def __init__(self, path: Path, described: _Described) -> None:
        self.shape = described.shape
        self.dtype = np.dtype(np.uint16 if "16" in described.layout else np.uint8)
        if "48" in described.layout:
            self.dtype = np.dtype(np.uint16)
        self._path = path
        self._described = described
        self._coming: Iterator[NDArray[Any]] = iter(())
        self._number = -1
        self._frame: NDArray[Any] | None = None

    def __getitem__(self, wanted: tuple[slice, ...]) -> NDArray[Any]:
        numbers = range(*wanted[0].indices(self.shape[0]))
        return np.stack([self._at(number)[wanted[1:]] for number in numbers])

    def close(self) -> None:
        """Close the file."""
        self._coming.close()  # type: ignore[attr-defined]

    def _at(self, number: int) -> NDArray[Any]:
        if number < self._number or self._frame is None:
            self._coming, self._number = _decoded(self._path, self._described), -1
        while self._number < number:
            self._frame = next(self._coming, None)
            self._number += 1
            if self._frame is None or self._frame.shape != self.shape[1:]:
                raise ValueError(
                    f"frame {self._number + 1} is missing or of other size"
                )
        assert self._frame is not None
        return self._frame


def _probe(path: Path) -> Probe:
    """Read what a movie says of itself."""
    with _open(path) as file:
        return probe_of_stack(file)


def _open(path: Path, named: str = "") -> ImageFile:
    """Open a movie.

    Parameters
    ----------
    path : Path
        The file.
    named : str
        Axes instead of T, Y, X.
    """
    described = _described(path)
    frames = _Frames(path, described)
    step = described.seconds
    return ImageFile(
        path,
        frames,
        named_axes(path, "TYXS"[: len(frames.shape)], frames.shape, named),
        format="MJPEG movie" if described.is_jpeg else "movie",
        metadata=Metadata(
            jpeg_tables=described.tables,
            jpeg_coding=described.coding,
            dropped=described.dropped,
            stated=Calibration(spacing={"T": step}, units={"T": "second"})
            if step
            else None,
        ),
    )


@contextmanager
def _container(path: Path) -> Iterator[Any]:
    """Open a movie with PyAV.

    Raises
    ------
    ValueError
        If that is not installed, or the file is no intact movie.
    """
    if not find_spec("av"):
        raise ValueError(
            "movies are read with PyAV, which is not installed; "
            "pip install 'napari-memnet[movies]' adds it"
        )
    import av

    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise ValueError("it holds no pictures")
            yield container
    except av.FFmpegError as error:
        raise ValueError("it is no intact movie") from error


def _described(path: Path) -> _Described:
    """Look through a movie without decoding it."""
    with _container(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        check_pixels(context.width * context.height, "each frame of it")
        size = (context.height, context.width)
        is_jpeg = context.name == "mjpeg"
        kinds, count = set(), 0
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                count += 1
                if is_jpeg:
                    kinds.add(_kind_of_jpeg(bytes(packet)))
        promised = _promised_frames(container, stream)
        if not count or count < promised - max(1, promised // 50):
            raise ValueError(f"{count} of about {promised} frames are in the file")
        is_jpeg = is_jpeg and all(kind and kind[0] == (*size, 3) for kind in kinds)
        is_one = is_jpeg and len(kinds) == 1
        (_, tables, coding) = next(iter(kinds)) if is_one else ((), (), None)
        layout = "rgb24" if is_jpeg else _layout(context.format)
        colors = () if layout.startswith("gray") else (3,)
        dropped = ["sound"] if container.streams.audio else []
        if is_jpeg and not is_one:
            dropped.append("JPEG quality (it differs between frames)")
        rate = stream.average_rate
        return _Described(
            shape=(count, *size, *colors),
            layout=layout,
            seconds=float(1 / rate) if rate else 0.0,
            is_jpeg=is_jpeg,
            tables=tables,
            coding=coding,
            dropped=tuple(dropped),
        )


def _promised_frames(container: Any, stream: Any) -> int:
    """Return how many frames there should be, as far as the header tells."""
    if stream.frames or container.streams.audio or not stream.average_rate:
        return int(stream.frames)
    return round(float(stream.average_rate) * (container.duration or 0) / 1e6)


def _kind_of_jpeg(data: bytes) -> Any:
    """Return shape, tables and coding of a frame, or None if it is no JPEG."""
    with io.BytesIO(data) as file:
        try:
            image = jpeg_of(file)
        except ValueError:
            return None
        return image.shape, image.tables, image.coding


def _layout(kind: Any) -> str:
    """Return in which of the layouts that NumPy knows a pixel format is decoded."""
    is_deep = any(component.bits > 8 for component in kind.components)
    if len(kind.components) == 1 and not kind.has_palette:
        return "gray16le" if is_deep else "gray"
    return "rgb48le" if is_deep else "rgb24"


def _decoded(path: Path, described: _Described) -> Iterator[NDArray[Any]]:
    """Yield the frames in turn."""
    if not described.is_jpeg:
        from imageio.v3 import imopen

        file: Any
        with _container(path), imopen(path, "r", plugin="pyav") as file:
            yield from file.iter(format=described.layout)
        return
    with _container(path) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size and not packet.is_discard:
                with io.BytesIO(bytes(packet)) as data:
                    yield jpeg_of(data).pixels()


MOVIE = Format(
    name="movie",
    title="movie",
    suffixes=(".avi", ".mp4", ".mov", ".m4v", ".mkv", ".webm"),
    sniff=lambda path, head: bool(_START.match(head)),
    probe=lambda file: _probe(file.path),
    open=lambda file, axes: _open(file.path, axes),
    holds_axes=True,
    lossy=True,
    on_request=True,
)
