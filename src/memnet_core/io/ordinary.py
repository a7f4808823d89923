"""PNG, JPEG, WebP and BMP through Pillow, with 16-bit colour through imagecodecs."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

from memnet_core.errors import ImageError
from memnet_core.io.image import Image, Metadata, Probe, oriented

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["probe", "read", "write"]

_ORIENTATION = 0x0112
_CARRIED_MODES = {"1", "L", "LA", "RGB", "RGBA", "I;16", "F"}
_JPEG_QUALITY = 95
_XMP_KEYWORD = "XML:com.adobe.xmp"
_EIGHT_BIT = {"jpeg", "webp", "bmp"}


def probe(path: Path) -> Probe:
    """Read the header of a file that Pillow knows."""
    with PillowImage.open(path) as image:
        dtype = "uint16" if _sixteen_bit(image) else str(_dtype(image.mode))
        samples = len(image.getbands())
        shape = (image.height, image.width, *([samples] if samples > 1 else []))
        megapixels = image.width * image.height / 1e6
        return Probe(_format(image), shape, dtype, megapixels)


def read(path: Path) -> Image:
    """Read a file that Pillow knows."""
    with PillowImage.open(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            raise ValueError(f"it is an animation of {frames} frames, not one picture")
        dropped = ["further pictures of the MPO file"] if frames > 1 else []
        metadata = _metadata(image)
        if _sixteen_bit(image) and image.mode != "I;16":
            pixels: NDArray[Any] = imagecodecs.png_decode(path.read_bytes())
        else:
            carried = _carried(image, dropped)
            if carried.mode != image.mode and image.mode == "CMYK":
                metadata.pop("icc")
            pixels = np.asarray(carried)
        orientation = image.getexif().get(_ORIENTATION, 1)
        return Image(
            pixels=np.ascontiguousarray(oriented(pixels, orientation, 0, 1)),
            axes="YXS"[: pixels.ndim],
            metadata=Metadata(**metadata, dropped=tuple(dropped)),
            format=_format(image),
        )


def write(path: Path, image: Image, kind: str) -> tuple[str, ...]:
    """Write an image as PNG, JPEG, WebP or BMP; return what could not be kept."""
    dropped: list[str] = []
    pixels = _one_picture(image, kind)
    if kind == "jpeg" and pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        dropped.append("alpha (JPEG has none)")
        pixels = pixels[..., :-1].squeeze()
    metadata = image.metadata
    options: dict[str, Any] = {}
    if metadata.icc and kind != "bmp":
        options["icc_profile"] = metadata.icc
    if metadata.exif and kind != "bmp":
        options["exif"] = metadata.exif
    if metadata.xmp and kind in ("jpeg", "webp"):
        options["xmp"] = metadata.xmp
    if kind == "bmp":
        carried = {"icc": "ICC profile", "exif": "EXIF", "xmp": "XMP"}
        dropped += [
            f"{v} (BMP has none)" for k, v in carried.items() if getattr(metadata, k)
        ]
    if metadata.description:
        dropped.append("TIFF description")
    dpi = _dots_per_inch(metadata)
    if dpi and kind == "webp":
        dropped.append("resolution (WebP has none)")
    elif dpi:
        options["dpi"] = dpi

    if kind == "png" and pixels.dtype == np.uint16 and pixels.ndim == 3:
        path.write_bytes(_png_16_bit_colour(pixels, metadata, dpi))
        return tuple(dropped)
    if kind == "png" and metadata.xmp:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt(
            _XMP_KEYWORD, metadata.xmp.decode("utf-8", "replace")
        )
    if kind == "jpeg":
        options |= {"quality": _JPEG_QUALITY, "subsampling": "4:4:4"}
    if kind == "webp":
        options["lossless"] = True
        if pixels.ndim == 3 and pixels.shape[2] == 2:
            pixels = pixels[..., [0, 0, 0, 1]]
    PillowImage.fromarray(pixels).save(path, kind.upper(), **options)
    return tuple(dropped)


def _one_picture(image: Image, kind: str) -> NDArray[Any]:
    """Return pixels that the format can hold, of shape (H, W) or (H, W, S)."""
    stack = image.stack
    if len(stack) > 1:
        raise ImageError(
            f"{kind.upper()} holds one picture, not a stack of {len(stack)}; "
            "write it as tiff."
        )
    allowed = {np.dtype(np.uint8), np.dtype(np.bool_)}
    if kind == "png":
        allowed.add(np.dtype(np.uint16))
    if image.pixels.dtype not in allowed:
        raise ImageError(
            f"{kind.upper()} cannot hold pixels of type {image.pixels.dtype}; "
            "write them as tiff."
        )
    pixels: NDArray[Any] = stack[0].squeeze(-1) if stack.shape[-1] == 1 else stack[0]
    if pixels.dtype == np.bool_ and kind in _EIGHT_BIT and kind != "bmp":
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    return np.ascontiguousarray(pixels)


def _carried(image: PillowImage.Image, dropped: list[str]) -> PillowImage.Image:
    """Convert a mode that is not restored as it is, and name what that costs."""
    mode = image.mode
    if mode in _CARRIED_MODES:
        return image
    if mode == "P":
        dropped.append("palette (expanded)")
        transparent = "transparency" in image.info
        expanded = image.convert("RGBA" if transparent else "RGB")
        colours = image.palette.mode if image.palette else "RGB"
        return expanded if transparent or colours != "L" else expanded.convert("L")
    if mode == "CMYK":
        dropped.append("CMYK (converted to RGB)")
        return _rgb_of_cmyk(image)
    if mode in ("La", "RGBa"):
        return image.convert({"La": "LA", "RGBa": "RGBA"}[mode])
    if mode in ("YCbCr", "LAB", "HSV"):
        return image.convert("RGB")
    raise ValueError(f"pixels of the kind {mode!r} are not supported")


def _rgb_of_cmyk(image: PillowImage.Image) -> PillowImage.Image:
    """Convert by the profile of the file where it has a usable one."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except ImageCms.PyCMSError:
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _metadata(image: PillowImage.Image) -> dict[str, Any]:
    info = image.info
    exif = info.get("exif")
    parsed = image.getexif()
    if parsed.get(_ORIENTATION, 1) != 1:
        parsed[_ORIENTATION] = 1
        exif = parsed.tobytes()
    xmp = info.get("xmp") or info.get(_XMP_KEYWORD)
    tables = getattr(image, "quantization", None) or {}
    dpi = info.get("dpi")
    return {
        "icc": info.get("icc_profile") or None,
        "exif": exif,
        "xmp": xmp.encode() if isinstance(xmp, str) else xmp,
        "resolution": (float(dpi[0]), float(dpi[1])) if dpi else None,
        "jpeg_tables": tuple(tuple(tables[key]) for key in sorted(tables)),
    }


