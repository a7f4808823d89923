"""The front door: arrays, images and files by one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

import memnet_core
from memnet_core.errors import LevelError, MemnetError, UsageError
from memnet_core.io import Image, Metadata, save_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def models(install: Callable[..., Path]) -> None:
    install("blocks", 1, 100)
    install("noise", 0, 255, task="denoise")
    install("large", 2, 4, task="sr")


def noise(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 200, shape, np.uint8)


def test_array_comes_back_as_an_array_of_its_type() -> None:
    pixels = noise(20, 21)
    restored = memnet_core.restore(pixels, "denoise", 25)
    assert restored.dtype == pixels.dtype
    assert restored.shape == pixels.shape
    assert np.any(restored != pixels)


def test_enlarged_array_is_higher_and_wider() -> None:
    assert memnet_core.restore(noise(5, 20, 21), "sr", 3).shape == (5, 60, 63)


def test_last_axis_of_three_is_color_unless_named_otherwise() -> None:
    pixels = noise(12, 13, 3)
    assert memnet_core.restore(pixels, "sr", 2).shape == (24, 26, 3)
    assert memnet_core.restore(pixels, "sr", 2, axes="CYX").shape == (12, 26, 6)


def test_array_image_and_file_give_the_same_pixels(tmp_path: Path) -> None:
    pixels = noise(20, 21, 3)
    image = Image(pixels, "YXS", Metadata(description="cells"))
    save_image(tmp_path / "a.png", image)
    from_array = memnet_core.restore(pixels, "denoise", 25)
    from_image = memnet_core.restore(image, "denoise", 25)
    from_file = memnet_core.restore(tmp_path / "a.png", "denoise", 25)
    np.testing.assert_array_equal(from_image.pixels, from_array)
    np.testing.assert_array_equal(from_file.pixels, from_array)
    assert from_image.metadata.description == "cells"


def test_quality_of_a_file_is_found_out(tmp_path: Path) -> None:
    from PIL import Image as PillowImage

    PillowImage.fromarray(noise(16, 16)).save(tmp_path / "a.jpg", quality=30)
    found = memnet_core.restore(tmp_path / "a.jpg", "deblock")
    given = memnet_core.restore(str(tmp_path / "a.jpg"), "deblock", 30)
    np.testing.assert_array_equal(found.pixels, given.pixels)


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    memnet_core.restore(noise(2, 90, 20), "denoise", 25, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.parametrize("shape", [(7,), (1, 2, 3, 4, 5, 6)])
def test_array_of_unclear_axes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        memnet_core.restore(noise(*shape), "denoise", 25)


def test_unknown_task_is_refused() -> None:
    with pytest.raises(MemnetError, match="no task 'dehaze'; give one of"):
        memnet_core.restore(noise(5, 5), "dehaze", 1)


def test_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LevelError):
        memnet_core.restore(noise(5, 5), "denoise", 500)


def test_scene_of_a_file_is_restored_as_if_it_were_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for n, name in enumerate(("left", "right")):
            file.write(noise(20, 24 + n), metadata={"Name": name})
    alone = memnet_core.restore(noise(20, 25), "denoise", 25)
    for scene in (1, "right"):
        found = memnet_core.restore(path, "denoise", 25, scene=scene)
        np.testing.assert_array_equal(found.pixels, alone)
    with pytest.raises(
        MemnetError, match="it holds 2, scene 0 'left', scene 1 'right'"
    ):
        memnet_core.restore(path, "denoise", 25)
