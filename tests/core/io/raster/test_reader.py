"""JPEGs that were cut off: only the end marker, or pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from memnet_core.errors import ImageError
from memnet_core.io import open_image

if TYPE_CHECKING:
    from pathlib import Path

NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)


def jpeg(*, progressive: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "JPEG", progressive=progressive)
    return buffer.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [1, 2])
def test_jpeg_without_its_end_marker_is_read_and_that_is_said(
    tmp_path: Path, progressive: bool, lost: int
) -> None:
    whole = jpeg(progressive=progressive)
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[:-lost])
    with Image.open(io.BytesIO(whole)) as image:
        expected = np.asarray(image)
    with open_image(path) as source:
        found = source.read(0, slice(0, 40), slice(0, 56))
        assert np.array_equal(found, expected)
        assert source.metadata.dropped == ("no end marker (all pixels are there)",)
        assert source.jpeg_tables


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [6, 40, 400])
def test_jpeg_without_all_its_pixels_is_refused(
    tmp_path: Path, progressive: bool, lost: int
) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(jpeg(progressive=progressive)[:-lost])
    with pytest.raises(ImageError, match="truncated"):
        open_image(path)
