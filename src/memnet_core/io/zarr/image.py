"""OME-Zarr images: opening one, and making one shard by shard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from memnet_core._util.atomic_write import sync
from memnet_core.errors import ImageError, SettingRef
from memnet_core.image_ops.dtype import to_dtype
from memnet_core.io.core.arrays import ChangeGuardedZarr
from memnet_core.io.core.errors import wrap_parse_errors, wrap_write_errors
from memnet_core.io.core.image import FormatMetadata, Metadata
from memnet_core.io.core.image_file import ImageFile, named_axes
from memnet_core.io.core.limits import check_planes
from memnet_core.io.zarr.ngff import image_attributes, multiscale_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io.core.image import Calibration

__all__ = [
    "TOLD",
    "NgffAttributes",
    "ZarrLayout",
    "create_ome_zarr",
    "discard_block",
    "layout_for",
    "open_level",
    "open_ome_zarr",
    "shrink_block",
    "stored_bytes",
    "sync_block",
    "unsupported_metadata",
]


_CHUNK = 256
_SHARD = 1024
_SHARD_BYTES = 2**25
_SMALLEST_LEVEL = 512
_ORDER = "TCZ"
TOLD = "memnet"
"""The attribute that tells how an image was made."""


@dataclass(frozen=True)
class NgffAttributes(FormatMetadata):
    """Attributes of the group of an OME-Zarr image, and the version of its layout."""

    attributes: Mapping[str, Any]
    zarr_format: Literal[2, 3] = 3
    name = "OME-Zarr attributes"


def open_ome_zarr(path: Path, named: str = "", level: int = 0) -> ImageFile:
    """Open one resolution of an OME-Zarr image (NGFF 0.4 or 0.5).

    Parameters
    ----------
    path : Path
        Folder of the image.
    named : str
        Axes instead of those that the attributes tell.
    level : int
        Which resolution; 0 is the full one, to which pixel sizes belong.
    """
    import zarr

    from memnet_core.io.zarr.limits import BoundedStore

    store = BoundedStore(path, read_only=True)
    try:
        group = zarr.open_group(store, mode="r")
    except FileNotFoundError as error:
        raise ImageError(
            f"{path} cannot be read: it is no OME-Zarr image, but a folder without "
            "zarr.json or .zattrs; give the folder of an image.",
            path=path,
        ) from error
    attributes = dict(group.attrs)
    with wrap_parse_errors("its description of axes and levels"):
        image = multiscale_of(attributes)
    name = image.levels[level]
    array = group[name]
    if not isinstance(array, zarr.Array) or array.ndim != len(image.axes):
        raise ValueError(f"{name!r} is no array with the axes {image.axes}")
    if np.dtype(array.dtype).kind not in "buif" or 0 in array.shape:
        raise ValueError(f"pixels of type {array.dtype} are not supported")
    planes = zip(image.axes, array.shape, strict=True)
    check_planes(math.prod(size for axis, size in planes if axis not in "YX"))
    store.limit(array)
    axes = named_axes(path, image.axes, array.shape, named)
    dropped = ["label images"] if "labels" in group else []
    if axes != image.axes:
        dropped.append("attributes besides pixel sizes and names")
        attributes = {}
    version: Literal[2, 3] = 2 if array.metadata.zarr_format == 2 else 3
    return ImageFile(
        path,
        ChangeGuardedZarr(array, path / name),
        axes,
        format="OME-Zarr",
        metadata=Metadata(
            dropped=tuple(dropped),
            stated=image.calibration,
            native=NgffAttributes(attributes, version),
        ),
        chunk_shape=(array.chunks[axes.index("Y")], array.chunks[axes.index("X")]),
    )


@dataclass(frozen=True)
class ZarrLayout:
    """Arrays of an image, of which every shard is written as a whole.

    Attributes
    ----------
    axes : str
        One letter for each axis; Y and X are the last.
    shapes : tuple of tuple of int
        Sizes of each level, the first being the full resolution.
    chunk, shard : tuple of int
        What is read and what is written at once; a shard consists of whole chunks.
    """

    axes: str
    shapes: tuple[tuple[int, ...], ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]

    def grid(self, level: int) -> tuple[int, ...]:
        """Return how many shards a level has along each axis."""
        sizes = zip(self.shapes[level], self.shard, strict=True)
        return tuple(-(-size // side) for size, side in sizes)

    def blocks(self, level: int) -> int:
        """Return how many shards a level has."""
        return math.prod(self.grid(level))

    def block(self, level: int, index: int) -> tuple[slice, ...]:
        """Return the part of a level that a shard holds."""
        place = np.unravel_index(index, self.grid(level))
        starts = [int(p) * side for p, side in zip(place, self.shard, strict=True)]
        return tuple(
            slice(start, min(start + side, size))
            for start, side, size in zip(
                starts, self.shard, self.shapes[level], strict=True
            )
        )


def layout_for(like: ImageFile, scale: int) -> ZarrLayout:
    """Return how the result of an image is laid out.

    Chunks are 256×256 px of one plane, shards 1024×1024 px of as many planes along
    the last axis before Y as make up 32 MiB; levels halve until 512 px suffice.

    Parameters
    ----------
    like : ImageFile
        What is restored.
    scale : int
        How many of the new pixels stand for one of its own along Y and X.

    Raises
    ------
    ImageError
        If color and channels cannot both be kept.
    """
    sizes = dict(zip(like.axes, like.sizes, strict=True))
    leading = like.leading
    if not _kept(like).attributes:
        leading = "".join(sorted(leading, key=lambda a: (_ORDER + a).index(a)))
    if "S" in sizes and sizes["S"] > 1:
        if "C" in leading:
            tiff = SettingRef("format", "tiff")
            raise ImageError(
                f"{like.path} has colors in channels, which OME-Zarr cannot hold; "
                f"choose {tiff}.",
                settings=[tiff],
                path=like.path,
            )
        sizes["C"] = sizes["S"]
        leading = "".join(sorted(f"C{leading}", key=lambda a: (_ORDER + a).index(a)))
    height, width = sizes["Y"] * scale, sizes["X"] * scale
    first = tuple(sizes[axis] for axis in leading)
    shapes = [(*first, height, width)]
    while max(shapes[-1][-2:]) > _SMALLEST_LEVEL:
        height, width = (-(-side // 2) for side in shapes[-1][-2:])
        shapes.append((*first, height, width))
    chunk = [min(_CHUNK, side) for side in shapes[0][-2:]]
    shard = [
        min(-(-side // part) * part, _SHARD)
        for side, part in zip(shapes[0][-2:], chunk, strict=True)
    ]
    depth = [1] * len(leading)
    if leading:
        planes = _SHARD_BYTES // (math.prod(shard) * like.dtype.itemsize)
        depth[-1] = max(1, min(planes, first[-1]))
    if "S" in like.axes and "C" in leading:
        depth[leading.index("C")] = sizes["C"]
    return ZarrLayout(
        axes=f"{leading}YX",
        shapes=tuple(shapes),
        chunk=(*[1] * len(leading), *chunk),
        shard=(*depth, *shard),
    )


def create_ome_zarr(
    path: Path,
    like: ImageFile,
    layout: ZarrLayout,
    scale: int,
    display: tuple[float, float, float, float] | None,
) -> None:
    """Make an image without pixels, with the attributes of a like.

    Parameters
    ----------
    path : Path
        Folder to make; the one above it exists.
    like : ImageFile
        What is restored.
    layout : ZarrLayout
        Its result.
    scale : int
        How many of the new pixels stand for one of its own along Y and X.
    display : tuple of float, optional
        As for `memnet_core.io.zarr.ngff.image_attributes`.

    Raises
    ------
    ImageError
        If the folder cannot be written.
    """
    import numcodecs
    import zarr
    from zarr.codecs import BloscCodec

    kept = _kept(like)
    known = like.metadata.calibration
    with wrap_write_errors(path), wrap_parse_errors("the description of its source"):
        attributes = image_attributes(
            kept.attributes,
            layout.axes,
            known,
            _transforms(kept, known, layout, scale),
            zarr_format=kept.zarr_format,
            display=display,
        )
        if like.metadata.provenance:
            before = (str(attributes.get(TOLD, "")), like.metadata.provenance)
            attributes[TOLD] = "; ".join(filter(None, before))
    options: dict[str, Any]
    if kept.zarr_format == 3:
        options = {
            "shards": layout.shard,
            "dimension_names": [*layout.axes.lower()],
            "compressors": BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
        }
    else:
        options = {
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
            "compressors": numcodecs.Blosc(cname="zstd", clevel=3, shuffle=1),
        }
    with wrap_write_errors(path):
        group = zarr.open_group(
            path, mode="w-", zarr_format=kept.zarr_format, attributes=attributes
        )
        for level, shape in enumerate(layout.shapes):
            group.create_array(
                str(level),
                shape=shape,
                chunks=layout.chunk,
                dtype=like.dtype,
                **options,
            )


def unsupported_metadata(like: ImageFile) -> tuple[str, ...]:
    """Return what of an image, and of what it was read from, OME-Zarr cannot hold."""
    metadata = like.metadata
    lost = [*metadata.dropped]
    native = metadata.native
    if native and native.name and not isinstance(native, NgffAttributes):
        lost.append(f"{native.name} besides pixel sizes and names")
    page = {"ICC profile": metadata.icc, "EXIF": metadata.exif, "XMP": metadata.xmp}
    page |= dict.fromkeys(metadata.other_metadata, b"held")
    lost += [f"{name} (not written to OME-Zarr)" for name, held in page.items() if held]
    return tuple(lost)


def _kept(like: ImageFile) -> NgffAttributes:
    """Return the attributes to keep: none of an image that is no OME-Zarr."""
    native = like.metadata.native
    return native if isinstance(native, NgffAttributes) else NgffAttributes({})


def _transforms(
    kept: NgffAttributes, known: Calibration, layout: ZarrLayout, scale: int
) -> list[tuple[list[float], list[float]]]:
    """Return scale and translation of each level; centers of pixels are what counts."""
    step, origin = _first_transform(kept, known, layout.axes)
    transforms = []
    for level in range(len(layout.shapes)):
        factor = 2**level / scale
        scales, shifts = list(step), list(origin)
        for axis in (-2, -1):
            scales[axis] = step[axis] * factor
            shifts[axis] = origin[axis] + (factor - 1) / 2 * step[axis]
        transforms.append((scales, shifts))
    return transforms


def _first_transform(
    kept: NgffAttributes, known: Calibration, axes: str
) -> tuple[list[float], list[float]]:
    if kept.attributes:
        image = multiscale_of(kept.attributes)
        places = [image.axes.index(axis) for axis in axes]
        return [image.scale[i] for i in places], [image.translation[i] for i in places]
    return _steps(known, axes), [0.0] * len(axes)


def _steps(known: Calibration, axes: str) -> list[float]:
    return [known.spacing.get(axis, 1.0) for axis in axes]


def open_level(path: Path, level: int) -> Any:
    """Open the array of a level of an image in the making, to read and write it."""
    import zarr

    from memnet_core.io.zarr.limits import BoundedStore

    return zarr.open_array(BoundedStore(path / str(level)), mode="r+")


def sync_block(path: Path, level: int, block: tuple[slice, ...]) -> int:
    """Have the files of a block, then their folders, written to the disk.

    Returns
    -------
    int
        As `stored_bytes`.
    """
    root = path / str(level)
    folders = {root}
    files = _block_files(open_level(path, level), root, block)
    for file in files:
        sync(file)
        folders.update(f for f in file.parents if f.is_relative_to(root))
    for folder in sorted(folders, reverse=True):
        sync(folder)
    return sum(file.stat().st_size for file in files)


def stored_bytes(path: Path, level: int, block: tuple[slice, ...]) -> int:
    """Return how large the files of a block are; one of nothing but zeros has none."""
    files = _block_files(open_level(path, level), path / str(level), block)
    return sum(file.stat().st_size for file in files)


def discard_block(path: Path, level: int, block: tuple[slice, ...]) -> None:
    """Delete what there is of a block: Zarr would read it, and it may be damaged."""
    for file in _block_files(open_level(path, level), path / str(level), block):
        file.unlink(missing_ok=True)


def _block_files(array: Any, root: Path, block: tuple[slice, ...]) -> list[Path]:
    sides = array.shards or array.chunks
    grid = [
        range(part.start // side, -(-part.stop // side))
        for part, side in zip(block, sides, strict=True)
    ]
    files = (root / array.metadata.encode_chunk_key(place) for place in product(*grid))
    return [file for file in files if file.is_file()]


def shrink_block(finer: Any, block: tuple[slice, ...]) -> NDArray[Any]:
    """Return a block of a level: the means of 2×2 pixels of the next finer one.

    Parameters
    ----------
    finer : array
        The finer level.
    block : tuple of slice
        Part of the level to make.
    """
    *leading, rows, columns = block
    fine = (*leading, *(slice(2 * s.start, 2 * s.stop) for s in (rows, columns)))
    pixels = np.asarray(finer[tuple(fine)])
    odd = [(0, pixels.shape[axis] % 2) for axis in (-2, -1)]
    pixels = np.pad(pixels, [(0, 0)] * len(leading) + odd, "edge")
    # Sums of four integers of 16 bits are exact in float32, which is half as large.
    is_short = pixels.dtype.kind != "f" and pixels.dtype.itemsize <= 2
    shape = (*pixels.shape[:-2], *(s // 2 for s in pixels.shape[-2:]))
    total: Any = np.zeros(shape, np.float32 if is_short else np.float64)
    for y, x in product((0, 1), (0, 1)):
        total += pixels[..., y::2, x::2]
    return to_dtype(total / 4, pixels.dtype)
