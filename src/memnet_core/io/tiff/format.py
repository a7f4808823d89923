"""TIFF of any kind through tifffile, by windows or pages in both directions."""

from __future__ import annotations

import contextlib
import math
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import ImageError
from memnet_core.io.core.arrays import ChangeGuardedArray, unchanged_file
from memnet_core.io.core.errors import wrap_write_errors
from memnet_core.io.core.format import FileSink, Format
from memnet_core.io.core.image import Calibration, Image, Metadata, Probe, chunk_names
from memnet_core.io.core.image_file import ImageFile, in_memory, named_axes
from memnet_core.io.core.orientation import apply_orientation
from memnet_core.io.core.scenes import Scenes, chosen_image
from memnet_core.io.tiff.color import is_expanded, to_display, what_seeing_costs
from memnet_core.io.tiff.description import (
    OME_TYPES,
    build_descriptions,
    is_ome_order,
    text_of,
)
from memnet_core.io.tiff.ome_xml import OmeImage, new_ome_xml
from memnet_core.io.tiff.pages import (
    bytes_of_tag,
    check_complete,
    checked_series,
    needs_bigtiff,
    page_metadata,
    page_options,
    page_orientation,
    samples_last,
)
from memnet_core.io.tiff.scenes import TiffScene, find_scenes
from memnet_core.io.tiff.tags import what_is_lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io.core.opened import OpenedFile
    from memnet_core.io.tiff.description import OutputDescription

__all__ = ["TIFF", "TiffPages", "write_ome_tiff"]

_OF_MICROSCOPES = (
    *(".stk", ".lsm", ".flex", ".gel"),
    *(".btf", ".tf2", ".tf8", ".tiff64", ".zif", ".ptif"),
    *(".svs", ".scn", ".ndpi", ".qptiff", ".bif"),
)
"""Suffixes of TIFFs: of microscopes, of BigTIFF and pyramids, of slide scanners."""

_SOFTWARE = 305
_UNKNOWN_AXES = "QIPRUVW"
_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _probe(opened: OpenedFile) -> Probe:
    """Read the header of a TIFF; shape and type are those of its first scene."""
    with ExitStack() as resources:
        file, scenes, _ = find_scenes(opened, resources)
        found = [_probe_scene(file, scene) for scene in scenes]
        pixels = sum(probe.megapixels for probe in found)
        return replace(found[0], megapixels=pixels, scenes=len(found))


def _probe_scene(file: tifffile.TiffFile, scene: TiffScene) -> Probe:
    series = checked_series(scene.series)
    page = series.keyframe
    order, axes = samples_last(series.axes, page, [])
    shape = [series.shape[i] for i in order]
    planes = shape[: len(axes) - axes.endswith("S")]
    if page_orientation(page) >= 5:
        y, x = axes.index("Y"), axes.index("X")
        shape[y], shape[x] = shape[x], shape[y]
    if is_expanded(page):
        shape = [*planes, 3]
    return Probe(
        format=_format(file),
        shape=tuple(shape),
        dtype="uint8" if is_expanded(page) else str(series.dtype),
        megapixels=math.prod(planes) / 1e6,
        is_stack=len(planes) > 2 or file.is_ome or file.is_imagej,
    )


def _scenes(opened: OpenedFile) -> Scenes:
    """Open a TIFF, in which every image is a scene."""
    with ExitStack() as resources:
        file, scenes, left_out = find_scenes(opened, resources)
        apart = left_out if len(scenes) == 1 else []
        path = opened.path
        return Scenes(
            path,
            [scene.name for scene in scenes],
            lambda number, axes: _opened(path, file, scenes[number], axes, apart),
            title=_format(file),
            left_out=left_out,
            resources=resources.pop_all(),
        )


