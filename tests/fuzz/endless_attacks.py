"""Files and folders without an end, that grow, with odd names, or leading out."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numcodecs
import tifffile
import zarr
from mutations import ESCAPE, pixels
from PIL import Image

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["bomb", "endless", "links", "looped_tiff", "odd_name", "write_zarr"]


def _without_end(path: Path, rng: random.Random) -> None:
    """Put a pipe, or a link to a device or to itself, where a file is expected."""
    path.unlink(missing_ok=True)
    if rng.randrange(2):
        os.mkfifo(path)
    else:
        path.symlink_to(rng.choice(("/dev/zero", "/dev/tty", path.name)))


def write_zarr(path: Path, **options: Any) -> None:
    """Write an OME-Zarr image of one level."""
    axes = [{"name": name, "type": "space"} for name in "yx"]
    described: Any = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    is_old = options.get("zarr_format") == 2
    group = zarr.open_group(
        path,
        mode="w",
        zarr_format=options.pop("zarr_format"),
        attributes=described if is_old else {"ome": described},
    )
    array = group.create_array(
        "0", shape=(24, 32), chunks=(16, 16), dtype="u1", **options
    )
    array[:] = pixels(24, 32)


def endless(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write what is no file, or an OME-Zarr image or a folder with such in it."""
    kind = rng.choice(("tif", "png", "safetensors", "yaml", "txt", "zarr", "folder"))
    path = folder / f"a.{kind}"
    if kind == "zarr":
        write_zarr(path, zarr_format=rng.choice((2, 3)))
        _without_end(rng.choice([p for p in path.rglob("*") if p.is_file()]), rng)
    elif kind == "folder":
        path.mkdir()
        Image.fromarray(pixels(16, 16)).save(path / "b.png")
        for suffix in ("png", "tif", "zarr"):
            _without_end(path / f"c.{suffix}", rng)
    else:
        _without_end(path, rng)
    return path


def looped_tiff(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a TIFF in which a page is followed by one before it."""
    path = folder / "a.tif"
    pages, is_big = rng.choice((1, 2, 3, 99, 100, 101, 200)), rng.random() < 0.3
    with tifffile.TiffWriter(path, bigtiff=is_big) as writer:
        for _ in range(pages):
            writer.write(pixels(8, 8), metadata=None)
    with tifffile.TiffFile(path) as file:
        places = [page.offset for page in file.pages]
    offset, count, size = ("<Q", "<Q", 20) if is_big else ("<I", "<H", 12)
    data = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from(count, data, places[-1])
    end = places[-1] + struct.calcsize(count) + size * tags
    struct.pack_into(offset, data, end, places[rng.randrange(pages)])
    path.write_bytes(data)
    return path


def bomb(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write little that claims to be, or unpacks to, very much."""
    kind = rng.choice(("shape", "chunk", "gzip", "png", "tiff"))
    if kind in ("shape", "chunk", "gzip"):
        path = folder / "a.zarr"
        codec = numcodecs.GZip() if kind == "gzip" else None
        write_zarr(path, zarr_format=2, compressors=codec)
        if codec:
            packed = rng.choice((1, 600)) * gzip.compress(bytes(2**22), 1)
            (path / "0" / "0.0").write_bytes(packed)
            return path
        described = json.loads((path / "0" / ".zarray").read_text())
        # 24 × 2**20 pixels, though hardly stored, are work that is done, not refused.
        sides = [rng.choice((24, 2**31, 2**40, 2**63)) for _ in range(2)]
        described["shape" if kind == "shape" else "chunks"] = sides
        (path / "0" / ".zarray").write_text(json.dumps(described))
        return path
    if kind == "png":
        path = folder / "a.png"
        side = rng.choice((5000, 13_300, 13_500, 40_000))
        depth, color = rng.choice(((1, 0), (8, 0), (8, 3), (1, 3)))
        chunks = [
            b"IHDR" + struct.pack(">II5B", side, side, depth, color, 0, 0, 0),
            b"PLTE" + bytes(6),
            b"IDAT" + zlib.compress(bytes(2**24), 9),
            b"IEND",
        ]
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
                for c in chunks
            )
        )
        return path
    path = folder / "a.tif"
    tifffile.imwrite(path, pixels(8, 8) * 0, compression="zlib", metadata=None)
    data = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] in (256, 257, 278):
            struct.pack_into("<I", data, entry + 8, rng.choice((10**4, 10**5, 2**31)))
    path.write_bytes(data)
    return path


def odd_name(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a small image under a name that few expect."""
    name = rng.choice(
        (
            "-o",
            "--help",
            "$\\frac{$",
            "%s{0}{file}",
            "a\nb",
            ESCAPE.replace("/", ""),
            "x" * 240,
            "é" * 120,
            os.fsdecode(b"\xff\xfe"),
            "[red]a[/red]",
            "CON",
            " ",
            "..png",
        )
    )
    inner = folder / "in"
    inner.mkdir()
    suffix = rng.choice((".png", ".tif"))
    Image.fromarray(pixels(16, 16)).save(inner / f"{name}{suffix}")
    return inner


def links(folder: Path, rng: random.Random, model: Path) -> Path:
    """Make folders whose links multiply, lead back, or lead out of the results."""
    inner, out = folder / "in", folder / "out"
    (inner / "sub").mkdir(parents=True)
    out.mkdir()
    for path in (inner / "a.png", inner / "sub" / "kept.png"):
        Image.fromarray(pixels(16, 16)).save(path)
    kind = rng.randrange(3)
    if kind == 0:
        (out / "sub").symlink_to(folder / "outside")
        (out / "a.png").symlink_to(folder / "outside" / "kept")
    elif kind == 1:
        for n in range(30):
            (inner / str(n)).mkdir()
            for name in "ab":
                (inner / str(n) / name).symlink_to(inner / str(n + 1))
    else:
        (inner / "sub" / "back").symlink_to(inner)
        (inner / "self.png").symlink_to("self.png")
    return inner
