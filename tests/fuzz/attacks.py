"""Files that mean harm: small whole ones, and what a seeded generator makes of them."""

from __future__ import annotations

import copy
import io
import json
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import yaml
from PIL import Image, PngImagePlugin

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["KINDS", "Kind", "prepare"]

ESCAPE = "\x1b]0;pwned\x07\x9b31m\u202e"
DENOISE = ("batch", "--task", "denoise", "--sigma", "25", "--model", "{model}")

HOSTILE: list[Any] = [
    None,
    "",
    ESCAPE,
    "$\\frac{$",
    "../../outside",
    "/dev/zero",
    "a\0b",
    "\ud800",
    True,
    0,
    -1,
    2**31,
    2**63,
    10**30,
    1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [[[[]]]],
    {"": {"": {}}},
    "9" * 5000,
]
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Kind:
    """A kind of attack.

    Attributes
    ----------
    make : callable
        Writes a hostile file into a folder, from a generator; returns its path.
    commands : tuple
        Arguments of the command; ``{file}``, ``{out}``, ``{model}`` are filled in.
    """

    make: Callable[[Path, random.Random, Path], Path]
    commands: tuple[tuple[str, ...], ...]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with some flipped, cut, repeated, or set to a tempting number."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if not content:
            break
        # Headers come first, and decide more than pixels do.
        most = rng.choice((64, 512, len(content)))
        at = rng.randrange(min(most, len(content)))
        action = rng.randrange(7)
        if action == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            del content[at:]
        elif action == 2:
            del content[at : at + rng.randrange(1, 64)]
        elif action == 3:
            content[at:at] = content[at : at + rng.randrange(1, 64)]
        elif action == 4:
            width, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
            number = rng.choice(NUMBERS) & (256**width - 1)
            content[at : at + width] = number.to_bytes(width, order)
        elif action == 5:
            content[at:at] = rng.randbytes(rng.randrange(1, 32))
        else:
            other = rng.randrange(len(content))
            content[at : at + 8], content[other : other + 8] = (
                content[other : other + 8],
                content[at : at + 8],
            )
    return bytes(content)


