"""Hostile image files."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

import tifffile
from mutations import ESCAPE, damaged, mutated, mutated_text, pixels
from PIL import Image, PngImagePlugin

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["animation", "imagej", "jpeg", "ome_xml", "ome_zarr", "png", "tiff"]


def png(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a PNG that is damaged, or whose header lies."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", rng.choice(("a", "\x1b[31m", "\x9b31m")))
    info.add_text("Comment", "b" * 100, zip=True)
    buffer = io.BytesIO()
    Image.fromarray(pixels(24, 24, 3)).save(buffer, "PNG", pnginfo=info, dpi=(72, 72))
    data = buffer.getvalue()
    if rng.randrange(2):  # a whole file with a header that lies
        sides = [rng.choice((1, 24, 1000, 13_300, 2**20, 2**31 - 1)) for _ in "HW"]
        depth, color = rng.choice((1, 2, 8, 16)), rng.choice((0, 2, 3, 4, 6))
        header = struct.pack(">II5B", *sides, depth, color, 0, 0, rng.randrange(2))
        chunk = b"IHDR" + header
        data = data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    else:
        data = damaged(data, rng)
    path = folder / "a.png"
    path.write_bytes(data)
    return path


def jpeg(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a damaged JPEG."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = rng.randrange(10), ESCAPE
    Image.fromarray(pixels(32, 40, 3)).save(
        buffer, "JPEG", quality=20, progressive=rng.random() < 0.3, exif=exif
    )
    path = folder / "a.jpg"
    path.write_bytes(damaged(buffer.getvalue(), rng))
    return path


def animation(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a damaged animation."""
    kind = rng.choice(("png", "gif", "webp"))
    first, *others = (Image.fromarray(frame) for frame in pixels(4, 16, 24, 3))
    buffer = io.BytesIO()
    first.save(
        buffer,
        kind.upper(),
        save_all=True,
        append_images=others,
        duration=[0, 10, 200, 65535],
        loop=rng.choice((0, 3)),
    )
    path = folder / f"a.{kind}"
    path.write_bytes(damaged(buffer.getvalue(), rng))
    return path


def tiff(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a damaged TIFF."""
    path = folder / "a.tif"
    shape, dtype = rng.choice(
        (((3, 24, 32), "uint8"), ((24, 32), "uint16"), ((24, 32), "float32"))
    )
    tifffile.imwrite(
        path,
        pixels(*shape, dtype=dtype),
        photometric="minisblack",
        compression=rng.choice((None, "zlib", "lzw")),
        tile=rng.choice((None, (16, 16))),
        bigtiff=rng.random() < 0.3,
        description="text" if rng.random() < 0.5 else None,
    )
    path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def _replace_description(path: Path, text: str) -> None:
    """Give the first page of a TIFF another description, at the end of the file."""
    data = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    encoded = text.encode("utf-8", "replace") + b"\0"
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry) == (270,):
            struct.pack_into("<HII", data, entry + 2, 2, len(encoded), len(data))
            data += encoded
            break
    path.write_bytes(data)


def ome_xml(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write an OME-TIFF whose XML is hostile."""
    path = folder / "a.ome.tif"
    tifffile.imwrite(
        path,
        pixels(2, 3, 16, 24, dtype="uint16"),
        metadata={
            "axes": "CZYX",
            "PhysicalSizeX": 0.1,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeZ": 0.5,
            "Channel": {"Name": ["one", "two"]},
            "Plane": {"PositionX": [0.0] * 6, "PositionXUnit": ["µm"] * 6},
        },
        photometric="minisblack",
        ome=True,
    )
    text = str(tifffile.tiffcomment(path))
    action = rng.randrange(8)
    if action == 0:
        entities = "".join(
            f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 10}">'
            for n in range(12)
        )
        text = re.sub(r"(<OME)", rf"<!DOCTYPE OME [{entities}]>\1", text, count=1)
        text = text.replace('Name="one"', 'Name="&e11;"')
    elif action == 1:
        text = text[: rng.randrange(len(text))]
    elif action == 2:
        text = text.replace("<Image ", "<Image " * rng.choice((2, 500)), 1)
    elif action == 3:
        text = text.replace("<TiffData", '<TiffData FirstZ="99"', 1)
    else:
        text = mutated_text(text, r'="([^"]*)"', rng)
    _replace_description(path, text)
    return path


def imagej(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write an ImageJ TIFF whose text is hostile."""
    path = folder / "a.tif"
    tifffile.imwrite(
        path,
        pixels(2, 3, 16, 24, dtype="uint16"),
        imagej=True,
        resolution=(10, 10),
        metadata={"axes": "ZCYX", "spacing": 0.5, "unit": "um", "Labels": ["a"] * 6},
    )
    text = mutated_text(str(tifffile.tiffcomment(path)), r"=([^\n]*)", rng)
    _replace_description(path, text + f"Info={ESCAPE}\nchannels=\n")
    if rng.randrange(3) == 0:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def ome_zarr(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write an OME-Zarr image with hostile metadata, or an endless chunk."""
    import zarr

    path = folder / "a.zarr"
    version = rng.choice((2, 3))
    group = zarr.open_group(path, mode="w", zarr_format=version)  # type: ignore[arg-type]
    array = group.create_array("0", shape=(2, 16, 24), chunks=(1, 16, 16), dtype="u2")
    array[:] = pixels(2, 16, 24, dtype="uint16")
    scale = {"type": "scale", "scale": [1.0, 0.1, 0.1]}
    multiscale = {
        "axes": [
            {"name": "z", "type": "space", "unit": "micrometer"},
            {"name": "y", "type": "space"},
            {"name": "x", "type": "space"},
        ],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
        "name": "a",
        "version": "0.4",
    }
    channel = {"color": "FFFFFF", "window": {"start": 0, "end": 9}, "label": "c"}
    attributes: dict[str, Any] = {
        "multiscales": [multiscale],
        "omero": {"channels": [channel]},
    }
    group.attrs.update(attributes if version == 2 else {"ome": attributes})
    names = (".zattrs", "0/.zarray", ".zgroup") if version == 2 else ("zarr.json",) * 2
    target = path / rng.choice((*names, *(["0/zarr.json"] if version == 3 else [])))
    if rng.randrange(5) == 0:
        target = rng.choice([p for p in sorted(path.rglob("*")) if p.is_file()])
        target.write_bytes(damaged(target.read_bytes(), rng))
    elif rng.randrange(12) == 0:
        chunk = next(p for p in sorted(path.rglob("*")) if "." not in p.name[1:])
        if chunk.is_file():
            chunk.unlink()
            chunk.symlink_to("/dev/zero")
    else:
        tree = mutated(json.loads(target.read_text()), rng)
        target.write_text(json.dumps(tree))
    return path
