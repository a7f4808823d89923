"""Whose fault an error is: that of the file, of the caller, or our own."""

from __future__ import annotations

import pickle
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.errors import ImageError, MemnetError
from memnet_core.io import Image, create_image, in_memory, open_image, save_image
from memnet_core.io.core.errors import (
    wrap_parse_errors,
    wrap_read_errors,
    wrap_write_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = Path("a.png")
GRAY = np.arange(200, dtype=np.uint8).reshape(10, 20)


def raised_by(library: str, error: Exception) -> Callable[[], None]:
    """Return a function that raises an error as if it were one of a library."""
    scope: dict[str, Any] = {"__name__": f"{library}.inner", "error": error}
    exec("def stumble():\n    raise error", scope)
    stumble: Callable[[], None] = scope["stumble"]
    return stumble


BUGS = [KeyError("x"), IndexError("x"), TypeError("x"), AttributeError("x")]
BUGS += [ZeroDivisionError("x"), RuntimeError("x")]


@pytest.mark.parametrize("bug", BUGS, ids=lambda error: type(error).__name__)
def test_our_own_bugs_stay_what_they_are(bug: Exception) -> None:
    with pytest.raises(type(bug)) as caught, wrap_read_errors(PATH):
        raise bug
    assert caught.value is bug


@pytest.mark.parametrize("bug", BUGS[:5], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("library", ["PIL", "tifffile", "zarr", "numcodecs"])
def test_what_libraries_stumble_over_is_damage(library: str, bug: Exception) -> None:
    with pytest.raises(ImageError, match="the file is damaged"), wrap_read_errors(PATH):
        raised_by(library, bug)()


def test_reasons_of_libraries_are_told() -> None:
    reason = "cannot be read: it is broken"
    with pytest.raises(ImageError, match=reason) as caught, wrap_read_errors(PATH):
        raised_by("PIL", SyntaxError("it is\nbroken."))()
    assert isinstance(caught.value.__cause__, SyntaxError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(40, "Too many links"), "Too many links"),
        (ValueError("no pixels"), "no pixels"),
        (MemoryError(), "MemoryError"),
        (struct.error("unpack"), "the file is damaged"),
        (zlib.error("Error -3"), "the file is damaged"),
    ],
)
def test_what_only_files_cause_is_told_whoever_raises_it(
    error: Exception, reason: str
) -> None:
    with pytest.raises(ImageError) as caught, wrap_read_errors(PATH):
        raise error
    assert str(caught.value) == f"a.png cannot be read: {reason}."
    assert caught.value.path == PATH
    assert caught.value.__cause__ is error


def test_code_that_picks_a_file_apart_marks_itself() -> None:
    attributes: dict[str, Any] = {}
    with (
        pytest.raises(ImageError) as got,
        wrap_read_errors(PATH),
        wrap_parse_errors("its attributes"),
    ):
        attributes["axes"]
    assert "its attributes cannot be understood" in str(got.value)
    assert isinstance(got.value.__cause__, ValueError)
    assert isinstance(got.value.__cause__.__cause__, KeyError)


def test_first_path_of_an_error_is_kept() -> None:
    with pytest.raises(MemnetError) as caught, wrap_read_errors(PATH):
        raise ImageError("x", path=Path("other"))
    assert caught.value.path == Path("other")
    with pytest.raises(MemnetError) as caught, wrap_read_errors(PATH):
        raise ImageError("x")
    assert caught.value.path == PATH


def test_path_of_an_error_reaches_other_processes() -> None:
    error = pickle.loads(pickle.dumps(ImageError("x", path=PATH)))
    assert (str(error), error.path) == ("x", PATH)


def test_writing_lets_errors_of_others_pass() -> None:
    def fail() -> None:
        with wrap_write_errors(PATH) as others:
            others.append(foreign)
            raise foreign

    foreign = ValueError("from the network")
    with pytest.raises(ValueError, match="network") as caught:
        fail()
    assert caught.value is foreign


def test_writing_tells_path_and_reason() -> None:
    with pytest.raises(ImageError) as refused, wrap_write_errors(PATH):
        raise OSError(28, "Disk full")
    assert str(refused.value) == "a.png cannot be written: Disk full."
    assert refused.value.path == PATH


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("error", [ValueError("mine"), OSError("mine"), KeyError(1)])
def test_errors_of_the_block_that_writes_are_not_told_as_those_of_the_file(
    error: Exception, name: str, tmp_path: Path
) -> None:
    def fail() -> None:
        with create_image(tmp_path / name, in_memory(PATH, Image(GRAY, "YX"))):
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def missing(folder: Path) -> Path:
    return folder / "missing.png"


def damaged(folder: Path) -> Path:
    path = folder / "a.tif"
    tifffile.imwrite(path, GRAY, compression="zlib")
    path.write_bytes(path.read_bytes().replace(b"\x78", b"\x77"))
    return path


def text(folder: Path) -> Path:
    path = folder / "a.png"
    path.write_bytes(b"text")
    return path


@pytest.mark.parametrize("make", [missing, damaged, text])
def test_errors_of_files_carry_path_and_cause(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(ImageError) as caught, open_image(path) as file:
        file.image()
    assert caught.value.path == path
    assert caught.value.__cause__ is not None


def test_reading_changes_no_filter_of_warnings_in_any_thread(tmp_path: Path) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHII", 271, 2, 99, 999)
    picture = PillowImage.fromarray(GRAY)
    for suffix in (".jpg", ".png", ".webp"):
        picture.save(tmp_path / f"a{suffix}", exif=exif)
    save_image(tmp_path / "a.tif", Image(GRAY, "YX"))
    before = list(warnings.filters)
    seen = []

    def read_all() -> None:
        for path in tmp_path.iterdir():
            with open_image(path) as file:
                file.image()
            seen.append(list(warnings.filters) == before)

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 16
