"""Files with several images: each is found, and what is no image is named."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from memnet_core.errors import ImageError
from memnet_core.io import create_scenes, open_image, open_scenes, probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Plane = Callable[[int], NDArray[np.uint16]]


def positions(
    path: Path, plane: Plane, names: tuple[str, ...] = ("left", "right")
) -> Path:
    """Write an OME-TIFF of positions, each with two channels and one row more."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for n, name in enumerate(names):
            stack = np.stack([plane(2 * n), plane(2 * n + 1)])[:, : 18 + n]
            named = {"axes": "CYX", "Name": name, "PhysicalSizeX": 0.5 + n}
            file.write(stack, metadata=named, photometric="minisblack")
    return path


def contents(path: Path) -> list[NDArray[Any]]:
    with open_scenes(path) as scenes:
        return [scenes.open(n).image().pixels for n in range(len(scenes))]


def test_scenes_of_an_ome_tiff_are_opened_by_number_and_by_name(
    tmp_path: Path, plane: Plane
) -> None:
    path = positions(tmp_path / "a.ome.tif", plane)
    with open_scenes(path) as scenes:
        assert scenes.names == ("left", "right")
    expected = np.stack([plane(2), plane(3)])[:, :19]
    for scene in (1, "1", "right"):
        with open_image(path, scene=scene) as image:
            np.testing.assert_array_equal(image.image().pixels, expected)
            assert image.metadata.calibration.spacing["X"] == 1.5
    assert probe(path).scenes == 2
    assert probe(path).megapixels == pytest.approx(2 * (18 + 19) * 24 / 1e6)


@pytest.mark.parametrize(
    ("names", "scene", "reason"),
    [
        (("left", "right"), None, "scene 0 'left', scene 1 'right'; choose one"),
        (("left", "right"), 2, "2 is none of them"),
        (("left", "right"), -1, "-1 is none of them"),
        (("left", "right"), "top", "'top' is none of them"),
        (("left", "left"), "left", "several are called 'left', choose one by its"),
    ],
)
def test_scene_that_is_not_clear_is_asked_for(
    names: tuple[str, ...], scene: Any, reason: str, tmp_path: Path, plane: Plane
) -> None:
    path = positions(tmp_path / "a.ome.tif", plane, names)
    with pytest.raises(ImageError, match=f"it holds 2, .*{reason}"):
        open_image(path, scene=scene)


def test_scenes_are_written_as_they_were_read(tmp_path: Path, plane: Plane) -> None:
    path = positions(tmp_path / "a.ome.tif", plane)
    copy = tmp_path / "b.ome.tif"
    with open_scenes(path) as scenes:
        likes = [scenes.open(n) for n in range(2)]
        with create_scenes(copy, likes) as sinks:
            for like, sink in zip(likes, sinks, strict=True):
                count, height, width, _ = like.shape
                for n in range(count):
                    part = n, slice(0, height), slice(0, width)
                    sink.write(*part, like.read(*part))
    for before, after in zip(contents(path), contents(copy), strict=True):
        np.testing.assert_array_equal(before, after)
    with tifffile.TiffFile(copy) as file:
        assert [(s.name, s.axes) for s in file.series] == [
            ("left", "CYX"),
            ("right", "CYX"),
        ]
    with open_image(copy, scene="right") as image:
        assert image.metadata.calibration.spacing["X"] == 1.5


def test_pages_of_a_plain_tiff_are_scenes_in_their_order(
    tmp_path: Path, plane: Plane
) -> None:
    path = tmp_path / "scan.tif"
    pages = [plane(0), plane(1)[:9], plane(2)[:9], plane(3)]
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, metadata=None)
    found = contents(path)
    np.testing.assert_array_equal(found[0], pages[0])
    np.testing.assert_array_equal(found[1], np.stack(pages[1:3]))
    np.testing.assert_array_equal(found[2], pages[3])


