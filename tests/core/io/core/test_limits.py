"""Files that claim more than they hold, or have no end."""

from __future__ import annotations

import os
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.errors import ImageError, UsageError
from memnet_core.io import open_image, probe
from memnet_core.io.core.limits import VARIABLE, most_pixels

if TYPE_CHECKING:
    from pathlib import Path


def refusal(path: Path) -> str:
    messages = set()
    for read in (probe, open_image):
        with pytest.raises(ImageError) as caught:
            read(path)
        messages.add(str(caught.value))
    (message,) = messages
    return message


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp"])
def test_picture_above_the_bound_is_refused_until_it_is_raised(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{kind}"
    PillowImage.new("RGB", (50, 40)).save(path)
    monkeypatch.setenv(VARIABLE, "1999")
    message = refusal(path)
    assert "it claims 0.002 megapixels, more than the 0.001999 that are" in message
    assert "MEMNET_MAX_PIXELS" in message
    monkeypatch.setenv(VARIABLE, "2000")
    with open_image(path) as image:
        assert image.sizes == (40, 50, 3)


@pytest.mark.parametrize("tile", [None, (1024, 1024)])
def test_tiff_above_the_bound_needs_the_bytes_for_it(
    tile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, full = tmp_path / "empty.tif", tmp_path / "full.tif"
    noise = np.random.default_rng(0).integers(0, 255, (1024, 1024)).astype("u1")
    tifffile.imwrite(empty, 0 * noise, compression="zlib", tile=tile)
    tifffile.imwrite(full, noise, compression="zlib", tile=tile)
    monkeypatch.setenv(VARIABLE, str(2**20 - 1))
    with pytest.raises(ImageError, match=r"bytes of pixels claim 1\.04858 megapix"):
        open_image(empty)
    with open_image(full) as image:
        assert np.array_equal(image.image().pixels, noise)
    monkeypatch.setenv(VARIABLE, str(2**20))
    with open_image(empty) as image:
        assert not image.image().pixels.any()


@pytest.mark.parametrize("text", ["x", "-1", "0", "1.5", "9" * 30, "²"])
def test_bound_that_is_no_number_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match=VARIABLE):
        most_pixels()


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    assert "it is a pipe" in refusal(tmp_path / "a.tif")
    (tmp_path / "a.png").symlink_to("/dev/zero")
    assert "a device" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize(("pages", "back"), [(1, 0), (2, 0), (3, 1), (150, 140)])
def test_pages_that_lead_back_are_refused(
    bigtiff: bool, pages: int, back: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as file:
        for _ in range(pages):
            file.write(np.zeros((8, 8), "u1"), metadata=None)
    with tifffile.TiffFile(path) as file:
        places = [page.offset for page in file.pages]
    order, size, count = ("<Q", 20, 8) if bigtiff else ("<I", 12, 2)
    data = bytearray(path.read_bytes())
    tags = int.from_bytes(data[places[-1] : places[-1] + count], "little")
    struct.pack_into(order, data, places[-1] + count + size * tags, places[back])
    path.write_bytes(data)
    assert f"page {pages + 1} of it is one of those before it" in refusal(path)


def test_bit_picture_of_little_data_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PillowImage.new("1", (13_300, 13_300)).save(path)
    tracemalloc.start()
    try:
        with open_image(path) as image:
            assert image.sizes == (13_300, 13_300)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * 13_300**2
