"""TIFF stacks of any kind through tifffile, plane by plane in both directions."""

from __future__ import annotations

import contextlib
import json
import math
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import ImageError
from memnet_core.io.calibration import Calibration
from memnet_core.io.damage import writing
from memnet_core.io.image import Metadata
from memnet_core.io.imagej import (
    IMAGEJ_TAGS,
    calibration_of_imagej,
    imagej_tags,
    updated_imagej,
)
from memnet_core.io.ome_xml import calibration_of_ome, new_ome_xml, updated_ome_xml
from memnet_core.io.stack import Stack, StackMetadata, named_axes
from memnet_core.io.tiff import (
    as_seen,
    check_complete,
    needs_bigtiff,
    only_series,
    page_metadata,
    page_options,
    samples_last,
    what_is_lost,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["TiffPlanes", "open_tiff_stack", "tiff_like", "write_ome_tiff"]

_OME_LEADING = frozenset("TZC")
_OME_TYPES = {"bool", "float32", "float64"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32)
}


def open_tiff_stack(path: Path, named: str = "") -> Stack:
    """Open a TIFF for reading plane by plane.

    Parameters
    ----------
    path : Path
        A TIFF all of whose pages have one shape; of a pyramid the full resolution.
    named : str
        Axes instead of those that the file tells.
    """
    with ExitStack() as resources:
        file = resources.enter_context(tifffile.TiffFile(path))
        series = only_series(file)
        page = series.keyframe
        check_complete(file, series)
        dropped = what_is_lost(page)
        axes = named_axes(path, series.axes, series.shape, named)
        if not named:
            axes = _samples_named(axes, page, dropped)
        if len(series.levels) > 1:
            dropped.append("pyramid levels")
        as_seen(np.zeros((1, 1), series.dtype), page, dropped)
        return Stack(
            path,
            resources.enter_context(_lazy_array(series)),
            axes,
            format=_format(file),
            metadata=_metadata(file, page, dropped, is_native=axes == series.axes),
            finish=lambda pixels: as_seen(pixels, page, []),
            resources=resources.pop_all(),
        )


@contextlib.contextmanager
def _lazy_array(series: Any) -> Iterator[Any]:
    import zarr

    with contextlib.closing(series.aszarr(level=0)) as store:
        yield zarr.open_array(store, mode="r")


def _samples_named(axes: str, page: Any, dropped: list[str]) -> str:
    """Give samples that are no colour the name of an axis of planes."""
    order, sorted_axes = samples_last(axes, page, dropped)
    named = "".join(sorted_axes[order.index(i)] for i in range(len(order)))
    return named if len(set(named)) == len(named) else axes.replace("S", "Q")


def _format(file: tifffile.TiffFile) -> str:
    return "OME-TIFF" if file.is_ome else "ImageJ TIFF" if file.is_imagej else "TIFF"


def _metadata(
    file: tifffile.TiffFile, page: Any, dropped: list[str], *, is_native: bool
) -> StackMetadata:
    """Return metadata, of which a description holds for the file's own axes only."""
    if file.is_ome:
        if not is_native:
            dropped.append("OME metadata besides pixel sizes and names")
        xml = str(file.ome_metadata)
        return StackMetadata(
            calibration=calibration_of_ome(xml),
            page=page_metadata(file, page, dropped),
            ome_xml=xml if is_native else "",
        )
    if file.is_imagej:
        if not is_native:
            dropped.append("ImageJ metadata besides pixel sizes")
        described = file.imagej_metadata or {}
        tags = page_metadata(file, page, dropped)
        return StackMetadata(
            calibration=calibration_of_imagej(described, tags),
            page=tags,
            imagej=page.description if is_native else "",
            imagej_tags={k: v for k, v in described.items() if k in IMAGEJ_TAGS},
        )
    tags = page_metadata(file, page, dropped)
    shaped = (file.shaped_metadata or ()) if is_native else ()
    return StackMetadata(
        calibration=tags.calibration, page=tags, shaped=dict(*shaped[:1])
    )


@contextlib.contextmanager
def tiff_like(path: Path, stack: Stack, scale: int) -> Iterator[TiffPlanes]:
    """Write planes in order to a TIFF that describes itself as a stack does.

    Parameters
    ----------
    path : Path
        What is there is replaced, when all planes are written.
    stack : Stack
        Where the planes come from.
    scale : int
        How many of the new pixels stand for one of its own along Y and X.

    Yields
    ------
    TiffPlanes
        Takes every plane of the stack, enlarged by `scale`.

    Raises
    ------
    ImageError
        If the file cannot be written.
    """
    place = len(stack.leading)
    height, width = (size * scale for size in stack.sizes[place : place + 2])
    sizes = (*stack.sizes[:place], height, width, *stack.sizes[place + 2 :])
    description, tags, dropped = _described(stack, sizes, scale)
    page = stack.metadata.page
    if page.resolution and (page.resolution_unit != "none" or stack.metadata.imagej):
        x, y = page.resolution
        page = replace(page, resolution=(x * scale, y * scale))
    options = page_options(page, stack.shape[-1], stack.dtype)
    options["extratags"] += tags
    if page.exif:
        dropped.append("EXIF (not written to TIFF)")
    with _planes(path, sizes, stack.axes, stack.dtype, description, options) as planes:
        planes.dropped = (*page.dropped, *dropped)
        yield planes


