"""What results say of how they were made: in every format, beside what they carry."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.errors import ImageError
from memnet_core.io import Image, Metadata, open_image, save_image
from memnet_core.io.core.fingerprint import (
    Fingerprint,
    fingerprint_of,
    is_same,
    looks_same,
)
from memnet_core.io.core.provenance import Provenance, provenance_in, provenance_of
from memnet_core.io.raster.metadata import embed_comment

if TYPE_CHECKING:
    from pathlib import Path

MADE = Provenance(
    memnet="1.2.3",
    task="denoise",
    model="µ" * 3,
    sha256="0" * 64,
    levels=(25.0, 12.5),
    ranges=((0.0, 255.0), None),
    options={"tta": True},
    source=Fingerprint(bytes=3, ends="a", sha256="b"),
)
SUFFIXES = [".png", ".jpg", ".webp", ".bmp", ".tif"]


def pixels(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape or (20, 31, 3)).astype("u1")


def saved(path: Path, made: Provenance | None = MADE) -> Path:
    carried = Metadata(provenance=str(made) if made else "")
    save_image(path, Image(pixels(), "YXS", carried))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_tells_how_it_was_made_and_keeps_its_pixels(
    suffix: str, tmp_path: Path
) -> None:
    plain = saved(tmp_path / f"plain{suffix}", None)
    told = saved(tmp_path / f"told{suffix}")
    assert provenance_of(plain) is None
    assert provenance_of(told) == MADE
    with open_image(plain) as one, open_image(told) as other:
        np.testing.assert_array_equal(one.image().pixels, other.image().pixels)
    again = saved(tmp_path / f"again{suffix}")
    assert again.read_bytes() == told.read_bytes()


@pytest.mark.parametrize(
    ("suffix", "samples", "decode"),
    [
        (".png", 3, imagecodecs.png_decode),
        (".png", 4, imagecodecs.png_decode),
        (".jpg", 3, imagecodecs.jpeg8_decode),
        (".webp", 3, imagecodecs.webp_decode),
        (".webp", 4, imagecodecs.webp_decode),
        (".bmp", 3, imagecodecs.bmp_decode),
    ],
)
def test_other_readers_see_the_picture_as_before(
    suffix: str, samples: int, decode: Any, tmp_path: Path
) -> None:
    image = Image(pixels(21, 30, samples), "YXS", Metadata(provenance=str(MADE)))
    path = tmp_path / f"a{suffix}"
    save_image(path, image)
    with PillowImage.open(path) as picture:
        picture.load()
        assert picture.size == (30, 21)
        seen = np.asarray(picture)
    found = decode(path.read_bytes())
    np.testing.assert_array_equal(found, seen)
    if suffix != ".jpg":
        np.testing.assert_array_equal(seen, image.pixels)


def test_what_a_file_held_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    PillowImage.fromarray(pixels()).save(path, comment="mine", exif=b"Exif\0\0II*\0")
    path.write_bytes(embed_comment("jpeg", path.read_bytes(), str(MADE)))
    with PillowImage.open(path) as picture:
        assert picture.info["comment"] == b"mine"
        assert picture.info["exif"]
    assert provenance_of(path) == MADE


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp"])
def test_of_several_the_last_one_counts(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{kind}")
    later = MADE.model_copy(update={"task": "deblock"})
    path.write_bytes(embed_comment(kind, path.read_bytes(), str(later)))
    assert provenance_of(path) == later


@pytest.mark.parametrize(
    "text",
    [
        "",
        "memnet",
        "memnet 1 {",
        "memnet 1 {}",
        'memnet 1 {"task": 3}',
        str(MADE).replace("[25.0,12.5]", "[]"),
        str(MADE).replace("[25.0,12.5]", "[NaN]"),
        "memnet 1 " + "{" * 10_000,
        "memnet 1 null",
    ],
)
def test_what_is_no_provenance_is_none(text: str) -> None:
    assert provenance_in(text) is None
    assert provenance_in(f"ImageJ 1.53; {MADE}; {text}") == MADE


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part", [0, 0.1, 0.9])
def test_a_file_that_ends_too_early_is_refused(
    suffix: str, part: float, tmp_path: Path
) -> None:
    path = saved(tmp_path / f"a{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ImageError, match=r"cannot be read: "):
        provenance_of(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_zeros_is_refused(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a{suffix}")
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ImageError, match=r"cannot be read: "):
        provenance_of(path)


def test_software_of_a_tiff_is_where_it_stands(tmp_path: Path) -> None:
    with tifffile.TiffFile(saved(tmp_path / "a.tif")) as file:
        assert file.pages.first.software == str(MADE)


def test_provenance_is_carried_by_metadata_of_any_size() -> None:
    metadata = replace(Metadata(), provenance="memnet")
    assert metadata.magnified(2).provenance == "memnet"


def test_fingerprint_tells_files_apart_and_not_their_times(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    data = bytearray(pixels(300_000).tobytes())
    path.write_bytes(data)
    known = fingerprint_of(path)
    shutil.copy(path, other)
    assert fingerprint_of(other) == known
    data[150_000] ^= 1
    other.write_bytes(data)
    assert looks_same(other, known)
    assert not is_same(other, known)
    data[-1] ^= 1
    other.write_bytes(data)
    assert not looks_same(other, known)


def test_fingerprint_of_a_folder_sees_files_that_are_missing(tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    (folder / "c").mkdir(parents=True)
    for name in ("zarr.json", "c/0"):
        (folder / name).write_text(name)
    known = fingerprint_of(folder)
    assert looks_same(folder, known)
    (folder / "c" / "0").unlink()
    assert not looks_same(folder, known)
