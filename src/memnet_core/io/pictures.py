"""Reading PNG, JPEG, WebP and BMP through Pillow, 16-bit PNG through imagecodecs."""

from __future__ import annotations

import contextlib
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from PIL import Image as PillowImage
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from memnet_core.io import png
from memnet_core.io.cmyk import rgb_of_cmyk
from memnet_core.io.encoding import PictureWriter
from memnet_core.io.format import Format
from memnet_core.io.image import Image, Metadata, Probe
from memnet_core.io.image_file import in_memory
from memnet_core.io.inscription import inscription
from memnet_core.io.orientation import (
    EXIF_MARK,
    exif_resolution,
    number_of_pictures,
    oriented,
    stored_orientation,
    upright_exif,
    upright_xmp,
)
from memnet_core.jpeg_intervals import JpegCoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile as PillowFile

    from memnet_core.io.image_file import ImageFile

__all__ = ["BMP", "JPEG", "PNG", "WEBP"]

_SAMPLES = {"1": 1, "I": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 3}
_TITLES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "bmp": "BMP"}
_RAW_EXIF = "Raw profile type exif"

_GAIN_MAP = b' hdrgm:Version="'


class _Jpeg(JpegImageFile):
    """A JPEG whose EXIF is not parsed: Pillow warns where it is damaged."""

    def _read_dpi_from_exif(self) -> None:
        pass


_OPENERS: dict[str, type[PillowFile]] = {
    "bmp": BmpImageFile,
    "jpeg": _Jpeg,
    "png": PngImageFile,
    "webp": WebPImageFile,
}


def _probe(path: Path, *, kind: str) -> Probe:
    """Read the header of a picture."""
    with _opened(path, kind) as image:
        _further_pictures(image)
        size = (image.height, image.width)
        if stored_orientation(_exif(image), _xmp(image)) >= 5:
            size = size[::-1]
        bits, samples = _sample_layout(image)
        return Probe(
            format=image.format or "",
            shape=(*size, samples) if samples > 1 else size,
            dtype={1: "bool", 8: "uint8", 16: "uint16"}[bits],
            megapixels=image.width * image.height / 1e6,
        )


def _open(path: Path, axes: str, *, kind: str) -> ImageFile:
    """Read a picture as a whole."""
    return in_memory(path, _read(path, kind), axes)


def _read(path: Path, kind: str) -> Image:
    with _opened(path, kind) as image:
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
        resolution = _resolution(image, exif)
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
                jpeg_coding=_jpeg_coding(image, orientation),
                dropped=(*dropped, *_what_is_lost(image)),
            ),
            format=image.format or "",
        )


@contextlib.contextmanager
def _create(
    path: Path, like: ImageFile, scale: int, *, kind: str
) -> Iterator[PictureWriter]:
    writer = PictureWriter(path, like, scale, kind)
    yield writer
    writer.finish()


def _opened(path: Path, kind: str) -> PillowFile:
    """Open a file with the reader of its kind.

    `PIL.Image.open` would warn of large pictures, and silencing warnings is not safe
    where several threads read.

    Raises
    ------
    ValueError
        If it is not intact, or too large.
    """
    try:
        image = _OPENERS[kind](path)
    except SyntaxError as error:
        raise ValueError(f"it is no intact {_TITLES[kind]}") from error
    if (limit := PillowImage.MAX_IMAGE_PIXELS) and image.width * image.height > (
        2 * limit
    ):
        image.close()
        raise ValueError(
            f"it claims to have more than {2 * limit / 1e6:.0f} megapixels, which is "
            "accepted of a TIFF only"
        )
    return image


def _further_pictures(image: PillowFile) -> list[str]:
    """Name the pictures of a file that are not read.

    Raises
    ------
    ValueError
        If they are frames of an animation.
    """
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ValueError(f"it is an animation of {frames} frames, not one picture")
    if number_of_pictures(image.info.get("mp", b"")) <= 1:
        return []
    segments = getattr(image, "applist", ())
    has_gain_map = any(_GAIN_MAP in content for _, content in segments)
    return ["gain map" if has_gain_map else "further pictures of the MPO file"]


def _sample_layout(image: PillowFile) -> tuple[int, int]:
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


def _carried(image: PillowFile, dropped: list[str]) -> PillowImage.Image:
    """Convert a mode that is not restored as it is, and name what that costs."""
    if image.mode == "P":
        dropped.append("palette (expanded)")
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "CMYK":
        dropped.append("CMYK (converted to RGB)")
        return rgb_of_cmyk(image, image.info.get("icc_profile"))
    return image


def _exif(image: PillowFile) -> bytes | None:
    exif = image.info.get("exif")
    if exif is None and _RAW_EXIF in image.info:
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(image.info[_RAW_EXIF].split("\n")[3:]))
    return EXIF_MARK + exif.removeprefix(EXIF_MARK) if exif else None


def _xmp(image: PillowFile) -> bytes | None:
    xmp = image.info.get("xmp") or image.info.get(png.XMP_KEYWORD)
    return xmp.encode() if isinstance(xmp, str) else xmp or None


def _resolution(image: PillowFile, exif: bytes | None) -> tuple[float, float] | None:
    x, y = image.info.get("dpi") or exif_resolution(exif) or (0, 0)
    return (float(x), float(y)) if min(x, y) > 0 else None


def _jpeg_tables(image: PillowFile) -> tuple[tuple[int, ...], ...]:
    """Return the tables in the order in which the components use them."""
    tables = getattr(image, "quantization", None) or {}
    used = [component[3] for component in getattr(image, "layer", [])]
    order = dict.fromkeys([*used, *sorted(tables)])
    return tuple(tuple(tables[key]) for key in order if key in tables)


def _jpeg_coding(image: PillowFile, orientation: int) -> JpegCoding | None:
    """Return how a JPEG of luminance, or of luminance and chroma, codes its pixels."""
    tables = getattr(image, "quantization", None) or {}
    layer = getattr(image, "layer", [])
    known = {"L": 1, "RGB": 3}.get(image.mode) == len(layer)
    as_rgb = [part[0] for part in layer] == [*b"RGB"] or (
        image.info.get("adobe_transform") == 0 and len(layer) == 3
    )
    if not known or as_rgb or not all(part[3] in tables for part in layer):
        return None
    return JpegCoding(
        tables=tuple(tuple(tables[part[3]]) for part in layer),
        sampling=tuple((part[1], part[2]) for part in layer),
        orientation=orientation,
    )


def _what_is_lost(image: PillowFile) -> list[str]:
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


def _format(kind: str, *suffixes: str, start: bytes, lossy: bool = False) -> Format:
    return Format(
        name=kind,
        title=_TITLES[kind],
        suffixes=suffixes,
        sniff=lambda path, head: bool(re.match(start, head, re.DOTALL)),
        probe=partial(_probe, kind=kind),
        open=partial(_open, kind=kind),
        create=partial(_create, kind=kind),
        told=partial(inscription, kind=kind),
        lossy=lossy,
    )


PNG = _format("png", ".png", start=rb"\x89PNG\r\n\x1a\n")
JPEG = _format(
    "jpeg", ".jpg", ".jpeg", ".jpe", ".jfif", start=rb"\xff\xd8\xff", lossy=True
)
WEBP = _format("webp", ".webp", start=rb"RIFF....WEBP")
BMP = _format("bmp", ".bmp", ".dib", start=rb"BM")
