"""Reading PNG, JPEG, WebP, BMP and GIF: Pillow, and imagecodecs for 16-bit PNG."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from memnet_core.io.core.color import rgb_of_cmyk
from memnet_core.io.core.format import Format
from memnet_core.io.core.image import Animation, Image, Metadata, Probe
from memnet_core.io.core.image_file import in_memory, probe_of_stack
from memnet_core.io.core.limits import check_pixels
from memnet_core.io.core.orientation import (
    EXIF_MARK,
    apply_orientation,
    exif_resolution,
    reset_orientation,
    stored_orientation,
)
from memnet_core.io.raster.animation import number_of_frames, read_animation, with_times
from memnet_core.io.raster.codecs import (
    XMP_KEYWORD,
    alpha_of_bmp16,
    carried_chunks,
    check_pixel_checksums,
    decoded,
    frame_of,
    has_alpha16,
    probe_rare,
    read_rare,
    without_text,
)
from memnet_core.io.raster.metadata import (
    read_comments,
    secondary_images,
    xmp_without_them,
)
from memnet_core.io.raster.writer import ANIMATED, AnimationWriter, PictureWriter
from memnet_core.jpeg.coding import JpegCoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image as PillowImage
    from PIL.ImageFile import ImageFile as PillowFile

    from memnet_core.io.core.image_file import ImageFile
    from memnet_core.io.core.opened import OpenedFile

__all__ = ["BMP", "GIF", "JPEG", "PNG", "WEBP", "JpegFrame", "jpeg_of"]

# Of what matters we raise; the rest would stand among the lines of the command.
warnings.filterwarnings("ignore", module=r"PIL\.")

_SAMPLES = {"1": 1, "I": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 3}
_TITLES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "bmp": "BMP", "gif": "GIF"}
_END_OF_JPEG = b"\xff\xd9"
_RAW_EXIF = "Raw profile type exif"


class _Jpeg(JpegImageFile):
    """A JPEG whose EXIF is not parsed: Pillow warns where it is damaged."""

    def _read_dpi_from_exif(self) -> None:
        pass


_OPENERS: dict[str, type[PillowFile]] = {
    "bmp": BmpImageFile,
    "gif": GifImageFile,
    "jpeg": _Jpeg,
    "png": PngImageFile,
    "webp": WebPImageFile,
}


def _probe(opened: OpenedFile, *, kind: str) -> Probe:
    """Read the header of a picture."""
    path = opened.path
    frame = frame_of(opened.rewound()) if kind == "jpeg" else None
    if frame and frame.is_rare:
        return probe_rare(frame)
    with _opened(opened, kind) as image:
        if number_of_frames(image) > 1:
            return _probe_animation(opened, kind)
        size = (image.height, image.width)
        if stored_orientation(_exif(image), _xmp(image)) >= 5:
            size = size[::-1]
        bits, samples = _sample_layout(image)
        samples += kind == "bmp" and has_alpha16(path)
        return Probe(
            format=image.format or "",
            shape=(*size, samples) if samples > 1 else size,
            dtype={1: "bool", 8: "uint8", 16: "uint16"}[bits],
            megapixels=image.width * image.height / 1e6,
        )


def _probe_animation(opened: OpenedFile, kind: str) -> Probe:
    with _open(opened, "", kind=kind) as file:  # its frames tell whether it is gray
        return probe_of_stack(file)


def _open(opened: OpenedFile, axes: str, *, kind: str) -> ImageFile:
    """Read a picture as a whole."""
    path = opened.path
    frame = frame_of(opened.rewound()) if kind == "jpeg" else None
    if frame and frame.is_rare:
        return in_memory(path, read_rare(path, frame), axes)
    if kind == "png":
        check_pixel_checksums(opened.rewound())
    image = _read(opened, kind)
    return in_memory(path, image, axes)


def _read(opened: OpenedFile, kind: str) -> Image:
    try:
        return _read_from(opened, kind, _source(opened, kind))
    except OSError:
        whole = _with_end(opened.rewound().read()) if kind == "jpeg" else None
        if whole is None:
            raise
    read = _read_from(opened, kind, whole)
    said = (*read.metadata.dropped, "no end marker (all pixels are there)")
    return replace(read, metadata=replace(read.metadata, dropped=said))


def _with_end(data: bytes) -> BinaryIO | None:
    """Complete a JPEG that lacks nothing but its end marker.

    What follows the data of the last pixels does not matter; where pixels are missing,
    they become something else with other bits.
    """
    data = data.removesuffix(_END_OF_JPEG[:1])
    endings = [data + bits * 64 + _END_OF_JPEG for bits in (b"\x55", b"\xaa")]
    try:
        first, second = (np.asarray(_Jpeg(io.BytesIO(each))) for each in endings)
    except (OSError, SyntaxError):
        return None
    is_whole = np.array_equal(first, second)
    return io.BytesIO(data + _END_OF_JPEG) if is_whole else None


def _read_from(opened: OpenedFile, kind: str, source: BinaryIO) -> Image:
    path = opened.path
    with _opened_from(source, kind) as image:
        dropped = _further_pictures(image)
        animation = None
        if number_of_frames(image) > 1:
            # imageio closes what it is given, and the handle of the job stays open.
            copy = io.BytesIO(_source(opened, kind).read())
            pixels, animation = read_animation(copy, image, dropped)
        else:
            pixels = _picture(path, image, dropped)
        if kind == "bmp" and has_alpha16(path):
            pixels = np.dstack([pixels, alpha_of_bmp16(path)])
        exif, xmp = _exif(image), _xmp(image)
        orientation = stored_orientation(exif, xmp)
        exif, xmp, resolution = reset_orientation(
            orientation, exif, xmp, _resolution(image, exif)
        )
        if xmp and image.format in ("JPEG", "MPO"):
            xmp = xmp_without_them(xmp)
        icc = None if image.mode == "CMYK" else image.info.get("icc_profile")
        metadata = Metadata(
            icc=icc or None,
            exif=exif,
            xmp=xmp,
            resolution=resolution,
            jpeg_tables=_jpeg_tables(image),
            jpeg_coding=_jpeg_coding(image, orientation),
            png_chunks=carried_chunks(path) if kind == "png" else (),
            dropped=(*dropped, *_what_is_lost(image)),
        )
        axes = ("TYXS" if animation else "YXS")[: pixels.ndim]
        y, x = axes.index("Y"), axes.index("X")
        return Image(
            pixels=np.ascontiguousarray(apply_orientation(pixels, orientation, y, x)),
            axes=axes,
            metadata=with_times(metadata, animation) if animation else metadata,
            format=image.format or "",
        )


def _picture(path: Path, image: PillowFile, dropped: list[str]) -> NDArray[Any]:
    """Decode the one picture of a file."""
    bits, samples = _sample_layout(image)
    keyed = image.mode != "P" and "transparency" in image.info
    image.load()
    if image.format == "PNG" and (bits == 16 or keyed):
        # Pillow would cut 16-bit color to 8 bits, and ignore a transparent color.
        return decoded(path)
    if keyed:
        return np.asarray(image.convert("LA" if samples == 2 else "RGBA"))
    return np.asarray(_carried(image, dropped))


@dataclass(frozen=True)
class JpegFrame:
    """A JPEG inside a file: a frame of a movie, a tile of a TIFF.

    Attributes
    ----------
    shape : tuple of int
        (H, W) or (H, W, 3).
    tables, coding
        As in `memnet_core.io.core.image.Metadata`.
    """

    shape: tuple[int, ...]
    tables: tuple[tuple[int, ...], ...]
    coding: JpegCoding | None
    _image: PillowFile

    def pixels(self) -> NDArray[np.uint8]:
        """Return them, (H, W) or (H, W, 3)."""
        return np.asarray(self._image)


def jpeg_of(data: BinaryIO) -> JpegFrame:
    """Read the header of a JPEG.

    Raises
    ------
    ValueError
        If it is none, or not one of gray or of colors.
    """
    try:
        image = _Jpeg(data)
    except SyntaxError as error:
        raise ValueError("a frame is no intact JPEG") from error
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"pixels of the kind {image.mode!r} are not supported")
    colors = () if image.mode == "L" else (3,)
    return JpegFrame(
        shape=(image.height, image.width, *colors),
        tables=_jpeg_tables(image),
        coding=_jpeg_coding(image, 1),
        _image=image,
    )


@contextlib.contextmanager
def _create(
    path: Path, like: ImageFile, scale: int, *, kind: str
) -> Iterator[PictureWriter]:
    is_animated = kind in ANIMATED and isinstance(like.metadata.native, Animation)
    make = AnimationWriter if is_animated and like.leading == "T" else PictureWriter
    writer = make(path, like, scale, kind)
    yield writer
    writer.finish()


def _opened(opened: OpenedFile, kind: str) -> PillowFile:
    """Open a file with the reader of its kind.

    `PIL.Image.open` would warn of large pictures, and silencing warnings is not safe
    where several threads read.

    Raises
    ------
    ValueError
        If it is not intact, or too large.
    """
    return _opened_from(_source(opened, kind), kind)


def _opened_from(source: BinaryIO, kind: str) -> PillowFile:
    try:
        image = _OPENERS[kind](source)
    except SyntaxError as error:
        raise ValueError(f"it is no intact {_TITLES[kind]}") from error
    try:
        check_pixels(image.width * image.height, "it")
        if kind == "png" and not image.tile:
            raise ValueError("it is a PNG without pixels")
    except BaseException:
        image.close()
        raise
    return image


def _source(opened: OpenedFile, kind: str) -> BinaryIO:
    """Return what Pillow is to read: of a PNG with text that is carried all but it."""
    if kind == "png" and carried_chunks(opened.path):
        return without_text(opened.path)
    return opened.rewound()


def _further_pictures(image: PillowFile) -> list[str]:
    """Name the pictures of a file that are not read."""
    segments = getattr(image, "applist", ())
    return secondary_images(segments, image.info.get("mp", b""))


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
    xmp = image.info.get("xmp") or image.info.get(XMP_KEYWORD)
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
    return lost


def _format(kind: str, *suffixes: str, start: bytes, **traits: Any) -> Format:
    return Format(
        name=kind,
        title=_TITLES[kind],
        suffixes=suffixes,
        sniff=lambda path, head: bool(re.match(start, head, re.DOTALL)),
        probe=partial(_probe, kind=kind),
        open=partial(_open, kind=kind),
        create=partial(_create, kind=kind),
        told=lambda file: read_comments(file.path, kind=kind),
        **traits,
    )


PNG = _format("png", ".png", ".apng", start=rb"\x89PNG\r\n\x1a\n")
JPEG = _format(
    "jpeg",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    start=rb"\xff\xd8\xff",
    lossy=True,
    read_suffixes=(".mpo",),
)
WEBP = _format("webp", ".webp", start=rb"RIFF....WEBP")
BMP = _format("bmp", ".bmp", ".dib", start=rb"BM")
GIF = _format("gif", ".gif", start=rb"GIF8[79]a", lossy=True)
