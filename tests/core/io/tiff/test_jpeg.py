"""TIFFs with JPEG compression tell their quantization tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from memnet_core.inference.plan import plan_restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_image
from memnet_core.jpeg.coding import luminance_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def pixels(*shape: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = 120 + 50 * np.sin(x / 5) * np.cos(y / 7)
    noise = np.random.default_rng(0).normal(0, 9, shape)
    scene: NDArray[np.float64] = waves.reshape(*shape[:2], *[1] * (len(shape) - 2))
    return (scene + noise).astype(np.uint8)


@pytest.mark.parametrize("tile", [(64, 64), None], ids=["tiles", "strips"])
@pytest.mark.parametrize("subsampling", [(2, 2), (1, 1)])
def test_tables_and_coding_of_a_color_tiff(
    tmp_path: Path, tile: Any, subsampling: tuple[int, int]
) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path,
        pixels(200, 152, 3),
        photometric="ycbcr",
        compression="jpeg",
        compressionargs={"level": 30},
        subsampling=subsampling,
        tile=tile,
        rowsperstrip=None if tile else 48,
    )
    with open_image(path) as image:
        assert image.jpeg_tables[0] == tuple(luminance_table(30).tolist())
        coding = image.jpeg_coding
    assert coding is not None
    assert coding.sampling == (((1, 1),) * 3 if subsampling == (1, 1) else ((2, 2),))


def test_gray_pages_are_restored_by_their_tables(
    install: Callable[..., Path], tmp_path: Path
) -> None:
    install("all", 5, 98)
    path = tmp_path / "stack.tif"
    stack = np.stack([pixels(96, 80)] * 3)
    tifffile.imwrite(
        path,
        stack,
        photometric="minisblack",
        compression="jpeg",
        compressionargs={"level": 20},
        tile=(48, 48),
    )
    with open_image(path) as image:
        decision = plan_restore(image, RestoreOptions(task="deblock"))
    assert decision.level == 20
    assert decision.coding is not None
    assert decision.coding.sampling == ((1, 1),)


def test_rgb_components_have_tables_and_no_luminance(tmp_path: Path) -> None:
    path = tmp_path / "rgb.tif"
    tifffile.imwrite(
        path,
        pixels(64, 64, 3),
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": 40, "outcolorspace": "rgb"},
        tile=(64, 64),
    )
    with open_image(path) as image:
        assert image.jpeg_tables
        assert image.jpeg_coding is None


def test_other_compressions_have_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, pixels(64, 64), compression="zlib", tile=(32, 32))
    with open_image(path) as image:
        assert image.jpeg_tables == ()
        assert image.jpeg_coding is None
