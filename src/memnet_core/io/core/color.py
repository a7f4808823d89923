"""Colors of files to RGB: CMYK, Lab, premultiplied alpha."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rgb_of_cmyk", "rgb_of_lab", "spread", "unpremultiply"]


def unpremultiply(pixels: NDArray[Any]) -> NDArray[Any]:
    """Divide colors by alpha.

    Parameters
    ----------
    pixels : ndarray, shape (..., 2) or (..., 4)
        Premultiplied colors and alpha, the last, of an unsigned or a float type.

    Returns
    -------
    ndarray
        Of the same type; black where alpha is zero.
    """
    is_whole = pixels.dtype.kind in "ui"
    opaque = float(np.iinfo(pixels.dtype).max) if is_whole else 1.0
    alpha = pixels[..., -1:].astype(np.float64)
    visible = alpha > 0
    colors = pixels[..., :-1] * (opaque / np.where(visible, alpha, 1.0)) * visible
    if is_whole:
        colors = np.minimum(np.rint(colors), opaque)
    result = pixels.copy()
    result[..., :-1] = colors
    return result


def rgb_of_cmyk(image: PillowImage.Image, profile: bytes | None) -> PillowImage.Image:
    """Convert by the profile of the file where it has a usable one.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode CMYK.
    profile : bytes, optional
        An ICC profile; one that is damaged counts as none.
    """
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


_WHITE_D50 = (0.9642, 1.0, 0.8251)
_SRGB_OF_D50 = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)
"""Linear sRGB of XYZ under D50, which Lab in TIFF refers to, adapted by Bradford."""


def rgb_of_lab(stored: NDArray[Any], samples: int, *, is_icc: bool) -> NDArray[Any]:
    """Convert pixels as a TIFF stores them.

    Parameters
    ----------
    stored : ndarray, shape (..., 3), or (...) of lightness only
        Of type uint8 or uint16: lightness over the whole range, a and b signed.
    samples : int
        3, or 1 for lightness only.
    is_icc : bool
        Whether a and b are not signed, but have the middle of the range for zero.

    Returns
    -------
    ndarray
        sRGB of the same type and shape.
    """
    dtype = stored.dtype.newbyteorder("=")
    white = int(np.iinfo(dtype).max)
    unit = (white + 1) / 256
    light = stored if samples == 1 else stored[..., 0]
    fy = (light * (100.0 / white) + 16) / 116
    if samples == 1:
        linear = _curve(fy)
    else:
        if is_icc:
            offset = stored[..., 1:] - (white + 1) / 2
        else:
            offset = stored[..., 1:].astype(dtype).view(f"i{dtype.itemsize}")
        a, b = np.moveaxis(offset / unit, -1, 0)
        bent = np.stack([fy + a / 500, fy, fy - b / 200], axis=-1)
        linear = _curve(bent) * _WHITE_D50 @ np.transpose(_SRGB_OF_D50)
    linear = np.clip(linear, 0, 1)
    coded = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    stored = np.rint(np.clip(coded, 0, 1) * white).astype(dtype)
    return stored


def _curve(bent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the white that CIE's cube root stands for."""
    return np.where(bent > 6 / 29, bent**3, 3 * (6 / 29) ** 2 * (bent - 4 / 29))


def spread(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Spread values of `bits` bits to the range of their unsigned type."""
    if pixels.dtype.kind != "u" or bits >= 8 * pixels.dtype.itemsize:
        return pixels
    white = int(np.iinfo(pixels.dtype).max)
    wide = pixels.astype(np.uint64) * np.uint64(white) // np.uint64(2**bits - 1)
    return wide.astype(pixels.dtype.newbyteorder("="))
