"""PNG, JPEG, WebP and BMP through Pillow, with 16-bit PNG through imagecodecs."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from PIL import Image as PillowImage

from memnet_core.io import png
from memnet_core.io.cmyk import rgb_of_cmyk
from memnet_core.io.image import Image, Metadata, Probe
from memnet_core.io.orientation import (
    EXIF_MARK,
    oriented,
    stored_orientation,
    upright_exif,
    upright_xmp,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

__all__ = ["probe", "read", "write"]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_SAMPLES = {"1": 1, "I": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 3}
_RAW_EXIF = "Raw profile type exif"

_JPEG_QUALITY = 95
_JPEG_SEGMENT = 65533


@dataclass(frozen=True, kw_only=True)
class _Limits:
    """What a format can hold; lengths in bytes, resolutions in dots per inch."""

    name: str
    dtypes: tuple[str, ...] = ("bool", "uint8")
    bool_planes: bool = True
    gray: bool = True
    alpha: bool = True
    largest_side: int = 2**31 - 1
    resolutions: tuple[float, float] | None = (0.0254, 2**31 * 0.0254)
    icc: int = 2**31
    exif: int = 2**31
    xmp: int = 2**31


_LIMITS = {
    "png": _Limits(name="PNG", dtypes=("bool", "uint8", "uint16")),
    "jpeg": _Limits(
        name="JPEG",
        bool_planes=False,
        alpha=False,
        largest_side=65500,
        resolutions=(1, 65535),
        icc=255 * (_JPEG_SEGMENT - 14),
        exif=_JPEG_SEGMENT,
        xmp=_JPEG_SEGMENT - 29,
    ),
    "webp": _Limits(
        name="WebP", bool_planes=False, gray=False, largest_side=16383, resolutions=None
    ),
    "bmp": _Limits(name="BMP", alpha=False, icc=0, exif=0, xmp=0),
}


def probe(path: Path) -> Probe:
    """Read the header of a file that Pillow knows."""
    with _opened(path) as image:
        _further_pictures(image)
        size = (image.height, image.width)
        if stored_orientation(_exif(image), _xmp(image)) >= 5:
            size = size[::-1]
        bits, samples = _sample_layout(image)
        return Probe(
            format=_format(image),
            shape=(*size, samples) if samples > 1 else size,
            dtype={1: "bool", 8: "uint8", 16: "uint16"}[bits],
            megapixels=image.width * image.height / 1e6,
        )


def read(path: Path) -> Image:
    """Read a file that Pillow knows."""
    with _opened(path) as image:
        dropped = _further_pictures(image)
        bits, _ = _sample_layout(image)
        keyed = image.mode != "P" and "transparency" in image.info
        image.load()
        if bits == 16 or keyed:
            # Pillow would cut 16-bit colour to 8 bits, and ignore a transparent colour.
            pixels: NDArray[Any] = imagecodecs.png_decode(path.read_bytes())
        else:
            pixels = np.asarray(_carried(image, dropped))
        exif, xmp = _exif(image), _xmp(image)
        orientation = stored_orientation(exif, xmp)
        resolution = _resolution(image)
        if orientation != 1:
            exif = upright_exif(exif) if exif else None
            xmp = upright_xmp(xmp) if xmp else None
        if resolution and orientation >= 5:
            resolution = resolution[::-1]
        icc = None if image.mode == "CMYK" else image.info.get("icc_profile")
        return Image(
            pixels=np.ascontiguousarray(oriented(pixels, orientation, 0, 1)),
            axes="YXS"[: pixels.ndim],
            metadata=Metadata(
                icc=icc or None,
                exif=exif,
                xmp=xmp,
                resolution=resolution,
                jpeg_tables=_jpeg_tables(image),
                dropped=(*dropped, *_what_is_lost(image)),
            ),
            format=_format(image),
        )


def write(path: Path, image: Image, kind: str) -> tuple[str, ...]:
    """Write an image as PNG, JPEG, WebP or BMP; return what could not be kept.

    Raises
    ------
    ValueError
        If the format cannot hold these pixels.
    """
    limits = _LIMITS[kind]
    dropped: list[str] = []
    pixels = _held_pixels(image, limits, dropped)
    metadata = _held_metadata(image.metadata, limits, dropped)
    dpi = _dots_per_inch(image.metadata, limits, dropped)
    if kind == "png":
        path.write_bytes(png.encode(pixels, metadata, dpi))
        return tuple(dropped)
    options: dict[str, Any] = {
        "icc_profile": metadata.icc,
        "exif": metadata.exif or b"",
        "xmp": metadata.xmp or b"",
        "dpi": dpi or (0, 0),
    }
    if kind == "jpeg":
        options |= {"quality": _JPEG_QUALITY, "subsampling": "4:4:4"}
    if kind == "webp":
        options |= {"lossless": True, "exact": True}
    # Pillow does not notice when a full disk takes only a part of what it writes.
    encoded = io.BytesIO()
    PillowImage.fromarray(pixels).save(encoded, kind.upper(), **options)
    path.write_bytes(encoded.getbuffer())
    return tuple(dropped)


def _opened(path: Path) -> ImageFile:
    """Open a file, silent about large pictures and damaged EXIF.

    The filter stays: taking it away again is not safe where several threads read.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return PillowImage.open(path, formats=_FORMATS)


