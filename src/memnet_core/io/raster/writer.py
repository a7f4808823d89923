"""Making PNG, JPEG, WebP, BMP and GIF: what each can hold, and what that costs."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from memnet_core.io.core.image import Animation, Metadata, chunk_names
from memnet_core.io.raster import codecs
from memnet_core.io.raster.animation import encoded_animation
from memnet_core.io.raster.metadata import embed_comment, update_exif, xmp_of_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io.core.image_file import ImageFile

    _Change = Callable[[NDArray[Any]], NDArray[Any]]

__all__ = ["ANIMATED", "AnimationWriter", "PictureWriter"]

ANIMATED = ("png", "webp", "gif")
"""What holds animations."""

_JPEG_SEGMENT = 65533


@dataclass(frozen=True, kw_only=True)
class _Limits:
    """What a format can hold; lengths in bytes, resolutions in dots per inch."""

    name: str
    dtypes: tuple[str, ...] = ("bool", "uint8")
    bool_planes: bool = True
    gray: bool = True
    alpha: bool = True
    gray_alpha: bool = True
    most_colors: int | None = None
    largest_side: int = 2**31 - 1
    resolutions: tuple[float, float] | None = (0.0254, 2**31 * 0.0254)
    icc: int = 2**31
    exif: int = 2**31
    xmp: int = 2**31
    png_chunks: bool = False


_OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 95, "subsampling": "4:4:4"},
    "webp": {"lossless": True, "exact": True},
    "bmp": {},
    "gif": {},
}

_LIMITS = {
    "png": _Limits(name="PNG", dtypes=("bool", "uint8", "uint16"), png_chunks=True),
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
    "bmp": _Limits(name="BMP", gray_alpha=False, icc=0, exif=0, xmp=0),
    "gif": _Limits(
        name="GIF",
        bool_planes=False,
        most_colors=256,
        largest_side=65535,
        resolutions=None,
        icc=0,
        exif=0,
        xmp=0,
    ),
}


class PictureWriter:
    """Writes the one plane of a picture.

    Parameters
    ----------
    path : Path
        Where to write.
    like : ImageFile
        Where type and metadata come from.
    scale : int
        How many of the new pixels stand for one of its own along Y and X.
    kind : str
        ``png``, ``jpeg``, ``webp``, ``bmp`` or ``gif``.

    Raises
    ------
    ValueError
        If the format cannot hold these pixels.
    """

    most_planes: int | None = 1

    def __init__(self, path: Path, like: ImageFile, scale: int, kind: str) -> None:
        limits, metadata = _LIMITS[kind], like.metadata.magnified(scale)
        _check(like, scale, limits, self.most_planes)
        self._path = path
        self._kind = kind
        self._changes, dropped = _changes(like.shape[3], like.dtype, limits)
        metadata = _of_size(metadata, like.magnified_sizes(scale), like.axes, dropped)
        self._metadata = _held_metadata(metadata, limits, dropped)
        self._dpi = _dots_per_inch(metadata, limits, dropped)
        self._planes: list[NDArray[Any]] = []
        self._provenance = metadata.provenance
        self.dropped = tuple(dropped)

    def put(self, pixels: NDArray[Any]) -> None:
        """Keep the plane, (H, W, S)."""
        self._planes.append(self._changed(pixels))

    def _changed(self, pixels: NDArray[Any]) -> NDArray[Any]:
        for change in self._changes:
            pixels = change(pixels)
        return np.ascontiguousarray(pixels)

    def finish(self) -> None:
        """Encode and write the plane that was put."""
        (pixels,) = self._planes
        if self._kind == "png":
            encoded = codecs.encode(pixels, self._metadata, self._dpi)
        elif self._kind == "bmp" and pixels.shape[2:] == (4,):
            encoded = codecs.encode_alpha(pixels, self._dpi)
        else:
            encoded = self._encoded(pixels)
        self._write(encoded)

    def _write(self, encoded: bytes) -> None:
        data = embed_comment(self._kind, encoded, self._provenance)
        self._path.write_bytes(data)

    def _encoded(self, pixels: NDArray[Any]) -> bytes:
        # Pillow does not notice when a full disk takes only a part of what it writes.
        encoded = io.BytesIO()
        options = self._options()
        PillowImage.fromarray(pixels).save(encoded, self._kind.upper(), **options)
        return encoded.getvalue()

    def _options(self) -> dict[str, Any]:
        return {
            "icc_profile": self._metadata.icc,
            "exif": self._metadata.exif or b"",
            "xmp": self._metadata.xmp or b"",
            "dpi": self._dpi or (0, 0),
            **_OPTIONS[self._kind],
        }


class AnimationWriter(PictureWriter):
    """Writes planes as the frames of an animation; parameters as `PictureWriter`."""

    most_planes = None

    def __init__(self, path: Path, like: ImageFile, scale: int, kind: str) -> None:
        super().__init__(path, like, scale, kind)
        native = like.metadata.native
        if not isinstance(native, Animation) or like.dtype != np.uint8:
            raise ValueError(f"{_LIMITS[kind].name} holds frames of 8 bits")
        self._animation = native

    def put(self, pixels: NDArray[Any]) -> None:
        """Keep a copy of the next plane, (H, W, S)."""
        self._planes.append(self._changed(pixels).copy())

    def finish(self) -> None:
        """Encode and write the planes that were put."""
        is_png = self._kind == "png"
        encoded = encoded_animation(
            self._planes,
            self._animation,
            self._kind,
            **({} if is_png else self._options()),
        )
        if is_png:
            encoded = codecs.with_metadata(encoded, self._metadata, self._dpi)
        self._write(encoded)


def _check(
    like: ImageFile, scale: int, limits: _Limits, most_planes: int | None
) -> None:
    """Check that a format can hold what comes close to a result.

    Raises
    ------
    ValueError
        If it cannot.
    """
    count, height, width, _ = like.shape
    if most_planes and count > most_planes:
        raise ValueError(
            f"{limits.name} holds one picture, not a stack of {count}; write it as TIFF"
        )
    if like.dtype not in limits.dtypes:
        raise ValueError(
            f"{limits.name} cannot hold pixels of type {like.dtype}; write them as TIFF"
        )
    if max(height, width) * scale > limits.largest_side:
        raise ValueError(
            f"{limits.name} holds {limits.largest_side} pixels a side, "
            f"not {max(height, width) * scale}; write it as TIFF"
        )


def _changes(
    samples: int, dtype: np.dtype[Any], limits: _Limits
) -> tuple[list[_Change], list[str]]:
    """Return what makes pixels (H, W, S) such that a format holds them, and its cost.

    Parameters
    ----------
    samples : int
        Samples of a pixel.
    dtype : dtype
        Type of a sample.
    limits : _Limits
        Those of the format.
    """
    changes: list[_Change] = []
    dropped = []
    if samples in (2, 4) and not limits.alpha:
        dropped.append(f"alpha ({limits.name} has none)")
        changes.append(lambda pixels: pixels[..., :-1])
        samples -= 1
    if (samples in (1, 2) and not limits.gray) or (
        samples == 2 and not limits.gray_alpha
    ):
        dropped.append(f"gray ({limits.name} stores it as RGB)")
        order = [0, 0, 0, 1][: samples + 2]
        changes.append(lambda pixels: pixels[..., order])
        samples += 2
    if limits.most_colors and samples > 1:
        dropped.append(
            f"all but {limits.most_colors} colors (as many as {limits.name} holds)"
        )
    if samples == 1:
        changes.append(lambda pixels: pixels[..., 0])
    if dtype == np.bool_ and (samples > 1 or not limits.bool_planes):
        dropped.append(f"1-bit samples ({limits.name} stores 8 bits)")
        changes.append(lambda pixels: pixels.astype(np.uint8) * np.uint8(255))
    return changes, dropped


def _of_size(
    metadata: Metadata, sizes: tuple[int, ...], axes: str, dropped: list[str]
) -> Metadata:
    """Return metadata that names the size of a result, and no picture of before."""
    height, width = (sizes[axes.index(axis)] for axis in "YX")
    exif, xmp = metadata.exif, metadata.xmp
    if exif:
        exif, had_thumbnail = update_exif(exif, width, height)
        dropped += ["EXIF thumbnail (of the picture before)"] * had_thumbnail
    if xmp:
        xmp = xmp_of_result(xmp, width, height)
    return replace(metadata, exif=exif, xmp=xmp)


def _held_metadata(metadata: Metadata, limits: _Limits, dropped: list[str]) -> Metadata:
    """Return what the format can hold, and name the rest."""
    held: dict[str, Any] = {}
    for key, name in {"icc": "ICC profile", "exif": "EXIF", "xmp": "XMP"}.items():
        value, room = getattr(metadata, key), getattr(limits, key)
        if value and len(value) > room:
            reason = (
                f"too long for {limits.name}" if room else f"{limits.name} has none"
            )
            dropped.append(f"{name} ({reason})")
        else:
            held[key] = value
    if limits.png_chunks:
        held["png_chunks"] = metadata.png_chunks
    else:
        names = chunk_names(metadata.png_chunks)
        dropped += [f"{name} ({limits.name} has none)" for name in names]
    if metadata.tags:
        told = ", ".join(metadata.tags.names)
        dropped.append(f"TIFF tags ({told}; {limits.name} has none)")
    if metadata.description:
        dropped.append(f"TIFF description ({limits.name} has none)")
    is_held = isinstance(metadata.native, Animation) and limits.name != "BMP"
    if metadata.native and metadata.native.name and not is_held:
        dropped.append(f"{metadata.native.name} ({limits.name} has none)")
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
