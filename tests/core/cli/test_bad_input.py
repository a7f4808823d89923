"""Bad input among good: one clear line, the rest restored, nothing half-written."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.io import open_image, probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]
    Picture = Callable[..., Path]

DEBLOCK = ["batch", "--task", "deblock", "--q", 10]


@pytest.fixture
def batch(
    memnet: Command, install: Install, picture: Picture
) -> Callable[..., tuple[Result, list[str]]]:
    """Restore a folder with two good files in it; check the rest of the contract.

    Give the result and the lines on what failed.
    """

    def batch(*options: object) -> tuple[Result, list[str]]:
        install("low", 5, 20)
        picture("in/a-good.png")
        picture("in/zz-good.jpg")
        result = memnet(*DEBLOCK, *options, "in", "out")
        assert "Traceback" not in result.stderr
        for good in ("a-good.png", "zz-good.png"):
            with open_image(Path("out", good)) as file:
                assert file.image().pixels.shape == (14, 18, 3)
        assert not list(Path().rglob(".memnet-*"))
        failed = [line for line in result.stderr.splitlines() if "FAILED" in line]
        assert (result.exit_code == 1) == bool(failed)
        return result, failed

    return batch


def png_chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png_without_data(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", b"")
        + png_chunk(b"IEND", b"")
    )


def truncated(name: str) -> bytes:
    """Return the first half of a picture of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    PillowImage.fromarray(pixels).save(name)
    whole = Path(name).read_bytes()
    Path(name).unlink()
    return whole[: len(whole) // 2]


def float_tiff(*values: float) -> bytes:
    tifffile.imwrite("float.tif", np.full((6, 7), values[0], np.float32))
    pixels = tifffile.memmap("float.tif")
    pixels[2, 3] = values[-1]
    pixels.flush()
    return Path("float.tif").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("zero.png", lambda: b"", "cannot be read: the file is empty."),
        ("zero.tif", lambda: b"", "cannot be read: the file is empty."),
        ("half.png", lambda: truncated("x.png"), "cannot be read: "),
        ("half.jpg", lambda: truncated("x.jpg"), "cannot be read: "),
        ("half.tif", lambda: truncated("x.tif"), "cannot be read: "),
        ("half.webp", lambda: truncated("x.webp"), "cannot be read: "),
        ("half.bmp", lambda: truncated("x.bmp"), "cannot be read: "),
        ("begun.png", lambda: truncated("x.png")[:20], "cannot be read: "),
        ("begun.tif", lambda: truncated("x.tif")[:6], "cannot be read: "),
        ("text.png", lambda: b"Dear diary,\n" * 99, "cannot be read: "),
        ("text.tif", lambda: b"II*\0 is how a TIFF begins", "cannot be read: "),
        ("huge.png", lambda: png_without_data(20_000), "cannot be read: "),
        ("tall.png", lambda: png_without_data(2_000), "cannot be read: "),
    ],
)
def test_bad_file_is_one_line_and_the_rest_is_restored(
    batch: Callable[..., tuple[Result, list[str]]],
    folder: Path,
    name: str,
    content: Callable[[], bytes],
    told: str,
) -> None:
    bad = Path("in", name)
    bad.parent.mkdir()
    bad.write_bytes(content())
    result, failed = batch()
    assert len(result.stderr.splitlines()) == 5
    (line,) = failed
    assert line.startswith(f"[2/3] FAILED in/{name} cannot be ")
    assert told in line
    assert line.endswith(".")
    assert len(list(Path("out").iterdir())) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("rest", [0.5, np.nan])
def test_values_that_are_not_finite_stay_as_they_are(
    batch: Callable[..., tuple[Result, list[str]]], value: float, rest: float
) -> None:
    Path("in").mkdir()
    Path("in/holes.tif").write_bytes(float_tiff(rest, value))
    result, failed = batch()
    assert failed == []
    assert "in/holes.tif: " in result.stderr
    before, after = (tifffile.imread(f"{f}/holes.tif") for f in ("in", "out"))
    assert np.array_equal(before, after, equal_nan=True)


def test_floats_beyond_a_range_that_was_chosen_fail_their_file_only(
    batch: Callable[..., tuple[Result, list[str]]],
) -> None:
    Path("in").mkdir()
    Path("in/far.tif").write_bytes(float_tiff(0.5, 900))
    _, (line,) = batch("--range", "dtype")
    assert line == (
        "[2/3] FAILED in/far.tif cannot be restored: The float32 values reach from 0.5 "
        "to 900, not from 0 to 1; choose the range 'auto' or two values."
    )
    _, failed = batch()
    assert failed == []
    assert Path("out/far.tif").exists()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (1, 1, 3)])
def test_images_of_odd_shapes_are_restored(
    batch: Callable[..., tuple[Result, list[str]]],
    picture: Picture,
    shape: tuple[int, ...],
) -> None:
    picture("in/odd.png", *shape)
    _, failed = batch()
    assert failed == []
    assert probe(Path("out/odd.png")).shape == shape


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ünï-漢字.png".encode(), "ünï-漢字.png"),
        (b"latin-\xe9.png", r"latin-\xe9.png"),
        (b"two\nlines \x1b[31m.png", r"two\nlines \x1b[31m.png"),
        (b"[bold]:smile: {0} %s.png", "[bold]:smile: {0} %s.png"),
        (b"-r.png", "-r.png"),
    ],
)
def test_names_of_any_bytes_are_kept_and_told_on_one_line(
    batch: Callable[..., tuple[Result, list[str]]],
    picture: Picture,
    name: bytes,
    told: str,
) -> None:
    picture("in/odd.png").rename(Path("in", os.fsdecode(name)))
    result, failed = batch()
    assert failed == []
    assert name in os.listdir(b"out")
    assert f" in/{told} -> out/{told}  " in result.stderr
    assert len(result.stderr.splitlines()) == 5


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_loops_of_links_and_pipes_do_no_harm(
    batch: Callable[..., tuple[Result, list[str]]], picture: Picture
) -> None:
    Path("in/deeper").mkdir(parents=True)
    Path("in/deeper/up").symlink_to("..")
    Path("in/self").symlink_to(".")
    Path("in/loop.png").symlink_to("loop.png")
    os.mkfifo("in/pipe.png")
    _, failed = batch("--recursive")
    assert failed == [
        "[2/3] FAILED in/loop.png cannot be read: Too many levels of symbolic links."
    ]
    assert sorted(Path("out").rglob("*")) == [
        Path("out/a-good.png"),
        Path("out/zz-good.png"),
    ]


def test_everything_bad_at_once(
    batch: Callable[..., tuple[Result, list[str]]], picture: Picture
) -> None:
    for name in ("b.png", "c.jpg", "d.tif", "e.webp", "f.bmp"):
        picture(f"in/{name}")
        path = Path("in", name)
        path.write_bytes(path.read_bytes()[:30])
    result, failed = batch()
    assert len(failed) == 5
    assert result.stderr.splitlines()[-1].startswith("2 restored, 5 failed in ")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("output", ["file/out", "/proc/memnet"])
def test_output_folder_that_cannot_be_made_fails_every_file(
    memnet: Command, install: Install, picture: Picture, output: str
) -> None:
    install("low", 5, 20)
    Path("file").touch()
    picture("in/a.png")
    picture("in/b.png")
    result = memnet(*DEBLOCK, "in", output)
    assert result.exit_code == 1
    _, first, second, summary = result.stderr.splitlines()
    for name, line in (("a", first), ("b", second)):
        told = f"FAILED in/{name}.png cannot be restored: the folder {output} cannot be"
        assert told in line
    assert summary == "2 failed."
