"""TIFF stacks plane by plane: pixels, axes and metadata, in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from memnet_core.errors import ImageError
from memnet_core.io import (
    Calibration,
    create_image,
    open_image,
    probe,
    write_ome_tiff,
)
from memnet_core.io.tiff.ome_xml import note_of_ome

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io import ImageFile

LUTS = [np.repeat(np.arange(256, dtype=np.uint8)[None], 3, 0) * k for k in (1, 0)]
OME = {
    "axes": "TZCYX",
    "PhysicalSizeX": 0.2,
    "PhysicalSizeXUnit": "nm",
    "PhysicalSizeY": 0.4,
    "PhysicalSizeYUnit": "nm",
    "PhysicalSizeZ": 1.5,
    "PhysicalSizeZUnit": "µm",
    "TimeIncrement": 2.5,
    "Channel": {"Name": ["DAPI", "GFP é"], "EmissionWavelength": [450, 510]},
    "Plane": {"DeltaT": [0.5 * i for i in range(24)]},
}
IMAGEJ = {
    "axes": "TZCYX",
    "spacing": 1.5,
    "unit": "um",
    "finterval": 2.5,
    "mode": "composite",
    "LUTs": LUTS,
    "Ranges": (0.0, 255.0, 1.0, 99.0),
    "Labels": [f"plane {i}" for i in range(24)],
    "Info": "microscope",
    "Overlays": [b"overlay"],
}
KINDS: dict[str, dict[str, Any]] = {
    "ome": {"ome": True, "metadata": OME},
    "ome bigtiff": {"ome": True, "bigtiff": True, "metadata": OME},
    "ome tiled": {"ome": True, "tile": (16, 16), "metadata": OME},
    "ome lzw": {"ome": True, "compression": "lzw", "rowsperstrip": 5, "metadata": OME},
    "imagej": {"imagej": True, "resolution": (5, 2.5), "metadata": IMAGEJ},
    "imagej zlib": {"imagej": True, "compression": "zlib", "metadata": IMAGEJ},
    "shaped": {"metadata": {"axes": "TZCYX", "mine": 3}},
    "plain": {"metadata": None},
}


def noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    values = np.random.default_rng(0).integers(0, 256, shape)
    return (values / 256 if dtype.startswith("f") else values).astype(dtype)


def plane_of(file: ImageFile, plane: int) -> NDArray[Any]:
    _, height, width, _ = file.shape
    return file.read(plane, slice(0, height), slice(0, width))


def copied(
    source: Path, scale: int = 1, axes: str = ""
) -> tuple[Path, tuple[str, ...]]:
    """Copy a stack plane by plane, every pixel repeated `scale` times."""
    target = source.with_name("copy.tif")
    with open_image(source, axes) as file, create_image(target, file, scale) as sink:
        count, height, width, _ = sink.shape
        for plane in range(count):
            pixels = plane_of(file, plane).repeat(scale, 0).repeat(scale, 1)
            sink.write(plane, slice(0, height), slice(0, width), pixels)
    return target, sink.dropped


def ome_of(path: Path) -> dict[str, Any]:
    with tifffile.TiffFile(path) as file:
        described = tifffile.xml2dict(str(file.ome_metadata))
    pixels: dict[str, Any] = described["OME"]["Image"]["Pixels"]
    return pixels


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_axes_and_kind_return(kind: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(3, 4, 2, 20, 22, dtype=dtype)
    tifffile.imwrite(path, pixels, photometric="minisblack", **KINDS[kind])
    assert probe(path).is_stack
    target, dropped = copied(path)
    assert dropped == ()
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(target) as after:
        assert after.series[0].axes == before.series[0].axes
        assert after.series[0].kind == before.series[0].kind
        np.testing.assert_array_equal(
            after.series[0].asarray(), before.series[0].asarray(), strict=True
        )


@pytest.mark.parametrize("axes", ["TZCYX", "CZTYX", "ZTYX", "CYX", "ZYXS", "TCYXS"])
def test_ome_axes_in_any_order_return(axes: str, tmp_path: Path) -> None:
    sizes = {"T": 3, "Z": 4, "C": 2, "Y": 12, "X": 11, "S": 3}
    path = tmp_path / "a.ome.tif"
    pixels = noise(*(sizes[axis] for axis in axes), dtype="uint8")
    photometric = "rgb" if "S" in axes else "minisblack"
    tifffile.imwrite(path, pixels, photometric=photometric, metadata={"axes": axes})
    target, _ = copied(path)
    with tifffile.TiffFile(target) as file:
        assert file.series[0].axes == axes
        np.testing.assert_array_equal(file.series[0].asarray(), pixels)


def test_planes_that_are_no_pages_are_read_across_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(10, 11, 4)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "YXZ"})
    with open_image(path) as stack:
        assert (stack.axes, stack.sizes) == ("ZYX", (4, 10, 11))
        np.testing.assert_array_equal(plane_of(stack, 2)[..., 0], pixels[..., 2])


@pytest.mark.parametrize("scale", [1, 2])
def test_ome_metadata_survives_and_pixels_shrink(scale: int, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = noise(3, 4, 2, 20, 22)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=OME)
    before, after = ome_of(path), ome_of(copied(path, scale)[0])
    for name in ("TiffData", "BigEndian"):
        before.pop(name, None)
        after.pop(name, None)
    for name, size in (("SizeY", 20), ("SizeX", 22)):
        assert after[name] == size * scale
    for name in ("PhysicalSizeX", "PhysicalSizeY"):
        assert after[name] == before[name] / scale
    changed = ("SizeX", "SizeY", "PhysicalSizeX", "PhysicalSizeY")
    assert {k: v for k, v in after.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }


@pytest.mark.parametrize("scale", [1, 3])
def test_imagej_metadata_survives_and_pixels_shrink(scale: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(3, 4, 2, 20, 22)
    metadata = IMAGEJ | {"xorigin": 7}
    tifffile.imwrite(
        path, pixels, imagej=True, resolution=(5.0, 2.5), metadata=metadata
    )
    target, dropped = copied(path, scale)
    assert dropped == (() if scale == 1 else ("ImageJ Overlays",))
    with tifffile.TiffFile(path) as file:
        before = dict(file.imagej_metadata or {})
    with tifffile.TiffFile(target) as file:
        after = dict(file.imagej_metadata or {})
        x, y = (file.pages.first.tags[tag].value for tag in (282, 283))
    assert (x[0] / x[1], y[0] / y[1]) == pytest.approx((5 * scale, 2.5 * scale))
    assert after.pop("xorigin") == before.pop("xorigin") * scale
    for ours, theirs in zip(after.pop("LUTs"), before.pop("LUTs"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    before = {k: v for k, v in before.items() if scale == 1 or k != "Overlays"}
    assert after == before


@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_calibration_is_read_in_named_units(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(3, 4, 2, 20, 22)
    tifffile.imwrite(path, pixels, photometric="minisblack", **KINDS[kind])
    with open_image(path) as stack:
        known = stack.metadata.calibration
    if kind == "ome":
        assert known.spacing == {"T": 2.5, "Z": 1.5, "Y": 0.4, "X": 0.2}
        assert known.units["X"] == "nanometer"
        assert known.channel_names == ("DAPI", "GFP é")
    else:
        assert known.spacing == pytest.approx({"T": 2.5, "Z": 1.5, "Y": 0.4, "X": 0.2})
        assert known.units["X"] == known.units["Z"] == "micrometer"
    assert known.units["T"] == "second"


def test_full_resolution_of_a_pyramid_is_read_and_the_rest_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = noise(4, 64, 60)
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, subifds=1, tile=(16, 16), metadata={"axes": "ZYX"})
        file.write(pixels[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    target, dropped = copied(path)
    assert dropped == ("pyramid levels",)
    np.testing.assert_array_equal(tifffile.imread(target), pixels)


def test_named_axes_turn_pages_into_an_ome_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(5, 10, 11)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)
    target, _ = copied(path, axes="TYX")
    with tifffile.TiffFile(target) as file:
        assert (file.series[0].kind, file.series[0].axes) == ("ome", "TYX")


def test_named_axes_correct_those_of_an_imagej_hyperstack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "unit": "um"}
    tifffile.imwrite(
        path, noise(5, 10, 11), imagej=True, resolution=(4, 4), metadata=metadata
    )
    target, dropped = copied(path, axes="TYX")
    assert dropped == ("ImageJ metadata besides pixel sizes",)
    assert ome_of(target)["SizeT"] == 5
    assert ome_of(target)["PhysicalSizeX"] == 0.25


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ("YX", r"a.tif has 3 axes, 5×10×11 \(\w+\), but YX names 2"),
        ("ZYXS", "but ZYXS names 4"),
        ("YXS", "11 samples are no color; name another axis S"),
        ("QYX", "QYX are no axes"),
        ("ZZY", "ZZY are no axes"),
    ],
)
def test_axes_that_do_not_fit_are_refused(
    axes: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(5, 10, 11), photometric="minisblack")
    with pytest.raises(ImageError, match=reason):
        open_image(path, axes)


def test_damage_in_the_middle_is_found_when_its_plane_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, noise(5, 30, 30), photometric="minisblack", compression="zlib"
    )
    with tifffile.TiffFile(path) as file:
        offset = file.pages[3].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 200] = bytes(200)
    path.write_bytes(data)
    with open_image(path) as stack:
        assert plane_of(stack, 2).shape == (30, 30, 1)
        with pytest.raises(ImageError, match=r"a\.tif cannot be read"):
            plane_of(stack, 3)


def test_result_appears_when_its_last_plane_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    target = tmp_path / "b.tif"
    tifffile.imwrite(path, noise(3, 10, 11), photometric="minisblack")
    with open_image(path) as file, create_image(target, file) as sink:
        for plane in range(3):
            for rows in (slice(0, 7), slice(7, 10)):
                pixels = file.read(plane, rows, slice(0, 11))
                sink.write(plane, rows, slice(0, 11), pixels)
            assert not target.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_planes_out_of_order_or_missing_leave_nothing(tmp_path: Path) -> None:
    plane = noise(4, 5)
    for planes, reason in (
        ([plane], "there are 1 planes instead of 2"),
        (
            [plane] * 3,
            r"a window of plane 2 of shape \(4, 5, 1\) .* came where plane 2 of",
        ),
        ([plane.T], r"plane 0 of shape \(5, 4, 1\) .* came where"),
    ):
        with pytest.raises(ImageError, match=reason):
            write_ome_tiff(
                tmp_path / "a.tif",
                planes,
                axes="ZYX",
                sizes=(2, 4, 5),
                dtype=plane.dtype,
            )
    assert not list(tmp_path.iterdir())


def test_an_ome_tiff_keeps_its_name_its_notes_and_how_it_was_made(
    tmp_path: Path,
) -> None:
    path, note = tmp_path / "a.ome.tif", '{"name": "<σ> & co", "n": [1, 2]}'
    write_ome_tiff(
        path,
        noise(2, 8, 9),
        axes="ZYX",
        sizes=(2, 8, 9),
        dtype=np.dtype(np.uint16),
        name="cells <1>",
        notes={"mine": note},
        provenance="memnet 1 {}",
    )
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata or ""
        assert tifffile.xml2dict(xml)["OME"]["Image"]["Name"] == "cells <1>"
        assert file.pages.first.tags.valueof(305) == "memnet 1 {}"
    assert note_of_ome(xml, "mine") == note
    assert note_of_ome(xml, "yours") == ""
    assert note_of_ome("<OME", "mine") == ""


def test_ome_tiff_of_lazy_planes(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = noise(2, 3, 8, 9)
    write_ome_tiff(
        path,
        (plane for part in pixels for plane in part),
        axes="CZYX",
        sizes=pixels.shape,
        dtype=pixels.dtype,
        calibration=Calibration(
            spacing={"X": 0.1, "Y": 0.1, "Z": 2.0},
            units={"X": "micrometer", "Y": "micrometer", "Z": "micrometer"},
            channel_names=("red", "green"),
        ),
    )
    np.testing.assert_array_equal(tifffile.imread(path), pixels)
    found = ome_of(path)
    assert (found["PhysicalSizeX"], found["PhysicalSizeZ"]) == (0.1, 2)
    assert found["PhysicalSizeXUnit"] == "µm"
    assert [channel["Name"] for channel in found["Channel"]] == ["red", "green"]


@pytest.mark.parametrize("axes", ["YXZ", "QYX", "ZZYX", "ZY"])
def test_axes_that_ome_does_not_know_are_refused(axes: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="are not those of an OME-TIFF"):
        write_ome_tiff(
            tmp_path / "a.tif",
            [],
            axes=axes,
            sizes=(1,) * len(axes),
            dtype=np.dtype("uint8"),
        )


def test_damaged_ome_xml_is_named_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
    tifffile.imwrite(path, noise(3, 8, 9), **options)
    path.write_bytes(path.read_bytes().replace(b"<Image ", b"<Imag  "))
    target, dropped = copied(path)
    assert dropped == ("OME metadata (not understood)",)
    np.testing.assert_array_equal(tifffile.imread(target), tifffile.imread(path))
