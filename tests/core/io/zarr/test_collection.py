"""Plates, wells and collections of OME-Zarr images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from memnet_core.errors import ImageError
from memnet_core.io import open_image, open_scenes, probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Plane = Callable[[int], NDArray[np.uint16]]
    Write = Callable[[Path], Path]


@pytest.mark.parametrize(
    ("inner", "names", "title"),
    [
        ("", ("A/1/0", "A/1/1", "A/2/0"), "OME-Zarr plate"),
        ("A", ("1/0", "1/1", "2/0"), "OME-Zarr group"),
        ("A/1", ("0", "1"), "OME-Zarr well"),
        ("A/1/1", ("",), "OME-Zarr"),
    ],
)
def test_plate_and_what_is_in_it_tell_their_images(
    inner: str, names: tuple[str, ...], title: str, tmp_path: Path, plate: Write
) -> None:
    with open_scenes(plate(tmp_path / "p.zarr") / inner) as scenes:
        assert (scenes.names, scenes.title) == (names, title)


def test_image_of_a_plate_is_opened_by_its_path(
    tmp_path: Path, plate: Write, plane: Plane
) -> None:
    path = plate(tmp_path / "p.zarr")
    with open_image(path, scene="A/1/1") as image:
        np.testing.assert_array_equal(image.image().pixels, plane(11)[None])
    with pytest.raises(ImageError, match="it holds 3, A/1/0, A/1/1, A/2/0; choose one"):
        open_image(path)
    assert probe(path).scenes == 3
    assert probe(path).megapixels == pytest.approx(3 * 480 / 1e6)


def test_collection_tells_its_series_in_their_order(
    tmp_path: Path, collection: Write, plane: Plane
) -> None:
    path = collection(tmp_path / "c.zarr")
    for number in range(2):
        with open_image(path, scene=number) as image:
            np.testing.assert_array_equal(image.image().pixels, plane(number)[None])


def test_series_are_counted_where_they_are_not_listed(
    tmp_path: Path, collection: Write
) -> None:
    path = collection(tmp_path / "c.zarr")
    root: Any = zarr.open_group(path, mode="r+")
    del root["OME"]
    (path / "0").rename(path / "10")
    with open_scenes(path) as scenes:
        assert scenes.names == ("1", "10")


def test_wells_and_fields_that_are_not_there_are_named(
    tmp_path: Path, plate: Write
) -> None:
    path = plate(tmp_path / "p.zarr")
    root: Any = zarr.open_group(path, mode="r+")
    del root["A/1/0"]
    with open_scenes(path) as scenes:
        assert scenes.names == ("A/1/1", "A/2/0")
        assert scenes.left_out == ("A/1/0 (not there)",)
    del root["A/2"]
    with open_scenes(path) as scenes:
        assert scenes.names == ("A/1/1",)
        assert scenes.left_out == ("A/1/0, A/2 (not there)",)


@pytest.mark.parametrize(
    "inner", ["../secret", "/secret", "A/../../secret", "..\\secret", "", "A//1", "C:"]
)
def test_plate_does_not_lead_out_of_its_folder(
    inner: str, tmp_path: Path, collection: Write, zarr_format: Any
) -> None:
    collection(tmp_path / "secret")
    path = tmp_path / "p.zarr"
    told: dict[str, Any] = {"plate": {"wells": [{"path": inner}]}}
    if zarr_format == 3:
        told = {"ome": told}
    zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=told)
    with pytest.raises(ImageError, match=r"p\.zarr cannot be read: it "):
        open_scenes(path)


@pytest.mark.parametrize(
    "told",
    [
        {"plate": []},
        {"plate": {"wells": 3}},
        {"plate": {"wells": [{"path": None}]}},
        {"well": {"images": {"path": "0"}}},
        {"bioformats2raw.layout": 3},
    ],
    ids=str,
)
def test_damaged_descriptions_are_refused_in_one_sentence(
    told: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "p.zarr"
    zarr.open_group(path, mode="w", attributes={"ome": told})
    with pytest.raises(ImageError, match=r"^\S+p\.zarr cannot be read: it\S* .*\.$"):
        open_scenes(path)


def test_label_images_below_a_group_are_no_images_of_it(
    tmp_path: Path, plate: Write
) -> None:
    path = plate(tmp_path / "p.zarr")
    field: Any = zarr.open_group(path / "A" / "2" / "0", mode="r+")
    changed = dict(field.attrs)
    (changed.get("ome", changed))["image-label"] = {}
    field.attrs.update(changed)
    with open_scenes(path / "A") as scenes:
        assert scenes.names == ("1/0", "1/1", "2/0")  # listed by their wells
    for well in ("1", "2"):
        group: Any = zarr.open_group(path / "A" / well, mode="r+")
        group.attrs.clear()
    with open_scenes(path / "A") as scenes:
        assert scenes.names == ("1/0", "1/1")