def _format(image: PillowImage.Image) -> str:
    return "JPEG" if image.format == "MPO" else image.format or ""


def _sixteen_bit(image: PillowImage.Image) -> bool:
    """Whether samples have 16 bits; in colour, Pillow would cut 8 of them."""
    tiles: list[Any] = getattr(image, "tile", None) or []
    return image.format == "PNG" and bool(tiles) and ";16" in str(tiles[0][3])


def _dtype(mode: str) -> np.dtype[Any]:
    kinds = {"1": "bool", "I;16": "uint16", "I": "int32", "F": "float32"}
    return np.dtype(kinds.get(mode, "uint8"))


def _dots_per_inch(metadata: Metadata) -> tuple[float, float] | None:
    if metadata.resolution is None or metadata.resolution_unit == "none":
        return None
    factor = 2.54 if metadata.resolution_unit == "cm" else 1.0
    return metadata.resolution[0] * factor, metadata.resolution[1] * factor


def _png_16_bit_colour(
    pixels: NDArray[np.uint16], metadata: Metadata, dpi: tuple[float, float] | None
) -> bytes:
    """Encode what Pillow cannot, and put the metadata behind the header."""
    encoded = bytes(imagecodecs.png_encode(pixels))
    chunks = []
    if metadata.icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if dpi:
        per_metre = [round(value / 0.0254) for value in dpi]
        chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif.removeprefix(b"Exif\0\0")))
    if metadata.xmp:
        chunks.append((b"iTXt", _XMP_KEYWORD.encode() + b"\0\0\0\0\0" + metadata.xmp))
    after_header = 8 + 25
    return (
        encoded[:after_header]
        + b"".join(_png_chunk(*chunk) for chunk in chunks)
        + encoded[after_header:]
    )


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
