"""Hostile images that are several files, or hold several images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tifffile
from mutations import damaged, mutated, mutated_text, pixels

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["ome_set", "plate"]


def ome_set(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write two files of two images, each of which names the other."""
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


def plate(folder: Path, rng: random.Random, model: Path) -> Path:
    """Write a plate of two fields, or a collection of two images."""
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
