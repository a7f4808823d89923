from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from memnet_core.io import open_scenes, probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]
    Picture = Callable[..., Path]

DEBLOCK = ["--task", "deblock", "--q", 10]


@pytest.mark.parametrize(
    ("output", "kind"),
    [("b.png", "PNG"), ("deep/er/a.TIF", "TIFF"), ("a.jpeg", "JPEG"), ("a.bmp", "BMP")],
)
def test_suffix_decides_the_format(
    memnet: Command, install: Install, picture: Picture, output: str, kind: str
) -> None:
    install("low", 5, 20)
    result = memnet("restore", picture("a.jpg", 9, 11, 3), output, *DEBLOCK)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"a.jpg -> {output}" in result.stderr
    assert probe(Path(output)).format == kind
    assert probe(Path(output)).shape == (9, 11, 3)


def test_output_that_exists_is_replaced_only_if_asked(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    source = picture("a.png")
    Path("b.png").write_text("old")
    refused = memnet("restore", source, "b.png", *DEBLOCK)
    assert refused.exit_code == 2
    assert refused.stderr == "Error: b.png exists; replace it with --overwrite.\n"
    assert Path("b.png").read_text() == "old"
    accepted = memnet("restore", source, "b.png", "--overwrite", *DEBLOCK)
    assert accepted.exit_code == 0
    assert probe(Path("b.png")).shape == (14, 18, 3)


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
@pytest.mark.parametrize("output", ["a.png", "./a.png", "link.png"])
def test_output_that_is_the_input_is_refused(
    memnet: Command, picture: Picture, output: str, options: list[str]
) -> None:
    before = picture("a.png").read_bytes()
    if output == "link.png":
        Path(output).symlink_to("a.png")
    result = memnet("restore", "a.png", output, *DEBLOCK, *options)
    assert result.exit_code == 2
    assert "is the input itself; choose another output." in result.stderr
    assert Path("a.png").read_bytes() == before


@pytest.mark.parametrize("output", ["out", "a.mp4", "."])
def test_output_of_no_known_format_is_refused(
    memnet: Command, picture: Picture, output: str
) -> None:
    result = memnet("restore", picture("a.png"), output, *DEBLOCK)
    assert result.exit_code == 2
    assert "is none of .png, .tif, .jpg, .webp, .bmp, .gif, .ome.zarr." in result.stderr


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nothing.png", "nothing.png cannot be read: No such file or directory."),
        ("folder", "folder cannot be read: Is a directory."),
        ("empty.png", "empty.png cannot be read: the file is empty."),
    ],
)
def test_input_that_cannot_be_read_fails_and_spares_the_output(
    memnet: Command, install: Install, picture: Picture, source: str, told: str
) -> None:
    install("low", 5, 20)
    Path("folder").mkdir()
    Path("empty.png").touch()
    before = picture("b.png").read_bytes()
    result = memnet("restore", source, "b.png", "--overwrite", *DEBLOCK)
    assert (result.exit_code, result.stderr) == (1, f"Error: {told}\n")
    assert Path("b.png").read_bytes() == before


def test_output_that_cannot_be_written_fails(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    Path("file").touch()
    result = memnet("restore", picture("a.png"), "file/a.png", *DEBLOCK)
    assert result.exit_code == 1
    assert "FAILED a.png cannot be restored: the folder file cannot" in result.stderr


def test_quality_is_read_from_the_file(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    source = picture("a.jpg", quality=12)
    result = memnet("restore", source, "b.png", "--task", "deblock")
    assert result.exit_code == 0
    assert "q 12 by its quantization table" in result.stderr


def test_scenes_of_a_file_become_those_of_another(
    memnet: Command, install: Install, folder: Path
) -> None:
    install("noise", 5, 75, task="denoise")
    with tifffile.TiffWriter("a.ome.tif", ome=True) as file:
        for name in ("left", "right"):
            pixels = np.random.default_rng(0).integers(0, 255, (20, 24), np.uint8)
            file.write(pixels, metadata={"Name": name})
    for output in ("b.tif", "b.zarr"):
        result = memnet(
            "restore", "a.ome.tif", output, "--task", "denoise", "--sigma", 9
        )
        assert result.exit_code == 0
        with open_scenes(folder / output) as scenes:
            assert len(scenes) == 2
            left, right = (scenes.open(n).image().pixels for n in range(2))
        np.testing.assert_array_equal(left, right)


def test_plate_becomes_a_plate(
    memnet: Command, install: Install, folder: Path, plate: Callable[[Path], Path]
) -> None:
    install("noise", 5, 75, task="denoise")
    plate(folder / "p.zarr")
    result = memnet("restore", "p.zarr", "q.zarr", "--task", "denoise", "--sigma", 9)
    assert result.exit_code == 0
    with open_scenes(folder / "q.zarr") as scenes:
        assert scenes.title == "OME-Zarr plate"
        assert scenes.names == ("A/1/0", "A/1/1", "A/2/0")