def write_ome_tiff(
    path: Path,
    planes: Iterable[NDArray[Any]],
    *,
    axes: str,
    sizes: Sequence[int],
    dtype: np.dtype[Any],
    calibration: Calibration | None = None,
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

    Raises
    ------
    ImageError
        If the axes or the type are others, planes are too few, too many or of another
        shape, or the file cannot be written.
    """
    dtype = np.dtype(dtype)
    if dtype.name not in _OME_TYPES:
        raise ImageError(
            f"{path} cannot be written: OME-TIFF has no pixels of type {dtype}; "
            "convert them to one with 32 bits at most, or to float64."
        )
    if not _is_ome_order(axes) or len(axes) != len(sizes):
        raise ImageError(
            f"{path} cannot be written: {axes} and sizes {tuple(sizes)} are not those "
            "of an OME-TIFF; give T, Z, C as far as there are, then YX or YXS."
        )
    samples = sizes[-1] if axes.endswith("S") else 1
    xml = new_ome_xml(axes, sizes, dtype, calibration or Calibration())
    options = page_options(Metadata(), samples, dtype)
    with _planes(path, sizes, axes, dtype, xml, options) as target:
        for index, plane in enumerate(planes):
            target[index] = plane if axes.endswith("S") else plane[..., None]


class TiffPlanes:
    """Takes the planes of a TIFF in order.

    Attributes
    ----------
    sizes : tuple of int
        Sizes along the axes of the stack.
    dropped : tuple of str
        What of the source could not be kept.
    """

    def __init__(
        self,
        path: Path,
        file: tifffile.TiffWriter,
        sizes: Sequence[int],
        shape: tuple[int, int, int, int],
        dtype: np.dtype[Any],
        description: str,
        options: dict[str, Any],
    ) -> None:
        self.sizes = tuple(sizes)
        self.dropped: tuple[str, ...] = ()
        self._path = path
        self._file = file
        self._shape = shape
        self._dtype = dtype
        self._description: bytes | None = description.encode() or None
        self._options = options
        self._written = 0

    def __setitem__(self, index: int, pixels: NDArray[Any]) -> None:
        """Write the next plane, (H, W, S)."""
        count, *shape = self._shape
        if index != self._written or index >= count or list(pixels.shape) != shape:
            raise ImageError(
                f"{self._path} cannot be written: plane {index} of shape "
                f"{pixels.shape} came where plane {self._written} of {count} of shape "
                f"{tuple(shape)} is next."
            )
        with writing(self._path):
            self._file.write(
                (pixels[..., 0] if shape[-1] == 1 else pixels).astype(
                    self._dtype, copy=False
                ),
                description=self._description,
                **self._options,
            )
        self._description = None
        self._options["extratags"] = []
        self._written += 1

    def check_complete(self) -> None:
        """Check that no plane is missing.

        Raises
        ------
        ImageError
            If one is.
        """
        if self._written < self._shape[0]:
            raise ImageError(
                f"{self._path} cannot be written: there are {self._written} planes "
                f"instead of {self._shape[0]}."
            )


@contextlib.contextmanager
def _planes(
    path: Path,
    sizes: Sequence[int],
    axes: str,
    dtype: np.dtype[Any],
    description: str,
    options: dict[str, Any],
) -> Iterator[TiffPlanes]:
    place = axes.index("Y")
    height, width, samples = (*sizes[place:], 1)[:3]
    shape = (math.prod(sizes[:place]), height, width, samples)
    big = needs_bigtiff(math.prod(sizes) * dtype.itemsize)
    with (
        writing(path),
        replaced_when_complete(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=big) as file,
    ):
        planes = TiffPlanes(path, file, sizes, shape, dtype, description, options)
        yield planes
        planes.check_complete()


def _described(
    stack: Stack, sizes: Sequence[int], scale: int
) -> tuple[str, list[Any], list[str]]:
    """Return description, tags beside it, and what is lost."""
    metadata, place = stack.metadata, len(stack.leading)
    if metadata.ome_xml:
        height, width = sizes[place : place + 2]
        xml, lost = updated_ome_xml(metadata.ome_xml, height, width, scale)
        return xml, [], ["OME regions of interest"] if lost else []
    if metadata.imagej:
        tags, gone = imagej_tags(metadata.imagej_tags, scale)
        return updated_imagej(metadata.imagej, scale), tags, gone
    if metadata.shaped:
        changed = {"shape": [*sizes], "axes": stack.axes}
        return json.dumps({**metadata.shaped, **changed}), [], []
    is_ome_type = stack.dtype.name in _OME_TYPES
    if stack.leading and is_ome_type and _is_ome_order(stack.axes):
        known = metadata.calibration.magnified(scale)
        lost_text = ["description"] if metadata.page.description else []
        return new_ome_xml(stack.axes, sizes, stack.dtype, known), [], lost_text
    pages = f"axes {stack.leading} (written as one row of pages)"
    return metadata.page.description, [], [pages] if place > 1 else []


def _is_ome_order(axes: str) -> bool:
    leading = axes.removesuffix("S").removesuffix("YX")
    return (
        axes.removeprefix(leading) in ("YX", "YXS")
        and set(leading) <= _OME_LEADING
        and len(set(leading)) == len(leading)
    )