def mutated(tree: Any, rng: random.Random) -> Any:
    """Return JSON with nodes replaced, removed, renamed or repeated."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places: list[tuple[Any, Any]] = []
        nodes = [tree]
        while nodes:
            node = nodes.pop()
            keys = node if isinstance(node, dict) else range(len(node))
            for key in keys:
                places.append((node, key))
                if isinstance(node[key], dict | list):
                    nodes.append(node[key])
        if not places:
            return rng.choice(HOSTILE)
        node, key = rng.choice(places)
        action = rng.randrange(6)
        if action == 0:
            del node[key]
        elif action == 1 and isinstance(node, dict):
            node[rng.choice((ESCAPE, "extra", ""))] = node.pop(key)
        elif action == 2 and isinstance(node[key], list):
            node[key] *= 20
        else:
            node[key] = copy.deepcopy(rng.choice(HOSTILE))
    return tree


def mutated_text(text: str, pattern: str, rng: random.Random) -> str:
    """Return a text with the values that a pattern finds replaced."""
    found = list(re.finditer(pattern, text))
    for match in sorted(
        rng.sample(found, min(len(found), rng.choice((1, 1, 2, 4)))),
        key=lambda match: -match.start(),
    ):
        value = str(rng.choice(HOSTILE)).encode("ascii", "backslashreplace").decode()
        if rng.randrange(3) == 0:
            value = str(rng.choice(NUMBERS))
        text = text[: match.start(1)] + value + text[match.end(1) :]
    return text


def pixels(*shape: int, dtype: str = "uint8") -> np.ndarray[Any, Any]:
    """Return noise."""
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


def _png(folder: Path, rng: random.Random, model: Path) -> Path:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", rng.choice(("a", "\x1b[31m", "\x9b31m")))
    info.add_text("Comment", "b" * 100, zip=True)
    buffer = io.BytesIO()
    Image.fromarray(pixels(24, 24, 3)).save(buffer, "PNG", pnginfo=info, dpi=(72, 72))
    data = buffer.getvalue()
    if rng.randrange(2):  # a whole file with a header that lies
        sides = [rng.choice((1, 24, 1000, 13_300, 2**20, 2**31 - 1)) for _ in "HW"]
        depth, colour = rng.choice((1, 2, 8, 16)), rng.choice((0, 2, 3, 4, 6))
        header = struct.pack(">II5B", *sides, depth, colour, 0, 0, rng.randrange(2))
        chunk = b"IHDR" + header
        data = data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    else:
        data = damaged(data, rng)
    path = folder / "a.png"
    path.write_bytes(data)
    return path


def _jpeg(folder: Path, rng: random.Random, model: Path) -> Path:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = rng.randrange(10), ESCAPE
    Image.fromarray(pixels(32, 40, 3)).save(
        buffer, "JPEG", quality=20, progressive=rng.random() < 0.3, exif=exif
    )
    path = folder / "a.jpg"
    path.write_bytes(damaged(buffer.getvalue(), rng))
    return path


def _tiff(folder: Path, rng: random.Random, model: Path) -> Path:
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


def _ome_xml(folder: Path, rng: random.Random, model: Path) -> Path:
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


def _imagej(folder: Path, rng: random.Random, model: Path) -> Path:
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


def _ome_zarr(folder: Path, rng: random.Random, model: Path) -> Path:
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


def _ome_set(folder: Path, rng: random.Random, model: Path) -> Path:
    """Two files of two images, each of which names the other."""
    names = ("a.ome.tif", rng.choice(("b.ome.tif", "../outside/b.tif", "/dev/zero")))
    images = "".join(
        f'<Image ID="Image:{i}" Name="{i}"><Pixels ID="Pixels:{i}" Type="uint8" '
        'DimensionOrder="XYZCT" SizeX="24" SizeY="16" SizeZ="2" SizeC="1" SizeT="1">'
        + "".join(
            f'<TiffData IFD="{i}" FirstZ="{z}" PlaneCount="1">'
            f'<UUID FileName="{name}">urn:{name}</UUID></TiffData>'
            for z, name in enumerate(names)
        )
        + "</Pixels></Image>"
        for i in range(2)
    )
    for name in ("a.ome.tif", "b.ome.tif"):
        text = f'<OME xmlns="urn:ome" UUID="urn:{name}">{images}</OME>'
        if rng.randrange(3):
            text = mutated_text(text, r'="([^"]*)"', rng)
        if rng.randrange(9) == 0:
            text = '<OME><BinaryOnly MetadataFile="b.ome.tif"/></OME>'
        with tifffile.TiffWriter(folder / name) as file:
            for page in range(2):
                described = text.encode("ascii", "xmlcharrefreplace")
                file.write(
                    pixels(16, 24),
                    metadata=None,
                    description=None if page else described,
                )
        if rng.randrange(5) == 0:
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(damaged(data, rng))
    return folder / "a.ome.tif"


def _plate(folder: Path, rng: random.Random, model: Path) -> Path:
    """A plate of two fields, or a collection of two images."""
    import zarr

    path = folder / "a.zarr"
    version = rng.choice((2, 3))
    root = zarr.open_group(path, mode="w", zarr_format=version)  # type: ignore[arg-type]
    levels = {"multiscales": [{"axes": [{"name": a} for a in "yx"]}]}
    levels["multiscales"][0]["datasets"] = [{"path": "0"}]
    wells = [{"path": "A/1"}, {"path": "A/2"}]
    groups: dict[str, Any] = {"": {"plate": {"wells": wells}}}
    groups |= {well["path"]: {"well": {"images": [{"path": "0"}]}} for well in wells}
    images = ["A/1/0", "A/2/0"]
    if rng.randrange(2):
        groups = {"": {"bioformats2raw.layout": 3}, "OME": {"series": ["0", "1"]}}
        images = ["0", "1"]
    for name in images:
        group = root.require_group(name)
        group.attrs.update(levels if version == 2 else {"ome": levels})
        array = group.create_array("0", shape=(16, 24), dtype="u1")
        array[:] = pixels(16, 24)
    target = rng.choice((*groups, images[0]))
    for name, described in groups.items():
        told: Any = mutated(described, rng) if name == target else described
        if not isinstance(told, dict):
            told = {"plate": told}
        group = root.require_group(name) if name else root
        group.attrs.update(told if version == 2 else {"ome": told})
    if rng.randrange(4) == 0:
        link = path / images[0]
        link.rename(path / "moved")
        link.symlink_to(rng.choice((path, folder, path / "moved")))
    return path


def _model(folder: Path, rng: random.Random, model: Path) -> Path:
    data = model.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    path = folder / "a.safetensors"
    if rng.randrange(2):
        path.write_bytes(damaged(data, rng))
        return path
    header = json.loads(data[8 : 8 + size])
    if rng.randrange(2):
        header = mutated(header, rng)
    else:
        card = json.loads(header["__metadata__"]["memnet"])
        header["__metadata__"]["memnet"] = json.dumps(mutated(card, rng))
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return path


def _settings(folder: Path, rng: random.Random, model: Path) -> Path:
    path = folder / "a.yaml"
    settings = yaml.safe_load((model.parent / "run" / "config.yaml").read_text())
    text = json.dumps(mutated(settings, rng))
    if rng.randrange(2):
        text = mutated_text(yaml.safe_dump(settings), r": (\S+)", rng)
    if rng.randrange(4) == 0:
        extra = (
            "!!int x",
            "&a [*a]",
            "2024-99-99",
            "!!python/name:os.system",
            "?",
            "\0",
        )
        text += f"\nname: {rng.choice(extra)}\n"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


def _run_file(name: str) -> Callable[[Path, random.Random, Path], Path]:
    def make(folder: Path, rng: random.Random, model: Path) -> Path:
        import shutil

        run = folder / "run"
        shutil.copytree(model.parent / "run", run)
        path = run / name
        path.write_bytes(damaged(path.read_bytes(), rng))
        return run

    return make


def _plan(folder: Path, rng: random.Random, model: Path) -> Path:
    import shutil

    shutil.copytree(model.parent / "planned", folder / "planned")
    (plan,) = (folder / "planned").glob(".*.memnet/plan.json")
    tree = mutated(json.loads(plan.read_text()), rng)
    text = json.dumps(tree)
    content = text.encode()
    plan.write_bytes(damaged(content, rng) if rng.randrange(4) == 0 else content)
    return folder / "planned"


IMAGE = (("info", "{file}"), (*DENOISE, "{file}", "{out}"))
TRAIN = ("--device", "cpu", "--steps", "1", "--out", "{out}")

KINDS = {
    "PNG": Kind(_png, IMAGE),
    "JPEG": Kind(_jpeg, IMAGE),
    "TIFF": Kind(_tiff, IMAGE),
    "OME-XML": Kind(_ome_xml, IMAGE),
    "ImageJ text": Kind(_imagej, IMAGE),
    "OME-Zarr": Kind(_ome_zarr, IMAGE),
    "OME set": Kind(_ome_set, IMAGE),
    "plate": Kind(_plate, IMAGE),
    "model": Kind(_model, (("models", "info", "{file}"), ("models", "add", "{file}"))),
    "settings": Kind(_settings, (("train", "--config", "{file}", *TRAIN),)),
    "state": Kind(_run_file("last.pt"), (("train", "--resume", "--out", "{file}"),)),
    "log": Kind(_run_file("log.csv"), (("train", "--resume", "--out", "{file}"),)),
    "plan": Kind(_plan, ((*DENOISE, "--format", "ome-zarr", "{stack}", "{file}"),)),
}


def prepare(folder: Path) -> None:
    """Write a tiny model, a paused run and a planned result."""
    from memnet_core.model.architecture import Architecture
    from memnet_core.model.file import save_model
    from memnet_core.model.network import MemNet
    from memnet_core.tasks import Levels
    from memnet_core.training.loop import Trainer
    from memnet_core.training.recipes import config_from, write_config
    from memnet_core.training.session import sitting

    model = folder / "tiny.safetensors"
    small: dict[str, Any] = {
        "memory_blocks": 1,
        "recursions": 1,
        "channels": 2,
        "unshuffle": 1,
    }
    save_model(
        model,
        MemNet(Architecture(**small)).eval(),
        name="tiny",
        task="denoise",
        levels=Levels(values=(5, 75), continuous=True),
        version="1",
        licence="none",
        description=ESCAPE,
    )
    (folder / "images").mkdir()
    Image.fromarray(pixels(64, 64)).save(folder / "images" / "a.png")
    stack = pixels(3, 16, 24)
    tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack")
    settings = {
        "data": [str(folder / "images")],
        "out": str(folder / "run"),
        "steps": 4,
        "architecture": small,
        "phases": [{"until": 1, "patch": 16, "batch": 2}],
        "recalibration_batches": 1,
        "validations": 1,
        "report_every": 1e-6,
    }
    config = config_from(settings)
    write_config(config)
    for _ in sitting(Trainer(config, "cpu"), stop_at=2):
        pass
    _begin_result(folder, model)


def _begin_result(folder: Path, model: Path) -> None:
    """Plan an OME-Zarr result, as a run does that is killed at once."""
    from memnet_core.batch import find_inputs, plan_jobs
    from memnet_core.batch.shared import begin
    from memnet_core.restoration.settings import Settings

    planned = folder / "planned"
    planned.mkdir()
    found = find_inputs([str(folder / "stack.tif")], planned, recursive=False)
    (job,) = plan_jobs(found.sources, planned, "ome-zarr", overwrite=False)
    begin(job, Settings(task="denoise", level=25.0, model=str(model)))
