"""An earlier JPEG compression is found in pixels, and none where there was none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage import data

from memnet_core.jpeg.coding import JpegCoding, luminance_table
from memnet_core.jpeg.traces import EarlierJpeg, find_earlier_jpeg
from memnet_core.sources.protocols import ArraySource
from memnet_core.tasks.deblock import jpeg
from memnet_core.training.data.synthetic_pictures import synthetic_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]


def photograph(side: int = 264) -> Picture:
    """A clean one: shrunk by three, which leaves nothing of an earlier compression."""
    picture: Any = data.astronaut()[:480, :480]  # type: ignore[no-untyped-call]
    small = picture.reshape(160, 3, 160, 3, 3).mean((1, 3))
    tiled = np.concatenate([np.concatenate([small, small[:, ::-1]], 1)] * 2)
    cut: Picture = np.rint(tiled[:side, :side]).astype(np.uint8)
    return cut


def found(picture: Picture, last: int | None = None) -> EarlierJpeg | None:
    coding = last and JpegCoding((tuple(luminance_table(last).tolist()),))
    return find_earlier_jpeg(ArraySource(picture[None]), 0, coding or None)


def crop(picture: Picture, top: int, left: int) -> Picture:
    return np.ascontiguousarray(picture[top:, left:])


@pytest.mark.parametrize("quality", [10, 30, 50, 75])
@pytest.mark.parametrize("subsampled", [False, True])
def test_quality_and_grid_of_pixels_without_tables(
    quality: int, subsampled: bool
) -> None:
    pixels = crop(jpeg(photograph(), quality, subsampled=subsampled), 3, 6)
    earlier = found(pixels)
    assert earlier is not None
    assert abs(earlier.quality - quality) <= 2
    assert (earlier.rows, earlier.columns) == (5, 2)
    assert (
        str(earlier) == f"was a JPEG of about q {earlier.quality}, grid moved by 5, 2"
    )


@pytest.mark.parametrize(("first", "last"), [(20, 90), (40, 75), (75, 95)])
@pytest.mark.parametrize("moved", [(0, 0), (2, 0), (7, 5)])
def test_quality_and_grid_before_a_finer_compression(
    first: int, last: int, moved: tuple[int, int]
) -> None:
    pixels = jpeg(crop(jpeg(photograph(), first), *moved), last)
    earlier = found(pixels, last)
    assert earlier is not None
    assert abs(earlier.quality - first) <= 3
    assert (earlier.rows, earlier.columns) == tuple(-m % 8 for m in moved)


def test_gray_planes_tell_as_well() -> None:
    gray = photograph()[..., :1]
    earlier = found(np.atleast_3d(jpeg(gray[..., 0], 30)))
    assert earlier == EarlierJpeg(30, 0, 0)
    assert str(earlier) == "was a JPEG of about q 30"


def test_own_compression_is_not_an_earlier_one() -> None:
    for quality in (30, 60, 90):
        assert found(jpeg(photograph(), quality), quality) is None


@pytest.mark.parametrize("number", range(16))
def test_drawings_are_not_called_jpegs(number: int) -> None:
    assert found(synthetic_picture(number)) is None


def test_clean_photographs_are_not_called_jpegs() -> None:
    picture = photograph()
    assert found(picture) is None
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    assert found(noise) is None
    assert found(np.full((200, 200, 3), 128, np.uint8)) is None


def test_small_pictures_do_not_tell() -> None:
    assert found(jpeg(photograph(), 10)[:70]) is None
