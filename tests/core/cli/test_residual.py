"""``--residual`` and ``memnet analyze residual`` as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]


@pytest.fixture
def noisy(folder: Path, install: Install) -> None:
    install("noisy", 1, 75, task="denoise")
    rng = np.random.default_rng(0)
    values = rng.normal(900, 30, (3, 64, 70)).astype(np.uint16)
    tifffile.imwrite("a.tif", values, imagej=True, metadata={"axes": "TYX"})
    Image.fromarray(rng.integers(90, 160, (40, 44, 3), dtype=np.uint8)).save("b.png")


@pytest.mark.usefixtures("noisy")
@pytest.mark.parametrize("file_format", ["same", "ome-zarr"])
def test_batch_writes_what_was_removed_beside_each_result(
    memnet: Command, file_format: str
) -> None:
    command = ("batch", "--task", "denoise", "--sigma", "25", "--residual")
    options = ("--format", file_format, "a.tif", "b.png", "out")
    result = memnet(*command, *options)
    assert result.exit_code == 0, result.stderr
    names = {
        "same": ["a.residual.tif", "b.png.residual.tif"],
        "ome-zarr": ["a.ome.zarr.residual.tif", "b.ome.zarr.residual.tif"],
    }[file_format]
    for name, shape in zip(names, [(3, 64, 70), (40, 44, 3)], strict=True):
        assert f"removed: {Path('out', name)}" in result.stderr
        removed = tifffile.imread(Path("out", name))
        assert removed.shape == shape
        assert removed.dtype == np.float32
        assert removed.any()
    if file_format == "same":
        after = tifffile.imread("out/a.tif").astype(float)
        np.testing.assert_array_equal(
            tifffile.imread("out/a.residual.tif"), tifffile.imread("a.tif") - after
        )


@pytest.mark.usefixtures("noisy")
def test_results_that_exist_get_theirs_without_being_redone(memnet: Command) -> None:
    command = ("batch", "--task", "denoise", "--sigma", "25", "a.tif", "out")
    assert memnet(*command).exit_code == 0
    again = memnet(*command, "--residual")
    assert again.exit_code == 0
    assert "skipped" in again.stderr
    assert Path("out/a.residual.tif").exists()


@pytest.mark.usefixtures("noisy")
def test_one_file_has_one_too(memnet: Command) -> None:
    command = ("restore", "--task", "denoise", "--sigma", "25", "--residual")
    result = memnet(*command, "b.png", "c.png")
    assert result.exit_code == 0, result.stderr
    assert tifffile.imread("c.png.residual.tif").shape == (40, 44, 3)


@pytest.mark.usefixtures("noisy")
def test_enlarged_images_have_none(memnet: Command) -> None:
    result = memnet("batch", "--task", "sr", "--scale", "2", "--residual", "b.png", "o")
    assert result.exit_code == 2
    assert "--residual does not go with --task sr" in result.stderr


@pytest.mark.usefixtures("noisy")
def test_residual_is_drawn_and_judged(memnet: Command) -> None:
    flat = np.full((3, 64, 70), 900, np.uint16)
    tifffile.imwrite("flat.tif", flat, imagej=True, metadata={"axes": "TYX"})
    result = memnet("analyze", "residual", "a.tif", "flat.tif", "--out", "found")
    assert (result.exit_code, result.stderr) == (0, "")
    words = result.stdout.splitlines()
    assert [word.split(":")[0] for word in words[:4]] == [
        *("noise", "strength", "whiteness", "structure"),
    ]
    assert Path("found/residual.txt").read_text("utf-8").splitlines() == words[:4]
    with Image.open("found/residual.png") as picture:
        assert picture.convert("L").getextrema() == (0, 255)


@pytest.mark.usefixtures("noisy")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a.tif", "b.png"), "cannot be compared with a.tif"),
        (("a.tif", "a.tif", "--plane", "3"), "a.tif has no plane 3, only 0 to 2."),
        (("small.tif", "small.tif"), "small.tif is too small"),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(
    memnet: Command, arguments: tuple[str, ...], told: str
) -> None:
    tifffile.imwrite("small.tif", np.zeros((9, 40), np.uint8))
    result = memnet("analyze", "residual", *arguments, "--out", "found")
    assert result.exit_code in (1, 2)
    assert told in result.stderr
    assert result.stderr.count("\n") <= 3