def _further_pictures(image: ImageFile) -> list[str]:
    """Name the pictures of a file that are not read.

    Raises
    ------
    ValueError
        If they are frames of an animation.
    """
    frames = getattr(image, "n_frames", 1)
    if frames == 1:
        return []
    if image.format != "MPO":
        raise ValueError(f"it is an animation of {frames} frames, not one picture")
    return ["further pictures of the MPO file"]


def _sample_layout(image: ImageFile) -> tuple[int, int]:
    """Return bits of a sample and samples of a pixel; before pixels are loaded."""
    mode = image.mode
    bits = 1 if mode == "1" else 8
    keyed = "transparency" in image.info
    if image.format == "PNG":
        raw_mode, _, depth = str(image.tile[0][3]).partition(";")
        if depth.startswith("16"):
            mode, bits = raw_mode, 16
    if mode == "P":
        return 8, 4 if keyed else 3
    if mode not in _SAMPLES:
        raise ValueError(f"pixels of the kind {mode!r} are not supported")
    return max(bits, 8 if keyed else 1), _SAMPLES[mode] + keyed


def _carried(image: ImageFile, dropped: list[str]) -> PillowImage.Image:
    """Convert a mode that is not restored as it is, and name what that costs."""
    if image.mode == "P":
        dropped.append("palette (expanded)")
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "CMYK":
        dropped.append("CMYK (converted to RGB)")
        return rgb_of_cmyk(image, image.info.get("icc_profile"))
    return image


def _exif(image: ImageFile) -> bytes | None:
    exif = image.info.get("exif")
    if exif is None and _RAW_EXIF in image.info:
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(image.info[_RAW_EXIF].split("\n")[3:]))
    return EXIF_MARK + exif.removeprefix(EXIF_MARK) if exif else None


def _xmp(image: ImageFile) -> bytes | None:
    xmp = image.info.get("xmp") or image.info.get(png.XMP_KEYWORD)
    return xmp.encode() if isinstance(xmp, str) else xmp or None


def _resolution(image: ImageFile) -> tuple[float, float] | None:
    x, y = (float(value) for value in image.info.get("dpi", (0, 0)))
    # Pillow invents 72 dpi for a JPEG with EXIF where neither JFIF nor EXIF tells.
    invented = _format(image) == "JPEG" and not image.info.get("jfif_unit")
    if (invented and x == y == 72) or not min(x, y) > 0:
        return None
    return x, y