def test_stack_with_one_other_page_in_its_midst_loses_none(
    tmp_path: Path, plane: Plane
) -> None:
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as file:
        for n in range(12):
            file.write(plane(n)[: 10 if n == 4 else 20], metadata=None)
    assert [pixels.shape for pixels in contents(path)] == [
        (4, 20, 24),
        (10, 24),
        (7, 20, 24),
    ]


@pytest.mark.parametrize("subfiletype", [1, 4, 9])
def test_thumbnails_and_masks_are_named_and_left_out(
    subfiletype: int, tmp_path: Path, plane: Plane
) -> None:
    path = tmp_path / "photo.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(plane(0), metadata=None)
        small = plane(1)[:7, :9] > 2000
        file.write(small, metadata=None, subfiletype=subfiletype)
    with open_image(path) as image:
        np.testing.assert_array_equal(image.image().pixels, plane(0))
        mark = "mask" if subfiletype == 4 else "reduced"
        assert image.metadata.dropped == (f"page 1 (marked as {mark})",)


def test_picture_below_its_thumbnail_is_the_scene(tmp_path: Path, plane: Plane) -> None:
    path = tmp_path / "raw.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(plane(1)[:7, :9], metadata=None, subfiletype=1, subifds=1)
        file.write(plane(0), metadata=None)
    with open_image(path) as image:
        np.testing.assert_array_equal(image.image().pixels, plane(0))


def test_file_of_nothing_but_a_thumbnail_is_an_image(
    tmp_path: Path, plane: Plane
) -> None:
    path = tmp_path / "small.tif"
    tifffile.imwrite(path, plane(0), metadata=None, subfiletype=1)
    with open_image(path) as image:
        np.testing.assert_array_equal(image.image().pixels, plane(0))


@pytest.mark.parametrize("name", ["label", "Macro", "label image", "Thumbnail"])
def test_pictures_of_a_slide_itself_are_named_and_left_out(
    name: str, tmp_path: Path, plane: Plane
) -> None:
    path = positions(tmp_path / "slide.ome.tif", plane, ("scan", name, "second"))
    with open_scenes(path) as scenes:
        assert scenes.names == ("scan", "second")
        assert scenes.left_out == (f"image {name!r} (shows no specimen)",)
        with scenes.open(1) as image:
            assert image.shape[1] == 20
            assert image.metadata.calibration.spacing["X"] == 2.5


def test_index_of_micro_manager_leads_to_no_other_file(
    tmp_path: Path, plane: Plane
) -> None:
    """Write what tifffile takes for NDTiff, with an index that names a secret."""
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(tmp_path / "secret.tif", plane(9), metadata=None)
    pixels = plane(0).tobytes()
    tags = [
        (256, 3, 1, 24),
        (257, 3, 1, 20),
        (258, 3, 1, 16),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 200),
        (277, 3, 1, 1),
        (278, 3, 1, 20),
        (279, 4, 1, len(pixels)),
        (51123, 2, 8, 180),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", *tag) for tag in tags
    )
    head = b"II*\0" + struct.pack("<I", 40)
    head += struct.pack("<IIIII", 483729, 3, 0, 2355492, 2) + b"{}"
    content = head.ljust(40, b"\0") + directory + b"\0" * 4
    content = content.ljust(180, b"\0") + b'{"a":1}\0'
    (folder / "a.tif").write_bytes(content.ljust(200, b"\0") + pixels)
    index = b""
    for n, name in enumerate((b"a.tif", b"../secret.tif")):
        axes = b'{"z": %d}' % n
        index += struct.pack("<I", len(axes)) + axes
        index += struct.pack("<I", len(name)) + name
        index += struct.pack("<IiiiiIii", 200, 24, 20, 1, 0, 0, 0, 0)
    (folder / "NDTiff.index").write_bytes(index)
    with tifffile.TiffFile(folder / "a.tif") as file:
        assert file.is_ndtiff
        assert file.series[0].shape == (2, 20, 24)
    with open_image(folder / "a.tif") as image:
        np.testing.assert_array_equal(image.image().pixels, plane(0))
