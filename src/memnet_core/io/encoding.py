"""Making PNG, JPEG, WebP and BMP: what each can hold, and what that costs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from memnet_core.io import png
from memnet_core.io.image import Metadata
from memnet_core.io.inscription import inscribed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io.image_file import ImageFile

    _Change = Callable[[NDArray[Any]], NDArray[Any]]

__all__ = ["PictureWriter"]

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


_OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 95, "subsampling": "4:4:4"},
    "webp": {"lossless": True, "exact": True},
    "bmp": {},
}

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
        ``png``, ``jpeg``, ``webp`` or ``bmp``.

    Raises
    ------
    ValueError
        If the format cannot hold these pixels.
    """

    def __init__(self, path: Path, like: ImageFile, scale: int, kind: str) -> None:
        limits, metadata = _LIMITS[kind], like.metadata.magnified(scale)
        _check(like, scale, limits)
        self._path = path
        self._kind = kind
        self._changes, dropped = _changes(like.shape[3], like.dtype, limits)
        self._metadata = _held_metadata(metadata, limits, dropped)
        self._dpi = _dots_per_inch(metadata, limits, dropped)
        self._provenance = metadata.provenance
        self._plane: NDArray[Any] | None = None
        self.dropped = tuple(dropped)

    def put(self, pixels: NDArray[Any]) -> None:
        """Keep the plane, (H, W, S)."""
        self._plane = pixels

    def finish(self) -> None:
        """Encode and write the plane that was put."""
        pixels: Any = self._plane
        for change in self._changes:
            pixels = change(pixels)
        pixels = np.ascontiguousarray(pixels)
        text = self._provenance
        data = inscribed(self._kind, self._encoded(pixels), text)
        self._path.write_bytes(data)

    def _encoded(self, pixels: NDArray[Any]) -> bytes:
        if self._kind == "png":
            return png.encode(pixels, self._metadata, self._dpi)
        options: dict[str, Any] = {
            "icc_profile": self._metadata.icc,
            "exif": self._metadata.exif or b"",
            "xmp": self._metadata.xmp or b"",
            "dpi": self._dpi or (0, 0),
        }
        # Pillow does not notice when a full disk takes only a part of what it writes.
        encoded = io.BytesIO()
        options |= _OPTIONS[self._kind]
        PillowImage.fromarray(pixels).save(encoded, self._kind.upper(), **options)
        return encoded.getvalue()


def _check(like: ImageFile, scale: int, limits: _Limits) -> None:
    """Check that a format can hold what comes close to a result.

    Raises
    ------
    ValueError
        If it cannot.
    """
    count, height, width, _ = like.shape
    if count > 1:
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
    if samples in (1, 2) and not limits.gray:
        dropped.append(f"gray ({limits.name} stores it as RGB)")
        order = [0, 0, 0, 1][: samples + 2]
        changes.append(lambda pixels: pixels[..., order])
        samples += 2
    if samples == 1:
        changes.append(lambda pixels: pixels[..., 0])
    if dtype == np.bool_ and (samples > 1 or not limits.bool_planes):
        dropped.append(f"1-bit samples ({limits.name} stores 8 bits)")
        changes.append(lambda pixels: pixels.astype(np.uint8) * np.uint8(255))
    return changes, dropped


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
    if metadata.native and metadata.native.name:
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
