"""Folders of clean images become gray planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from memnet_core.errors import ImageError, UsageError
from memnet_core.pixels import rgb2gray, rgb2ycbcr_luminance
from memnet_core.planes import read_planes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def test_colours_become_the_luminance_that_the_task_is_scored_on(
    tmp_path: Path, colours: np.ndarray
) -> None:
    Pillow.fromarray(colours).save(tmp_path / "a.png")
    [(name, denoise)] = read_planes(tmp_path, "denoise")
    [(_, deblock)] = read_planes(tmp_path, "deblock")
    assert name == "a.png"
    np.testing.assert_array_equal(denoise, rgb2gray(colours))
    np.testing.assert_array_equal(deblock, rgb2ycbcr_luminance(colours))


def test_alpha_is_left_out(tmp_path: Path, colours: np.ndarray) -> None:
    alpha = np.zeros((6, 8, 1), np.uint8)
    Pillow.fromarray(np.concatenate([colours, alpha], -1)).save(tmp_path / "a.png")
    [(_, plane)] = read_planes(tmp_path, "denoise")
    np.testing.assert_array_equal(plane, rgb2gray(colours))


def test_every_plane_of_a_stack_of_16_bits_counts(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 65536, (3, 5, 7), np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    planes = read_planes(tmp_path, "denoise")
    assert [name for name, _ in planes] == ["s.tif[0]", "s.tif[1]", "s.tif[2]"]
    for (_, plane), page in zip(planes, stack, strict=True):
        assert plane.dtype == np.float32
        np.testing.assert_allclose(plane, page / 257, rtol=1e-6)


def test_a_range_stretches_dark_images(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "d.tif", np.array([[0, 4095], [1365, 0]], np.uint16))
    [(_, plane)] = read_planes(tmp_path, "denoise", (0, 4095))
    np.testing.assert_allclose(plane, [[0, 255], [85, 0]], rtol=1e-6)


def test_files_that_are_no_images_and_hidden_files_are_passed_over(
    tmp_path: Path, colours: np.ndarray
) -> None:
    Pillow.fromarray(colours).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._a.png").write_bytes(b"finder")
    assert [name for name, _ in read_planes(tmp_path, "sr")] == ["a.png"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no image"):
        read_planes(tmp_path, "sr")
    with pytest.raises(UsageError, match="is not a folder"):
        read_planes(tmp_path / "missing", "sr")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImageError, match=r"b\.png"):
        read_planes(tmp_path, "sr")


def test_an_image_with_values_that_are_not_finite_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "n.tif", np.array([[0, np.nan]], np.float32))
    with pytest.raises(ImageError, match=r"n\.tif: 1 of 2 values are NaN"):
        read_planes(tmp_path, "sr")
