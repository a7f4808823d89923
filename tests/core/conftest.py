"""Files and folders that hold several images, and images that lie in several files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import tifffile
import zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def _plane(seed: int) -> NDArray[np.uint16]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 4000, (20, 24)).astype(np.uint16)


@pytest.fixture
def plane() -> Callable[[int], NDArray[np.uint16]]:
    """Make a plane of noise, 20 × 24 px, that depends on a number."""
    return _plane


@pytest.fixture
def ome_set() -> Callable[..., list[Path]]:
    """Write a set of OME-TIFFs of one page each.

    `images` names the files of each image, along Z; every file describes all of them,
    or names what does as `companion`. Plane number n over all images is `plane(n)`.
    """

    def ome_set(
        folder: Path,
        images: Sequence[Sequence[str]],
        *,
        companion: str = "",
        without: Sequence[str] = (),
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        uuids = {name: f"urn:uuid:{name}" for image in images for name in image}
        described = "".join(
            f'<Image ID="Image:{i}" Name="position {i}"><Pixels ID="Pixels:{i}" '
            f'DimensionOrder="XYZCT" Type="uint16" SizeX="24" SizeY="20" SizeC="1" '
            f'SizeZ="{len(image)}" SizeT="1" PhysicalSizeX="0.5">'
            f'<Channel ID="Channel:{i}:0" Name="GFP" SamplesPerPixel="1"/>'
            + "".join(
                f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
                f'<UUID FileName="{name}">{uuids[name]}</UUID></TiffData>'
                for z, name in enumerate(image)
            )
            + "</Pixels></Image>"
            for i, image in enumerate(images)
        )
        if companion:
            text = f'<OME xmlns="{_OME}" UUID="urn:uuid:companion">{described}</OME>'
            (folder / companion).write_text(text)
            described = f'<BinaryOnly MetadataFile="{companion}" UUID="urn:uuid:c"/>'
        for number, (name, uuid) in enumerate(uuids.items()):
            if name not in without:
                xml = f'<OME xmlns="{_OME}" UUID="{uuid}">{described}</OME>'
                tifffile.imwrite(
                    folder / name, _plane(number), description=xml, metadata=None
                )
        return [folder / name for name in uuids if name not in without]

    return ome_set


def _image(group: zarr.Group, name: str, seed: int) -> None:
    image = group.create_group(name)
    pixels = _plane(seed)[None]
    array = image.create_array("0", shape=pixels.shape, dtype=pixels.dtype)
    array[...] = pixels
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    scale = {"type": "scale", "scale": [1.0, 0.5, 0.5]}
    described: dict[str, Any] = {
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    if group.metadata.zarr_format == 2:
        image.attrs["multiscales"] = [{"version": "0.4", **described}]
    else:
        image.attrs["ome"] = {"version": "0.5", "multiscales": [described]}


@pytest.fixture(params=[2, 3], ids=["ngff 0.4", "ngff 0.5"])
def zarr_format(request: pytest.FixtureRequest) -> Literal[2, 3]:
    """Give the version of Zarr."""
    return 2 if request.param == 2 else 3


@pytest.fixture
def plate(zarr_format: Literal[2, 3]) -> Callable[[Path], Path]:
    """Write a plate of two wells, A/1 with two fields and A/2 with one."""

    def plate(path: Path) -> Path:
        root: Any = zarr.open_group(path, mode="w", zarr_format=zarr_format)

        def describe(group: Any, what: dict[str, Any]) -> None:
            version = {2: "0.4", 3: "0.5"}[zarr_format]
            if zarr_format == 3:
                group.attrs["ome"] = {"version": version, **what}
            else:
                group.attrs.update(what)

        wells = [
            {"path": f"A/{c}", "rowIndex": 0, "columnIndex": c - 1} for c in (1, 2)
        ]
        rows, columns = [{"name": "A"}], [{"name": "1"}, {"name": "2"}]
        named = {"name": "mine", "rows": rows, "columns": columns, "wells": wells}
        describe(root, {"plate": named})
        row = root.create_group("A")
        for column, fields in (("1", 2), ("2", 1)):
            well = row.create_group(column)
            images = [{"path": str(n), "acquisition": 7} for n in range(fields)]
            describe(well, {"well": {"images": images}})
            for n in range(fields):
                _image(well, str(n), 10 * int(column) + n)
        return path

    return plate


@pytest.fixture
def collection(zarr_format: Literal[2, 3]) -> Callable[[Path], Path]:
    """Write what bioformats2raw makes of a file with two series."""

    def collection(path: Path) -> Path:
        root: Any = zarr.open_group(path, mode="w", zarr_format=zarr_format)
        ome = root.create_group("OME")
        layout, series = {"bioformats2raw.layout": 3}, {"series": ["0", "1"]}
        if zarr_format == 3:
            root.attrs["ome"] = {"version": "0.5", **layout}
            ome.attrs["ome"] = {"version": "0.5", **series}
        else:
            root.attrs.update(layout)
            ome.attrs.update(series)
        for n in range(2):
            _image(root, str(n), n)
        described = "".join(
            f'<Image ID="Image:{n}"><Pixels DimensionOrder="XYZCT" ID="Pixels:{n}" '
            'Type="uint16" SizeX="24" SizeY="20" SizeZ="1" SizeC="1" SizeT="1" '
            'PhysicalSizeX="0.5"><MetadataOnly/></Pixels></Image>'
            for n in range(2)
        )
        text = f'<OME xmlns="{_OME}">{described}</OME>'
        (path / "OME" / "METADATA.ome.xml").write_text(text)
        return path

    return collection
