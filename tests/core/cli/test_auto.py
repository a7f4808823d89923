"""Restoring without naming a task: each file gets what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PillowImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]
    Picture = Callable[..., Path]


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def clean(name: str) -> None:
    """Write a picture without blocks or noise."""
    y, x = np.mgrid[:96, :96]
    pixels = 120 + 60 * np.sin(x / 9) * np.cos(y / 11)
    Path(name).parent.mkdir(exist_ok=True)
    PillowImage.fromarray(pixels.astype(np.uint8)).save(name, quality=40)


def test_without_a_command_each_file_gets_what_it_needs(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("blocks", 5, 95)
    install("noise", 0, 75, task="denoise")
    clean("in/clean.png")
    clean("in/a.jpg")
    picture("in/noisy.png", 96, 96)
    result = memnet("in/", "out/")
    assert result.exit_code == 0
    said = result.stderr
    assert "skipped in/clean.png: needs none: no JPEG quality, σ 0" in said
    assert "in/a.jpg -> out/a.png" in said
    assert "deblock q 40; " in said
    assert "denoise σ 67" in said
    assert "2 restored, 1 skipped" in said
    assert names("out") == ["a.png", "noisy.png"]
    assert memnet("in", "out").stderr.splitlines()[-1].startswith("3 skipped.")
    assert memnet("info", "in").stdout.count("skipped: needs none") == 1
    asked = memnet("batch", "--task", "denoise", "in", "out").stderr
    assert "out of date: it was made by another task (auto)" in asked


def test_a_file_without_a_command_goes_to_a_file(
    memnet: Command, install: Install, folder: Path
) -> None:
    install("blocks", 5, 95)
    clean("in/a.jpg")
    assert memnet("in/a.jpg", "b.png").exit_code == 0
    assert (folder / "b.png").is_file()


def test_the_name_of_a_command_wins_over_a_folder(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("noise", 0, 75, task="denoise")
    picture("models/a.png", 96, 96)
    assert "noise" in memnet("models", "list").stdout
    assert memnet("./models", "out").exit_code == 0
    assert names("out") == ["a.png"]
    assert "No such command 'model'" in memnet("model", "out").stderr
    assert memnet("nowhere/", "out").stderr == (
        "Error: 'nowhere/' does not exist; check the path.\n"
    )


def test_a_zarr_folder_without_a_command_is_an_image(
    memnet: Command, install: Install, folder: Path, plate: Callable[[Path], Path]
) -> None:
    install("noise", 0, 75, task="denoise")
    plate(folder / "p.zarr")
    result = memnet("p.zarr", "out")
    assert result.exit_code == 0
    assert names("out") == ["p.zarr"]
