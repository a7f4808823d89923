"""Folders of clean images become gray planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from memnet_core.errors import ImageError, UsageError
from memnet_core.image_ops.color import rgb2gray, rgb2ycbcr_luminance
from memnet_core.training.data.clean_images import read_clean_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def colors() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def test_colors_become_gray_in_full_range_or_the_luminance_that_is_scored(
    tmp_path: Path, colors: np.ndarray
) -> None:
    Pillow.fromarray(colors).save(tmp_path / "a.png")
    [(name, full)] = read_clean_images(tmp_path, full_range=True)
    [(_, studio)] = read_clean_images(tmp_path, full_range=False)
    assert name == "a.png"
    np.testing.assert_array_equal(full, rgb2gray(colors))
    np.testing.assert_array_equal(studio, rgb2ycbcr_luminance(colors))


def test_alpha_is_left_out(tmp_path: Path, colors: np.ndarray) -> None:
    alpha = np.zeros((6, 8, 1), np.uint8)
    Pillow.fromarray(np.concatenate([colors, alpha], -1)).save(tmp_path / "a.png")
    [(_, plane)] = read_clean_images(tmp_path, full_range=True)
    np.testing.assert_array_equal(plane, rgb2gray(colors))


def test_every_plane_of_a_stack_of_16_bits_counts(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 65536, (3, 5, 7), np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    planes = read_clean_images(tmp_path, full_range=True, value_range="dtype")
    assert [name for name, _ in planes] == ["s.tif[0]", "s.tif[1]", "s.tif[2]"]
    for (_, plane), page in zip(planes, stack, strict=True):
        assert plane.dtype == np.float32
        np.testing.assert_allclose(plane, page / 257, rtol=1e-6)


def test_a_range_stretches_dark_images(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "d.tif", np.array([[0, 4095], [1365, 0]], np.uint16))
    [(_, plane)] = read_clean_images(tmp_path, full_range=True, value_range=(0, 4095))
    np.testing.assert_allclose(plane, [[0, 255], [85, 0]], rtol=1e-6)


def test_files_that_are_no_images_and_hidden_files_are_passed_over(
    tmp_path: Path, colors: np.ndarray
) -> None:
    Pillow.fromarray(colors).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._a.png").write_bytes(b"finder")
    assert [name for name, _ in read_clean_images(tmp_path, full_range=False)] == [
        "a.png"
    ]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no image"):
        read_clean_images(tmp_path, full_range=False)
    with pytest.raises(UsageError, match="is not a folder"):
        read_clean_images(tmp_path / "missing", full_range=False)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImageError, match=r"b\.png"):
        read_clean_images(tmp_path, full_range=False)


def test_an_image_with_values_that_are_not_finite_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "n.tif", np.array([[0, np.nan]], np.float32))
    with pytest.raises(ImageError, match=r"n\.tif: 1 of 2 values are NaN"):
        read_clean_images(tmp_path, full_range=False)


def test_range_of_wider_integers_is_that_of_each_channel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bright = rng.integers(1000, 3001, (2, 60, 70)).astype(np.uint16)
    stack = np.stack([bright, bright // 20], 1)
    tifffile.imwrite(tmp_path / "s.tif", stack, imagej=True, metadata={"axes": "TCYX"})
    planes = read_clean_images(tmp_path, full_range=True)
    assert len(planes) == 4
    for _, plane in planes:
        assert plane.dtype == np.float32
        assert plane.min() == pytest.approx(0, abs=3)
        assert plane.max() == pytest.approx(255, abs=3)
        assert plane.mean() == pytest.approx(127.5, abs=5)


def test_range_of_every_plane_can_be_its_own(tmp_path: Path) -> None:
    plane = np.arange(900, dtype=np.uint16).reshape(30, 30)
    tifffile.imwrite(
        tmp_path / "s.tif", np.stack([plane, 10 * plane]), photometric="minisblack"
    )
    (_, one), (_, other) = read_clean_images(
        tmp_path, full_range=True, value_range="plane"
    )
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3)


def test_every_scene_counts_and_every_plane_of_a_set_once(
    tmp_path: Path, ome_set: Callable[..., list[Path]]
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for size in (8, 9):
            file.write(np.zeros((size, 8), np.uint8), metadata=None)
    ome_set(tmp_path, [["b0.ome.tif", "b1.ome.tif"]])
    planes = read_clean_images(tmp_path, full_range=True)
    assert [name for name, _ in planes] == [
        "a.tif[0]",
        "a.tif[1]",
        "b0.ome.tif[0]",
        "b0.ome.tif[1]",
    ]
    assert [plane.shape for _, plane in planes[:2]] == [(8, 8), (9, 8)]