def _opened(
    path: Path,
    file: tifffile.TiffFile,
    scene: TiffScene,
    named: str,
    left_out: list[str],
) -> ImageFile:
    """Open a scene all of whose pages have one shape; of a pyramid the first level.

    Parameters
    ----------
    path : Path
        The file, to name it in errors.
    file : TiffFile
        It stays open as long as the result is read.
    scene : TiffScene
        The image.
    named : str
        Axes instead of those that the file tells.
    left_out : list of str
        What else is in the file and not carried.
    """
    with ExitStack() as resources:
        series = checked_series(scene.series)
        page = series.keyframe
        check_complete(file, series, may_lack=scene.may_lack)
        dropped = [*scene.lost, *left_out, *what_is_lost(page)]
        if len(series.levels) > 1:
            dropped.append("pyramid levels")
        if is_expanded(page) or page_orientation(page) != 1:
            return in_memory(path, _as_picture(file, series, dropped), named)
        axes = named_axes(path, _told_apart(series.axes), series.shape, named)
        if not named:
            axes = _samples_named(axes, page, dropped)
        dropped += what_seeing_costs(page, series.dtype)
        is_native = axes == _told_apart(series.axes)
        native = text_of(file, scene, is_native=is_native, dropped=dropped)
        return ImageFile(
            path,
            ChangeGuardedArray(
                resources.enter_context(_lazy_array(series)),
                unchanged_file(file.filehandle.fileno()),
            ),
            axes,
            format=_format(file),
            metadata=page_metadata(file, series, dropped, *native),
            chunk_shape=(page.tilelength, page.tilewidth) if page.is_tiled else None,
            postprocess=lambda pixels: to_display(pixels, page),
            missing_planes=frozenset(
                n for n, one in enumerate(series.pages) if one is None
            ),
            resources=resources.pop_all(),
        )


def _as_picture(file: tifffile.TiffFile, series: Any, dropped: list[str]) -> Image:
    """Read pages that are turned or become colors, as a whole."""
    page = series.keyframe
    texts = {"OME": file.is_ome, "ImageJ": file.is_imagej}
    dropped += [f"{name} metadata" for name, held in texts.items() if held]
    order, axes = samples_last(series.axes, page, dropped)
    y, x = axes.index("Y"), axes.index("X")
    pixels = series.asarray().transpose(order)
    pixels = apply_orientation(pixels, page_orientation(page), y, x)
    pixels = to_display(pixels, page)
    dropped += what_seeing_costs(page, series.dtype)
    return Image(
        pixels=np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")),
        axes=axes if pixels.ndim == len(axes) else axes + "S",
        metadata=page_metadata(file, series, dropped),
        format=_format(file),
    )


@contextlib.contextmanager
def _lazy_array(series: Any) -> Iterator[Any]:
    import zarr

    mode = None if series.keyframe.is_tiled else "page"
    with contextlib.closing(series.aszarr(level=0, chunkmode=mode)) as store:
        yield zarr.open_array(store, mode="r")


def _told_apart(axes: str) -> str:
    """Give unknown axes of which there are several, Q, letters of their own."""
    free = iter(sorted(set(_UNKNOWN_AXES) - set(axes)))
    return "".join(
        next(free) if letter in axes[:place] else letter
        for place, letter in enumerate(axes)
    )


def _samples_named(axes: str, page: Any, dropped: list[str]) -> str:
    """Give samples that are no color the name of an axis of planes."""
    order, sorted_axes = samples_last(axes, page, dropped)
    named = "".join(sorted_axes[order.index(i)] for i in range(len(order)))
    return named if len(set(named)) == len(named) else axes.replace("S", "Q")


def _format(file: tifffile.TiffFile) -> str:
    return "OME-TIFF" if file.is_ome else "ImageJ TIFF" if file.is_imagej else "TIFF"


def _told(opened: OpenedFile) -> str:
    """Return the software of the first page; check that no pixels are missing."""
    with ExitStack() as resources:
        file, scenes, _ = find_scenes(opened, resources)
        for scene in scenes:
            check_complete(file, checked_series(scene.series))
        software = bytes_of_tag(file.pages.first, _SOFTWARE) or b""
        return software.decode("utf-8", "replace")


@contextlib.contextmanager
def _create(path: Path, like: ImageFile, scale: int) -> Iterator[TiffPages]:
    """Make a TIFF that describes itself as a file does."""
    with _create_scenes(path, [like], scale) as (pages,):
        yield pages


@contextlib.contextmanager
def _create_scenes(
    path: Path, likes: Sequence[ImageFile], scale: int
) -> Iterator[list[TiffPages]]:
    """Make a TIFF of several images, which are written one after the other."""
    described = build_descriptions(likes, scale)
    size = sum(
        math.prod(like.magnified_sizes(scale)) * like.dtype.itemsize for like in likes
    )
    with tifffile.TiffWriter(path, bigtiff=needs_bigtiff(size)) as file:
        yield [
            _pages_of(file, like, text, scale)
            for like, text in zip(likes, described, strict=True)
        ]