def _jpeg_tables(image: ImageFile) -> tuple[tuple[int, ...], ...]:
    """Return the tables in the order in which the components use them."""
    tables = getattr(image, "quantization", None) or {}
    used = [component[3] for component in getattr(image, "layer", [])]
    order = dict.fromkeys([*used, *sorted(tables)])
    return tuple(tuple(tables[key]) for key in order if key in tables)


def _what_is_lost(image: ImageFile) -> list[str]:
    info = image.info
    lost = []
    if "comment" in info:
        lost.append("comment")
    if "photoshop" in info:
        lost.append("Photoshop and IPTC data")
    if "gamma" in info and not {"srgb", "icc_profile"} & info.keys():
        lost.append("gamma")
    texts = getattr(image, "text", {}).keys() - {png.XMP_KEYWORD, _RAW_EXIF}
    if texts:
        lost.append(f"PNG text ({', '.join(sorted(texts))})")
    return lost


def _format(image: ImageFile) -> str:
    return "JPEG" if image.format == "MPO" else image.format or ""


def _held_pixels(image: Image, limits: _Limits, dropped: list[str]) -> NDArray[Any]:
    """Return pixels that the format can hold, of shape (H, W) or (H, W, S).

    Raises
    ------
    ValueError
        If it can hold none that come close.
    """
    stack = image.stack
    if len(stack) > 1:
        raise ValueError(
            f"{limits.name} holds one picture, not a stack of {len(stack)}; "
            "write it as TIFF"
        )
    if image.pixels.dtype not in limits.dtypes:
        raise ValueError(
            f"{limits.name} cannot hold pixels of type {image.pixels.dtype}; "
            "write them as TIFF"
        )
    pixels: NDArray[Any] = stack[0]
    height, width, samples = pixels.shape
    if max(height, width) > limits.largest_side:
        raise ValueError(
            f"{limits.name} holds {limits.largest_side} pixels a side, "
            f"not {max(height, width)}; write it as TIFF"
        )
    if samples in (2, 4) and not limits.alpha:
        dropped.append(f"alpha ({limits.name} has none)")
        pixels = pixels[..., :-1]
    if samples in (1, 2) and not limits.gray:
        dropped.append(f"gray ({limits.name} stores it as RGB)")
        pixels = pixels[..., [0, 0, 0, 1][: samples + 2]]
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype == np.bool_ and (pixels.ndim == 3 or not limits.bool_planes):
        dropped.append(f"1-bit samples ({limits.name} stores 8 bits)")
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    return np.ascontiguousarray(pixels)


def _held_metadata(metadata: Metadata, limits: _Limits, dropped: list[str]) -> Metadata:
    """Return what the format can hold, and name the rest."""
    held = {}
    for key, name in {"icc": "ICC profile", "exif": "EXIF", "xmp": "XMP"}.items():
        value, room = getattr(metadata, key), getattr(limits, key)
        if value and len(value) > room:
            reason = (
                f"too long for {limits.name}" if room else f"{limits.name} has none"
            )
            dropped.append(f"{name} ({reason})")
        else:
            held[key] = value
    if metadata.description:
        dropped.append(f"TIFF description ({limits.name} has none)")
    return Metadata(**held)


def _dots_per_inch(
    metadata: Metadata, limits: _Limits, dropped: list[str]
) -> tuple[float, float] | None:
    """Return the resolution in the unit of all ordinary formats, if they hold it."""
    if metadata.resolution is None:
        return None
    factor = 2.54 if metadata.resolution_unit == "cm" else 1.0
    x, y = (value * factor for value in metadata.resolution)
    if limits.resolutions is None:
        reason = f"{limits.name} has none"
    elif metadata.resolution_unit == "none":
        reason = f"without a unit; {limits.name} needs one"
    elif not limits.resolutions[0] <= min(x, y) <= max(x, y) <= limits.resolutions[1]:
        reason = f"out of range for {limits.name}"
    else:
        return x, y
    dropped.append(f"resolution ({reason})")
    return None
