"""Clean images as the planes that training learns from and the protocol scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError, UsageError
from memnet_core.io import READABLE_SUFFIXES, read_image
from memnet_core.pixels import (
    full_range_luminance,
    rgb2gray,
    rgb2ycbcr_luminance,
    without_alpha,
)
from memnet_core.values import value_range

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io import Image
    from memnet_core.values import RangeChoice

__all__ = ["image_files", "image_planes", "read_planes"]


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


def read_planes(
    folder: Path,
    task: str,
    choice: RangeChoice = "dtype",
    *,
    full_range: bool = False,
) -> list[tuple[str, NDArray[Any]]]:
    """Read every plane of every image in a folder.

    Parameters
    ----------
    folder : Path
        Clean images of any kind; stacks count plane by plane.
    task, choice, full_range
        As for `image_planes`.

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
    for path in image_files(folder):
        image = read_image(path)
        try:
            found = image_planes(image, task, choice, full_range=full_range)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
        names = [f"{path.name}[{n}]" for n in range(len(found))]
        planes += zip(names if len(found) > 1 else [path.name], found, strict=True)
    return planes


def image_planes(
    image: Image,
    task: str,
    choice: RangeChoice = "dtype",
    *,
    full_range: bool = False,
) -> list[NDArray[Any]]:
    """Return an image as gray planes, as the protocol of a task wants them.

    Parameters
    ----------
    image : Image
        Pixels of any bool, integer or float dtype; alpha is left out.
    task : str
        Colours become MATLAB's ``rgb2gray`` for denoising, and the luminance of its
        ``rgb2ycbcr`` for the others.
    choice : str or (float, float)
        Which values of images of other than 8 bits become 0 and 255; see
        `memnet_core.values.value_range`.
    full_range : bool
        Whether colours of 8 bits become luminance from 0 to 255 whatever the task.

    Returns
    -------
    list of ndarray, shape (H, W)
        uint8 for images of 8 bits, else float32 in [0, 255].

    Raises
    ------
    ImageError
        If values are not finite or leave their range.
    """
    stack = image.stack
    if stack.size == 0 or stack.dtype.kind not in "buif":
        raise ImageError(
            f"Pixels of type {stack.dtype} and shape {stack.shape} are no image."
        )
    colours = without_alpha(stack)
    if stack.dtype == np.uint8 and choice == "dtype":
        is_full = full_range or task == "denoise"
        gray = rgb2gray if is_full else rgb2ycbcr_luminance
        return [gray(p) if p.shape[-1] == 3 else p[..., 0] for p in colours]
    values = value_range(colours, choice)
    return [
        255 * (full_range_luminance(p) if p.shape[-1] == 3 else p[..., 0])
        for p in (values.normalized(p.astype(np.float64)) for p in colours)
    ]