def _pages_of(
    file: tifffile.TiffWriter, like: ImageFile, described: OutputDescription, scale: int
) -> TiffPages:
    metadata = like.metadata.magnified(scale)
    dropped = [*described.lost]
    if metadata.exif:
        dropped.append("EXIF (not written to TIFF)")
    dropped += [f"{name} (TIFF has none)" for name in chunk_names(metadata.png_chunks)]
    options = page_options(metadata, like.shape[3], like.dtype)
    options["extratags"] += described.tags
    if metadata.tags:
        tags, lost = metadata.tags.magnified(scale)
        options["extratags"] += tags
        dropped += lost
    return TiffPages(file, described.text, options, tuple(dropped))


def write_ome_tiff(
    path: Path,
    planes: Iterable[NDArray[Any]],
    *,
    axes: str,
    sizes: Sequence[int],
    dtype: np.dtype[Any],
    calibration: Calibration | None = None,
    name: str = "",
    notes: Mapping[str, str] | None = None,
    provenance: str = "",
) -> None:
    """Write planes one by one to an OME-TIFF, whole or not at all.

    Parameters
    ----------
    path : Path
        What is there is replaced. BigTIFF if needed; losslessly compressed.
    planes : iterable of ndarray, shape (H, W) or (H, W, S)
        In the order of the axes before Y, the last of them varying fastest; each is
        asked for when its turn comes.
    axes : str
        Letters out of T, Z, C in any order, then ``YX`` or ``YXS``.
    sizes : sequence of int
        Sizes along `axes`.
    dtype : dtype
        Type of a sample.
    calibration : Calibration, optional
        Steps and units of axes, and names of channels.
    name : str
        Name of the image.
    notes : mapping of str to str, optional
        Comments for programs, by their namespace.
    provenance : str
        How the pixels were made, in one line of ASCII.

    Raises
    ------
    ImageError
        If the axes or the type are others, planes are too few, too many or of another
        shape, or the file cannot be written.
    """
    dtype = np.dtype(dtype)
    if dtype.name not in OME_TYPES:
        raise ImageError(
            f"{path} cannot be written: OME-TIFF has no pixels of type {dtype}; "
            "convert them to one with 32 bits at most, or to float64."
        )
    if not is_ome_order(axes) or len(axes) != len(sizes):
        raise ImageError(
            f"{path} cannot be written: {axes} and sizes {tuple(sizes)} are not those "
            "of an OME-TIFF; give T, Z, C as far as there are, then YX or YXS."
        )
    samples = sizes[-1] if axes.endswith("S") else 1
    known = calibration or Calibration()
    xml = new_ome_xml(OmeImage(axes, sizes, dtype, known, name=name, notes=notes or {}))
    options = page_options(Metadata(provenance=provenance), samples, dtype)
    size = math.prod(sizes) * dtype.itemsize
    with (
        wrap_write_errors(path) as foreign,
        replaced_when_complete(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=needs_bigtiff(size)) as file,
    ):
        sink = FileSink(path, TiffPages(file, xml, options), sizes, axes)
        try:
            for index, plane in enumerate(planes):
                rows, columns = (slice(0, side) for side in plane.shape[:2])
                pixels = plane if axes.endswith("S") else plane[..., None]
                sink.write(index, rows, columns, pixels.astype(dtype, copy=False))
        except BaseException as error:
            foreign.append(error)
            raise
        sink.check_complete()


class TiffPages:
    """Writes one page after the other."""

    def __init__(
        self,
        file: tifffile.TiffWriter,
        description: str,
        options: dict[str, Any],
        dropped: tuple[str, ...] = (),
    ) -> None:
        self.dropped = dropped
        self._file = file
        self._description: bytes | None = description.encode() or None
        self._options = options

    def put(self, pixels: NDArray[Any]) -> None:
        """Write the next page, (H, W, S)."""
        self._file.write(
            pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
            description=self._description,
            **self._options,
        )
        self._description = None
        self._options["extratags"] = []


TIFF = Format(
    name="tiff",
    title="TIFF",
    suffixes=(".tif", ".tiff"),
    read_suffixes=_OF_MICROSCOPES,
    sniff=lambda path, head: head.startswith(_STARTS),
    probe=_probe,
    open=lambda file, axes: chosen_image(_scenes(file), axes),
    create=_create,
    scenes=_scenes,
    create_scenes=_create_scenes,
    told=_told,
    holds_axes=True,
)
