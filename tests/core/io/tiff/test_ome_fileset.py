"""OME-TIFFs of several files: what belongs together, and what may not be touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from memnet_core.io import is_set_member, open_image, open_scenes, set_members

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Plane = Callable[[int], NDArray[np.uint16]]
    Write = Callable[..., list[Path]]

NAMES = ("z0.ome.tif", "z1.ome.tif", "z2.ome.tif")


@pytest.mark.parametrize("companion", ["", "set.companion.ome"])
@pytest.mark.parametrize("number", range(3))
def test_every_file_of_a_set_opens_the_whole(
    number: int, companion: str, tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    files = ome_set(tmp_path, [NAMES], companion=companion)
    with open_image(files[number]) as image:
        assert image.axes == "ZYX"
        np.testing.assert_array_equal(
            image.image().pixels, np.stack([plane(n) for n in range(3)])
        )
        assert image.metadata.dropped == ()
        assert image.metadata.calibration.spacing["X"] == 0.5
    assert set_members(files[number]) == tuple(
        file for file in files if file != files[number]
    )


def test_file_of_the_set_may_hold_the_description_of_the_others(
    tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    first, second = ome_set(tmp_path, [NAMES[:2]])
    xml = (
        f'<OME UUID="urn:uuid:{NAMES[1]}"><BinaryOnly MetadataFile="{NAMES[0]}"/></OME>'
    )
    tifffile.imwrite(second, plane(1), description=xml, metadata=None)
    with open_image(second) as image:
        np.testing.assert_array_equal(
            image.image().pixels, np.stack([plane(0), plane(1)])
        )
    assert set_members(second) == (first,)


def test_what_is_missing_is_said_and_what_is_there_is_read(
    tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    first, _ = ome_set(tmp_path, [NAMES], without=[NAMES[1]])
    with open_image(first) as image:
        pixels = image.image().pixels
        assert image.metadata.dropped == (
            "planes in 'z1.ome.tif' (not there or damaged)",
        )
    empty = np.zeros((20, 24), np.uint16)
    np.testing.assert_array_equal(pixels, np.stack([plane(0), empty, plane(2)]))


@pytest.mark.parametrize("damage", ["truncated", "text", "folder"])
def test_damaged_file_of_a_set_is_as_good_as_missing(
    damage: str, tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    first, second = ome_set(tmp_path, [NAMES[:2]])
    content = second.read_bytes()
    second.unlink()
    if damage == "folder":
        second.mkdir()
    else:
        second.write_bytes(content[:-500] if damage == "truncated" else b"no image")
    with open_image(first) as image:
        np.testing.assert_array_equal(image.image().pixels[0], plane(0))
        assert image.metadata.dropped == (
            "planes in 'z1.ome.tif' (not there or damaged)",
        )


def test_companion_that_is_missing_leaves_the_pixels(
    tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    first, _ = ome_set(tmp_path, [NAMES[:2]], companion="set.companion.ome")
    (tmp_path / "set.companion.ome").unlink()
    with open_image(first) as image:
        np.testing.assert_array_equal(image.image().pixels, plane(0))
        assert image.metadata.dropped == (
            "OME metadata (its file 'set.companion.ome' is not there)",
        )


@pytest.mark.parametrize(
    "name",
    [
        "../secret/private.tif",
        "{secret}/private.tif",
        "..\\secret\\private.tif",
        "sub/private.tif",
        "..",
        "",
    ],
)
@pytest.mark.parametrize("what", ["plane", "description"])
def test_nothing_outside_of_the_folder_is_read(
    what: str, name: str, tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    secret = tmp_path / "secret" / "private.tif"
    for folder in (secret.parent, tmp_path / "in" / "sub"):
        folder.mkdir(parents=True)
        tifffile.imwrite(folder / "private.tif", plane(9), metadata=None)
    named = name.format(secret=secret.parent)
    folder = tmp_path / "in"
    if what == "plane":
        (path,) = ome_set(folder, [[NAMES[0], "x.tif"]], without=["x.tif"])
        xml = str(tifffile.tiffcomment(path)).replace(
            'FileName="x.tif"', f'FileName="{named}"'
        )
    else:
        (path,) = ome_set(folder, [[NAMES[0]]])
        xml = f'<OME><BinaryOnly MetadataFile="{named}"/></OME>'
    tifffile.imwrite(path, plane(0), description=xml, metadata=None)
    with open_scenes(path) as scenes:
        image = scenes.open(0)
        pixels = image.image().pixels
    if what == "plane":
        (lost,) = image.metadata.dropped
        reason = "outside of its folder, not read" if name else "not there or damaged"
        assert lost.endswith(f" ({reason})")
    assert not (pixels == plane(9)).all(axis=(-2, -1)).any()
    np.testing.assert_array_equal(pixels.reshape(-1, 20, 24)[0], plane(0))
    assert set_members(path) == ()


def test_positions_in_files_of_their_own_stay_apart(
    tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    files = ome_set(tmp_path, [[NAMES[0]], [NAMES[1]]])
    for number, file in enumerate(files):
        assert set_members(file) == ()
        with open_scenes(file) as scenes:
            assert scenes.names == (f"position {number}",)
            np.testing.assert_array_equal(
                np.squeeze(scenes.open(0).image().pixels), plane(number)
            )


def test_images_that_share_files_are_scenes_of_one_set(
    tmp_path: Path, ome_set: Write
) -> None:
    files = ome_set(tmp_path, [[NAMES[0], NAMES[1]], [NAMES[1], NAMES[2]], ["x.tif"]])
    for file in files[:3]:
        with open_scenes(file) as scenes:
            assert scenes.names == ("position 0", "position 1")
    with open_scenes(files[3]) as scenes:
        assert scenes.names == ("position 2",)


def test_file_that_was_renamed_is_still_its_own(
    tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    (path,) = ome_set(tmp_path, [[NAMES[0]]])
    xml = str(tifffile.tiffcomment(path)).replace(' UUID="urn:uuid:z0.ome.tif"', "")
    renamed = tmp_path / "renamed.tif"
    tifffile.imwrite(renamed, plane(0), description=xml, metadata=None)
    path.unlink()
    with open_image(renamed) as image:
        np.testing.assert_array_equal(np.squeeze(image.image().pixels), plane(0))
        assert image.metadata.dropped == ()


def test_file_that_describes_itself_is_no_member(
    tmp_path: Path, ome_set: Write
) -> None:
    first, second = ome_set(tmp_path, [NAMES[:2]])
    (other,) = ome_set(tmp_path / "other", [["alone.ome.tif"]])
    assert is_set_member(second, first)
    assert not is_set_member(other, first)


def test_description_that_does_not_fit_its_pages_is_given_up(
    tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    (path,) = ome_set(tmp_path, [[NAMES[0]]])
    xml = str(tifffile.tiffcomment(path))
    with tifffile.TiffWriter(path) as file:
        file.write(plane(0)[:10], description=xml, metadata=None)
        file.write(plane(1), metadata=None)
    with open_scenes(path) as scenes:
        found = [scenes.open(n) for n in range(len(scenes))]
        np.testing.assert_array_equal(found[0].image().pixels, plane(0)[:10])
        np.testing.assert_array_equal(found[1].image().pixels, plane(1))
        lost = ("OME metadata (does not fit its pages)",)
        assert [image.metadata.dropped for image in found] == [lost, lost]


def test_image_that_does_not_fit_its_pages_is_named_beside_others(
    tmp_path: Path, ome_set: Write, plane: Plane
) -> None:
    (path,) = ome_set(tmp_path, [[NAMES[0]], [NAMES[0]]])
    first, second, rest = str(tifffile.tiffcomment(path)).rpartition('SizeX="24"')
    xml = f'{first}SizeX="7"{rest}' if second else ""
    tifffile.imwrite(path, plane(0), description=xml, metadata=None)
    with open_scenes(path) as scenes:
        assert scenes.names == ("position 0",)
        assert scenes.left_out == (
            "image 'position 1' (its description does not fit its pages)",
        )
