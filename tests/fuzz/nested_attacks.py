"""Hostile content within content: streams in pages, deep trees, old results."""

from __future__ import annotations

import io
import json
import lzma
import struct
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numcodecs
import numpy as np
import tifffile
from endless_attacks import write_zarr
from mutations import damaged, pixels
from PIL import Image
from zarr.codecs import GzipCodec, ShardingCodec

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["broken_png", "deep", "existing_result", "packed", "stream"]

ENCODERS: dict[str, Any] = {
    "jpeg": imagecodecs.jpeg_encode,
    "png": imagecodecs.png_encode,
    "lerc": imagecodecs.lerc_encode,
    "jpeg2000": imagecodecs.jpeg2k_encode,
    "jpegxr": imagecodecs.jpegxr_encode,
    "jpegxl": imagecodecs.jpegxl_encode,
    "webp": lambda image: imagecodecs.webp_encode(np.dstack([image] * 3)),
}


def stream(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a TIFF of 64 × 64 px whose stream is damaged or says other sides."""
    kind, side = rng.choice([*ENCODERS]), rng.choice((64, 64, 63, 65, 2000, 12_000))
    encoded = bytes(ENCODERS[kind](np.zeros((side, side), np.uint8)))
    if rng.randrange(2):
        encoded = damaged(encoded, rng)
    tile = rng.choice((None, (64, 64)))
    tifffile.imwrite(
        folder / "a.tif",
        iter([encoded]),
        shape=(64, 64, 3) if kind == "webp" else (64, 64),
        dtype=np.uint8,
        compression=kind,
        tile=tile,
        rowsperstrip=None if tile else 64,
        photometric="rgb" if kind == "webp" else "minisblack",
        metadata=None,
    )
    return folder / "a.tif"


def deep(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write XML or JSON that nests deep, has many elements or claims many planes."""
    depth = rng.choice((20, 99, 150, 2000, 200_000))
    nested = rng.choice(("<a>" * depth + "</a>" * depth, "<a/>" * depth, "<a>" * depth))
    if rng.randrange(3) == 0:
        path = folder / "a.zarr"
        write_zarr(path, zarr_format=2)
        text = rng.choice(
            ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth)
        )
        attributes = path / rng.choice((".zattrs", "0/.zarray", ".zgroup"))
        held = attributes.read_text().rstrip().removesuffix("}")
        attributes.write_text(f'{held}, "deep": {text}}}')
        return path
    planes = rng.choice((1, 10**6, 10**8, 10**12, 2**63))
    texts = (
        '<OME xmlns="urn:ome"><Image><Pixels DimensionOrder="XYZCT" Type="uint8" '
        f'SizeX="24" SizeY="16" SizeZ="1" SizeC="1" SizeT="{planes}"><TiffData IFD="0" '
        f'PlaneCount="{rng.choice((1, planes))}"/></Pixels></Image>{nested}</OME>',
        f'<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">{nested}</scn>',
        f"<?xml?><x>{nested}</x>",
    )
    options: dict[str, Any] = {"description": rng.choice(texts)}
    if rng.randrange(3) == 0:
        xmp = f"<x:xmpmeta>{nested}</x:xmpmeta>".encode()
        options = {"extratags": [(700, 1, len(xmp), xmp, True)]}
    tifffile.imwrite(folder / "a.tif", pixels(16, 24), metadata=None, **options)
    return folder / "a.tif"


def packed(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write an OME-Zarr image whose chunks or shards unpack to very much."""
    path, bomb = folder / "a.zarr", bytes(2 ** rng.choice((16, 27)))
    if rng.randrange(3) == 0:
        shard = ShardingCodec(chunk_shape=(8, 8))
        write_zarr(path, zarr_format=3)
        described = json.loads((path / "0" / "zarr.json").read_text())
        codecs: Any = rng.choice(
            (
                [ShardingCodec(chunk_shape=(16, 16), codecs=[shard])],
                [shard, GzipCodec()],
                [shard],
            )
        )
        described["codecs"] = [codec.to_dict() for codec in codecs]
        (path / "0" / "zarr.json").write_text(json.dumps(described))
        return path
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
    raw: Any = {"format": lzma.FORMAT_RAW, "filters": filters}
    zstd = numcodecs.Zstd()
    skipped = b"\x50\x2a\x4d\x18\4\0\0\0abcd"
    codec, content = rng.choice(
        (
            (numcodecs.LZMA(**raw), lambda: lzma.compress(bomb, **raw)),
            (zstd, lambda: skipped + zstd.encode(bomb)),
            (zstd, lambda: zstd.encode(b"a") + zstd.encode(bomb)),
            (numcodecs.Blosc(), lambda: numcodecs.Blosc().encode(bomb)),
        )
    )
    write_zarr(path, zarr_format=2, compressors=codec)
    held = content()
    if rng.randrange(3) == 0:
        held = damaged(held, rng)
    (path / "0" / "0.0").write_bytes(held)
    return path


def existing_result(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a picture, and in the output folder a damaged file of its result's name."""
    inner, out = folder / "in", folder / "out"
    inner.mkdir()
    out.mkdir()
    suffix = rng.choice(("png", "tif", "webp", "bmp", "gif"))
    image = Image.fromarray(pixels(16, 16))
    image.save(inner / f"a.{suffix}")
    held = io.BytesIO()
    image.save(held, {"tif": "TIFF"}.get(suffix, suffix.upper()))
    made = out / ("a.png" if suffix == "gif" else f"a.{suffix}")
    if suffix == "png" and rng.randrange(2):
        made.write_bytes(_broken_png(rng))
    else:
        made.write_bytes(damaged(held.getvalue(), rng))
    return inner


def broken_png(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a PNG that breaks one of the rules that PngSuite's broken files break."""
    (folder / "a.png").write_bytes(_broken_png(rng))
    return folder / "a.png"


def _broken_png(rng: random.Random) -> bytes:
    fields = [32, 32, 8, 0, 0, 0, 0]
    rows = b"".join(bytes([rng.choice((0, 4, 5))]) + bytes(32) for _ in range(32))
    chunks = [
        (b"IHDR", b""),
        (b"acTL", struct.pack(">II", rng.choice((0, 1, 2**31)), 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    del chunks[1 : rng.choice((1, 2))]
    rule = rng.randrange(6)
    if rule == 0:
        fields[2] = rng.choice((0, 3, 99))
    elif rule == 1:
        fields[3] = rng.choice((1, 5, 9))
    elif rule == 2:
        chunks = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    chunks[0] = (b"IHDR", struct.pack(">II5B", *fields))
    wrong = rng.randrange(len(chunks)) if rule == 3 else -1
    data = b"\x89PNG\r\n\x1a\n"
    for number, (kind, content) in enumerate(chunks):
        check = zlib.crc32(kind + content) ^ (number == wrong)
        data += struct.pack(">I", len(content)) + kind + content
        data += struct.pack(">I", check)
    if rule == 4:
        return data.replace(*rng.choice(((b"\n", b"\r\n"), (b"\r\n", b"\n"))))
    if rule == 5:
        place = rng.choice((0, 1, 3, 6))
        return data[:place] + bytes([data[place] ^ 32]) + data[place + 1 :]
    return data
