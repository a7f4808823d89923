"""The broken files of PngSuite, by name and rule, and PNGs without pixels."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from memnet_core.errors import ImageError
from memnet_core.io import open_image, probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes = b"", *, check: int = 0) -> bytes:
    crc = zlib.crc32(kind + data) ^ check
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def header(depth: int = 8, color: int = 0, *, check: int = 0) -> bytes:
    fields = struct.pack(">II5B", 32, 32, depth, color, 0, 0, 0)
    return chunk(b"IHDR", fields, check=check)


def gray(*, check: int = 0) -> bytes:
    rows = b"".join(b"\0" + bytes(range(y, y + 32)) for y in range(32))
    return chunk(b"IDAT", zlib.compress(rows), check=check)


END = chunk(b"IEND")
WHOLE = SIGNATURE + header() + gray() + END
APNG = chunk(b"acTL", struct.pack(">II", 0, 0))

BROKEN = {
    "xs1n0g01": b"\x09" + WHOLE[1:],
    "xs2n0g01": WHOLE.replace(b"PNG", b"QNG", 1),
    "xs4n0g01": WHOLE.replace(b"PNG", b"PNg", 1),
    "xs7n0g01": WHOLE.replace(b"\x1a", b" ", 1),
    "xcrn0g04": WHOLE.replace(b"\n", b"\r\n"),
    "xlfn0g04": WHOLE.replace(b"\r\n", b"\n"),
    "xhdn0g08": SIGNATURE + header(check=1) + gray() + END,
    "xc1n0g08": SIGNATURE + header(color=1) + gray() + END,
    "xc9n2c08": SIGNATURE + header(color=9) + gray() + END,
    "xd0n2c08": SIGNATURE + header(depth=0) + gray() + END,
    "xd3n2c08": SIGNATURE + header(depth=3) + gray() + END,
    "xd9n2c08": SIGNATURE + header(depth=99) + gray() + END,
    "xdtn0g01": SIGNATURE + header() + END,
    "xcsn0g01": SIGNATURE + header() + gray(check=1) + END,
    "no chunk but its header": SIGNATURE + header(),
    "animation of no frames": SIGNATURE + header() + APNG + END,
}


def whole(path: Path) -> None:
    with open_image(path) as image:
        image.image()


def test_what_is_broken_here_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(WHOLE)
    with open_image(path) as image:
        assert image.image().pixels[3, 4] == 7


@pytest.mark.filterwarnings("ignore:Invalid APNG")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_png_is_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(BROKEN[name])
    with pytest.raises(ImageError, match="cannot be read: ") as caught:
        whole(path)
    assert str(caught.value).count(". ") == 0


@pytest.mark.filterwarnings("ignore:Invalid APNG")
@pytest.mark.parametrize("read", [whole, probe])
@pytest.mark.parametrize("name", ["xdtn0g01", "animation of no frames"])
def test_png_without_pixels_is_told_as_one(
    name: str, read: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(BROKEN[name])
    with pytest.raises(ImageError, match="it is a PNG without pixels"):
        read(path)


def test_libraries_print_nothing_about_odd_chunks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = chunk(b"gAMA", bytes(4)) + chunk(b"sBIT", b"\xff\xff") + chunk(b"bKGD", b"1")
    path = tmp_path / "a.png"
    pixels = chunk(b"IDAT", zlib.compress(32 * (b"\0" + 64 * b"\1")))
    path.write_bytes(SIGNATURE + header(depth=16) + odd + pixels + END)
    with open_image(path) as image:
        assert set(image.image().pixels.flat) == {257}
    assert capfd.readouterr() == ("", "")
