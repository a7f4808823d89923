"""PNG, JPEG, WebP and BMP through Pillow, with 16-bit PNG through imagecodecs."""

from __future__ import annotations

import warnings
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

__all__ = ["probe", "read", "write"]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_SAMPLES = {"1": 1, "I": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 3}
_RAW_EXIF = "Raw profile type exif"

_NAMES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "bmp": "BMP"}
_LARGEST_SIDE = {"png": 2**31 - 1, "jpeg": 65500, "webp": 16383, "bmp": 2**31 - 1}
_FINEST = {"png": 2**31 * 0.0254, "jpeg": 65535.0, "bmp": 2**31 * 0.0254}
_COARSEST = {"png": 0.0254, "jpeg": 1.0, "bmp": 0.0254}
_JPEG_SEGMENT = 65533
_JPEG_XMP_MARK = 29
_JPEG_QUALITY = 95


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
    dropped: list[str] = []
    pixels = _held_pixels(image, kind, dropped)
    metadata = _held_metadata(image.metadata, kind, dropped)
    dpi = _dots_per_inch(image.metadata, kind, dropped)
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
    PillowImage.fromarray(pixels).save(path, kind.upper(), **options)
    return tuple(dropped)


def _opened(path: Path) -> PillowImage.Image:
    """Open a file, silent about large pictures and damaged EXIF.

    The filter stays: taking it away again is not safe where several threads read.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return PillowImage.open(path, formats=_FORMATS)


def _further_pictures(image: PillowImage.Image) -> list[str]:
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


def _sample_layout(image: PillowImage.Image) -> tuple[int, int]:
    """Return bits of a sample and samples of a pixel; before pixels are loaded."""
    mode = image.mode
    bits = 1 if mode == "1" else 8
    keyed = "transparency" in image.info
    if image.format == "PNG":
        tiles: list[Any] = getattr(image, "tile", None) or []
        raw_mode, _, depth = (
            str(tiles[0][3]).partition(";") if tiles else (mode, "", "")
        )
        if depth.startswith("16"):
            mode, bits = raw_mode, 16
    if mode == "P":
        return 8, 4 if keyed else 3
    if mode not in _SAMPLES:
        raise ValueError(f"pixels of the kind {mode!r} are not supported")
    return max(bits, 8 if keyed else 1), _SAMPLES[mode] + keyed


def _carried(image: PillowImage.Image, dropped: list[str]) -> PillowImage.Image:
    """Convert a mode that is not restored as it is, and name what that costs."""
    if image.mode == "P":
        dropped.append("palette (expanded)")
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "CMYK":
        dropped.append("CMYK (converted to RGB)")
        return rgb_of_cmyk(image, image.info.get("icc_profile"))
    return image


def _exif(image: PillowImage.Image) -> bytes | None:
    exif = image.info.get("exif")
    if exif is None and _RAW_EXIF in image.info:
        exif = bytes.fromhex("".join(image.info[_RAW_EXIF].split("\n")[3:]))
    return EXIF_MARK + exif.removeprefix(EXIF_MARK) if exif else None


def _xmp(image: PillowImage.Image) -> bytes | None:
    xmp = image.info.get("xmp") or image.info.get(png.XMP_KEYWORD)
    return xmp.encode() if isinstance(xmp, str) else xmp or None


def _resolution(image: PillowImage.Image) -> tuple[float, float] | None:
    x, y = (float(value) for value in image.info.get("dpi", (0, 0)))
    return (x, y) if x > 0 and y > 0 else None


def _jpeg_tables(image: PillowImage.Image) -> tuple[tuple[int, ...], ...]:
    """Return the tables in the order in which the components use them."""
    tables = getattr(image, "quantization", None) or {}
    used = [component[3] for component in getattr(image, "layer", [])]
    order = dict.fromkeys([*used, *sorted(tables)])
    return tuple(tuple(tables[key]) for key in order if key in tables)


def _what_is_lost(image: PillowImage.Image) -> list[str]:
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


def _format(image: PillowImage.Image) -> str:
    return "JPEG" if image.format == "MPO" else image.format or ""


def _held_pixels(image: Image, kind: str, dropped: list[str]) -> NDArray[Any]:
    """Return pixels that the format can hold, of shape (H, W) or (H, W, S).

    Raises
    ------
    ValueError
        If it can hold none that come close.
    """
    name = _NAMES[kind]
    stack = image.stack
    if len(stack) > 1:
        raise ValueError(
            f"{name} holds one picture, not a stack of {len(stack)}; write it as TIFF"
        )
    allowed = ["bool", "uint8"] + (["uint16"] if kind == "png" else [])
    if image.pixels.dtype not in allowed:
        raise ValueError(
            f"{name} cannot hold pixels of type {image.pixels.dtype}; "
            "write them as TIFF"
        )
    if max(stack.shape[1:3]) > _LARGEST_SIDE[kind]:
        raise ValueError(
            f"{name} holds {_LARGEST_SIDE[kind]} pixels a side, "
            f"not {max(stack.shape[1:3])}; write it as TIFF"
        )
    pixels: NDArray[Any] = stack[0]
    if pixels.shape[-1] in (2, 4) and kind in ("jpeg", "bmp"):
        dropped.append(f"alpha ({name} has none)")
        pixels = pixels[..., :-1]
    if pixels.shape[-1] in (1, 2) and kind == "webp":
        dropped.append("gray (WebP stores it as RGB)")
        pixels = pixels[..., [0, 0, 0, *range(1, pixels.shape[-1])]]
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype == np.bool_ and (kind in ("jpeg", "webp") or pixels.ndim == 3):
        dropped.append(f"1-bit samples ({name} stores 8 bits)")
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    return np.ascontiguousarray(pixels)


def _held_metadata(metadata: Metadata, kind: str, dropped: list[str]) -> Metadata:
    """Return what the format can hold, and name the rest."""
    room = {"icc": 2**31, "exif": 2**31, "xmp": 2**31}
    if kind == "jpeg":
        room = {
            "icc": 255 * (_JPEG_SEGMENT - 14),
            "exif": _JPEG_SEGMENT,
            "xmp": _JPEG_SEGMENT - _JPEG_XMP_MARK,
        }
    names = {"icc": "ICC profile", "exif": "EXIF", "xmp": "XMP"}
    held = {}
    for field, name in names.items():
        value = getattr(metadata, field)
        if value and kind == "bmp":
            dropped.append(f"{name} (BMP has none)")
        elif value and len(value) > room[field]:
            dropped.append(f"{name} (too long for {_NAMES[kind]})")
        else:
            held[field] = value
    if metadata.description:
        dropped.append(f"TIFF description ({_NAMES[kind]} has none)")
    return Metadata(**held)


def _dots_per_inch(
    metadata: Metadata, kind: str, dropped: list[str]
) -> tuple[float, float] | None:
    """Return the resolution in the unit of all ordinary formats, if they hold it."""
    if metadata.resolution is None:
        return None
    factor = 2.54 if metadata.resolution_unit == "cm" else 1.0
    x, y = (value * factor for value in metadata.resolution)
    if kind == "webp":
        dropped.append("resolution (WebP has none)")
    elif metadata.resolution_unit == "none":
        dropped.append(f"resolution without a unit (not written to {_NAMES[kind]})")
    elif not _COARSEST[kind] <= min(x, y) <= max(x, y) <= _FINEST[kind]:
        dropped.append(f"resolution (outside the range of {_NAMES[kind]})")
    else:
        return x, y
    return None
