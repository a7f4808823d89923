"""Clean images as the pictures that training learns from and the protocol scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError, UsageError
from memnet_core.image_ops.color import (
    full_range_luminance,
    rgb2gray,
    rgb2ycbcr_luminance,
    without_alpha,
)
from memnet_core.image_ops.dtype import check_finite
from memnet_core.inference.scaling import scaling_of
from memnet_core.io import READABLE_SUFFIXES, open_scenes, set_members
from memnet_core.sources.sampling import sampled_blocks, sampled_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.inference.settings import RangeChoice
    from memnet_core.sources.protocols import PixelSource

__all__ = ["clean_planes", "image_files", "read_clean_images"]

_BYTE_RANGES = ("auto", "dtype")
"""Ranges under which values of 8 bits are taken as they are."""


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder by name, hidden files and subfolders left out.

    Raises
    ------
    UsageError
        If the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give one with images.")
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in READABLE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not files:
        raise UsageError(
            f"{folder} holds no image ({', '.join(sorted(READABLE_SUFFIXES))}); "
            "give a folder with images."
        )
    return files


def read_clean_images(
    folder: Path,
    *,
    full_range: bool,
    value_range: RangeChoice = "auto",
    colors: bool = False,
) -> list[tuple[str, NDArray[Any]]]:
    """Read every plane of every image in a folder.

    Parameters
    ----------
    folder : Path
        Clean images of any kind; stacks count plane by plane, and files with several
        images as one stack.
    full_range, value_range, colors
        As for `clean_planes`.

    Returns
    -------
    list of (str, ndarray)
        Name of the file, with the number of the plane where there are several, and
        the plane.

    Raises
    ------
    UsageError
        If the folder is missing or holds no image.
    ImageError
        If a file cannot be read, or its values do not serve; the message names it.
    """
    planes: list[tuple[str, NDArray[Any]]] = []
    members: set[Path] = set()
    for path in image_files(folder):
        if path in members:
            continue
        members.update(set_members(path))
        found: list[NDArray[Any]] = []
        with open_scenes(path) as scenes:
            for number in range(len(scenes)):
                with scenes.open(number) as image:
                    try:
                        found += clean_planes(image, full_range, value_range, colors)
                    except ImageError as error:
                        if str(path) in str(error):
                            raise
                        raise ImageError(f"{path}: {error}") from error
        names = [f"{path.name}[{n}]" for n in range(len(found))]
        planes += zip(names if len(found) > 1 else [path.name], found, strict=True)
    return planes


def clean_planes(
    source: PixelSource,
    full_range: bool,
    value_range: RangeChoice = "auto",
    colors: bool = False,
    mappings: Sequence[Callable[[NDArray[np.float64]], NDArray[Any]]] | None = None,
) -> Iterator[NDArray[Any]]:
    """Yield an image as gray or as colored planes.

    Parameters
    ----------
    source : Source
        Pixels of any bool, integer or float dtype; alpha is left out.
    full_range : bool
        Whether colors of 8 bits become MATLAB's ``rgb2gray``, from 0 to 255, or else
        the luminance of its ``rgb2ycbcr``, from 16 to 235.
    value_range : str or (float, float)
        Which values of images of other than 8 bits become 0 and 255; see
        `memnet_core.inference.scaling`.
    colors : bool
        Whether to keep all three colors, also of gray images; `full_range` does not
        matter then.
    mappings : sequence of callable, optional
        For each channel, what maps values of other than 8 bits to about [0, 1]; by
        default that follows from `value_range`.

    Yields
    ------
    ndarray, shape (H, W), or (H, W, 3) for `colors`
        uint8 for images of 8 bits, else float32 in about [0, 255].

    Raises
    ------
    ImageError
        If values are not finite or leave their range.
    """
    if 0 in source.shape or source.dtype.kind not in "buif":
        raise ImageError(
            f"Pixels of type {source.dtype} and shape {source.shape} are no image."
        )
    is_by_plane = mappings is None and value_range == "plane"
    if mappings is None:
        samples = [
            sampled_blocks(source, sampled_planes(source, channel))
            for channel in range(source.channels)
        ]
        mappings = [
            scaling_of(blocks, source.dtype, value_range).forward for blocks in samples
        ]
    rows, columns = (slice(0, side) for side in source.shape[1:3])
    for plane in range(source.shape[0]):
        pixels = without_alpha(np.asarray(source.read(plane, rows, columns)))
        if source.dtype == np.uint8 and value_range in _BYTE_RANGES:
            gray = rgb2gray if full_range else rgb2ycbcr_luminance
            if colors:
                yield _three(pixels)
            else:
                yield gray(pixels) if pixels.shape[-1] == 3 else pixels[..., 0].copy()
            continue
        check_finite(pixels)
        mapping = mappings[source.channel(plane)]
        if is_by_plane:
            mapping = scaling_of([pixels], source.dtype, value_range).forward
        values = mapping(pixels.astype(np.float64))
        if colors:
            yield 255 * _three(values)
        else:
            one = values.shape[-1] == 1
            yield 255 * (values[..., 0] if one else full_range_luminance(values))


def _three(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W, 1 or 3) pixels with three colors."""
    return np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)
