"""Which reader and writer serves a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import ImageError
from memnet_core.io import ordinary, tiff
from memnet_core.io.damage import reading, writing
from memnet_core.io.ome_zarr import is_zarr, open_ome_zarr, probe_ome_zarr
from memnet_core.io.stack import Stack, StackMetadata, named_axes
from memnet_core.io.tiff_stack import open_tiff_stack

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.io.image import Image, Probe

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "open_stack",
    "probe",
    "read_image",
    "suffix_format",
    "suffix_of_format",
    "write_image",
]

FORMATS = {
    "png": ".png",
    "tiff": ".tif",
    "jpeg": ".jpg",
    "webp": ".webp",
    "bmp": ".bmp",
    "ome-zarr": ".ome.zarr",
}
"""Formats that can be written, with the suffix they get."""

READABLE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
)
"""Suffixes of files that are taken for images."""

_SYNONYMS = {".jpeg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg", ".tiff": "tiff"}
_SYNONYMS |= {".dib": "bmp", ".zarr": "ome-zarr"} | {
    suffix: name for name, suffix in FORMATS.items()
}

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_image(path: Path) -> Image:
    """Read all pixels of a file and what belongs to them.

    Parameters
    ----------
    path : Path
        PNG, JPEG, WebP, BMP or TIFF, recognised by content.

    Raises
    ------
    ImageError
        If the file is missing, empty, damaged, or of a kind that is not supported.
    """
    with reading(path):
        return tiff.read(path) if is_tiff(path) else ordinary.read(path)


def open_stack(path: Path, axes: str = "") -> Stack:
    """Open a file for reading plane by plane; use the result in a ``with`` statement.

    Parameters
    ----------
    path : Path
        A TIFF of any kind, or the folder of an OME-Zarr image; of other pictures the
        pixels are read at once.
    axes : str
        Letters out of TZCYXS, one for each axis of the file, instead of what it tells.

    Raises
    ------
    ImageError
        As `read_image`, or if the axes do not fit.
    """
    if is_zarr(path):
        return open_ome_zarr(path, axes)
    with reading(path):
        if is_tiff(path) and (axes or tiff.probe(path).is_stack):
            return open_tiff_stack(path, axes)
    image = read_image(path)
    metadata = StackMetadata(
        calibration=image.metadata.calibration, page=image.metadata
    )
    named = named_axes(path, image.axes, image.pixels.shape, axes)
    return Stack(path, image.pixels, named, format=image.format, metadata=metadata)


def probe(path: Path) -> Probe:
    """Read the header of a file, or of the folder of an OME-Zarr image.

    Raises
    ------
    ImageError
        As `read_image`, as far as the header tells.
    """
    if is_zarr(path):
        return probe_ome_zarr(path)
    with reading(path):
        return tiff.probe(path) if is_tiff(path) else ordinary.probe(path)


def write_image(path: Path, image: Image) -> tuple[str, ...]:
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
        If the format cannot hold these pixels, or the file cannot be written.
    """
    kind = suffix_format(path)
    if kind == "ome-zarr":
        raise ImageError(
            f"{path} cannot be written at once; OME-Zarr is made by 'memnet batch'."
        )
    with writing(path), replaced_when_complete(path) as temporary:
        if kind == "tiff":
            return tiff.write(temporary, image)
        return ordinary.write(temporary, image, kind)


def suffix_format(path: Path) -> str:
    """Return the format that the suffix of a path stands for.

    Raises
    ------
    ImageError
        If no format that can be written has this suffix.
    """
    try:
        return _SYNONYMS[path.suffix.lower()]
    except KeyError:
        raise ImageError(
            f"{path} cannot be written: the suffix {path.suffix!r} is none of "
            f"{', '.join(FORMATS.values())}."
        ) from None


def suffix_of_format(name: str, source: Path) -> str:
    """Return the suffix of an output.

    Parameters
    ----------
    name : str
        One of `FORMATS`, ``same`` for the suffix of the source, or ``auto``, which
        differs from ``same`` in that no JPEG is compressed a second time.
    source : Path
        The input.
    """
    if name == "same":
        return source.suffix
    if name == "auto":
        return ".png" if suffix_format(source) == "jpeg" else source.suffix
    return FORMATS[name]


def is_tiff(path: Path) -> bool:
    """Look at the first bytes of a file.

    Raises
    ------
    ImageError
        If the file cannot be opened or is empty.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise ImageError(f"{path} cannot be read: the file is empty.")
    return start in _TIFF_STARTS
