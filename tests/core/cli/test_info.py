from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as PillowImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]
    Picture = Callable[..., Path]


def facts(result: Result) -> dict[str, str]:
    """Return what was printed, by name."""
    assert (result.exit_code, result.stderr) == (0, "")
    return {line[:16].strip(): line[16:] for line in result.stdout.splitlines() if line}


def test_jpeg_tells_its_quality_and_the_model_for_it(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    told = facts(memnet("info", picture("a.jpg", 9, 11, 3, quality=10)))
    assert told["format"] == "JPEG"
    assert told["axes"] == "YXS 9×11×3"
    assert told["values"].startswith("uint8, ")
    assert told["JPEG quality"] == "q 10 by its quantization table, values 0 to 255"
    assert told["deblock"].split(", ") == [
        "model 'low' would serve",
        "chroma restored at its own resolution",
    ]
    assert told["sr"] == "as --scale says, by no model yet"


def test_mild_level_needs_nothing(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    told = facts(memnet("info", picture("a.jpg", quality=90)))
    assert told["deblock"].startswith("needs none: q 90 is milder than q 20")


@pytest.mark.usefixtures("models_folder")
def test_noise_is_estimated_and_missing_models_are_told(
    memnet: Command, install: Install
) -> None:
    noise = np.random.default_rng(0).normal(128, 20, (200, 200))
    PillowImage.fromarray(noise.clip(0, 255).astype(np.uint8)).save("a.png")
    told = facts(memnet("info", "a.png"))
    assert told["denoise"].startswith("No model for denoise is installed; train")
    assert not {"JPEG quality", "deblock"}.intersection(told)
    sigma = float(told["noise deviation"].split()[3].rstrip(","))
    assert sigma == pytest.approx(20, abs=1)
    install("noisy", 10, 50, task="denoise")
    assert facts(memnet("info", "a.png"))["denoise"] == "model 'noisy' would serve"


def test_what_belongs_to_the_file_is_told(memnet: Command, picture: Picture) -> None:
    image = PillowImage.open(picture("a.png"))
    exif = PillowImage.Exif()
    exif[0x010E] = "described"
    image.save("b.png", dpi=(300, 300), icc_profile=b"profile", exif=exif)
    image.quantize(8).save("c.png")
    told = facts(memnet("info", "b.png"))
    assert told["resolution"].endswith("per inch")
    assert told["metadata"] == "ICC, EXIF"
    assert facts(memnet("info", "c.png"))["not kept"] == "palette (expanded)"


@pytest.mark.parametrize(
    ("pixels", "values", "noise"),
    [
        (np.eye(8, dtype=bool), "bool, 0 to 1", "values 0 to 1"),
        (
            np.arange(64, dtype=np.uint16).reshape(8, 8),
            "uint16, 0 to 63",
            "values 0.063 to 62.937",
        ),
        (np.full((1, 1), 0.5, np.float32), "float32, 0.5 to 0.5", "estimated as 0.0"),
        (np.eye(8, dtype=np.float32) * 9, "float32, 0 to 9", "values 0 to 9"),
        (np.full((2, 3), np.nan, np.float32), "nan to nan", "estimated as 0.0"),
    ],
)
def test_values_of_any_kind_are_told(
    memnet: Command, pixels: np.ndarray, values: str, noise: str
) -> None:
    tifffile.imwrite("a.tif", pixels)
    told = facts(memnet("info", "a.tif"))
    assert values in told["values"]
    assert noise in told["noise deviation"]


def test_stack_tells_the_same_as_tiff_and_as_ome_zarr(
    memnet: Command, install: Install
) -> None:
    install("noisy", 1, 200, task="denoise")
    noise = np.random.default_rng(0).normal(800, 200, (2, 40, 50)).astype(np.uint16)
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "Channel": {"Name": ["a", "b"]}}
    tifffile.imwrite("a.ome.tif", noise, photometric="minisblack", metadata=metadata)
    group = zarr.open_group("a.ome.zarr", mode="w")
    group.create_array("0", data=noise)
    steps = [{"type": "scale", "scale": [1.0, 1.0, 0.5]}]
    image: Any = {
        "axes": [{"name": name} for name in "cyx"],
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }
    names = {"channels": [{"label": name} for name in "ab"]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image], "omero": names}
    first, second = (facts(memnet("info", f"a.ome.{k}")) for k in ("tif", "zarr"))
    for told, kind in ((first, "OME-TIFF"), (second, "OME-Zarr")):
        assert told["format"] == kind
        assert told["axes"] == "CYX 2×40×50"
        assert told["channels"] == "a, b"
        assert told["step of X"].startswith("0.5")
        assert told["denoise"] == "model 'noisy' would serve"
        assert " and " in told["noise deviation"]
    for name in ("values", "noise deviation", "denoise"):
        assert first[name] == second[name]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing.png", "No such file or directory."),
        ("empty.png", "the file is empty."),
    ],
)
def test_file_that_cannot_be_read_is_one_line(
    memnet: Command, name: str, told: str
) -> None:
    Path("empty.png").touch()
    result = memnet("info", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: {name} cannot be read: {told}\n"


def test_folder_has_a_row_for_each_file_also_for_one_that_cannot_be_read(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    picture("in/a.jpg", 9, 11, quality=10)
    Path("in/empty.png").touch()
    good, bad = memnet("info", "in").stdout.splitlines()
    assert good.split()[:3] == ["a.jpg", "9×11", "uint8"]
    assert bad.endswith("FAILED: in/empty.png cannot be read: the file is empty.")
    Path("none").mkdir()
    assert memnet("info", "none").stderr == "Error: No images found in none.\n"


def test_images_of_a_plate_are_listed_and_one_is_told_of(
    memnet: Callable[..., Result], folder: Path, plate: Callable[[Path], Path]
) -> None:
    plate(folder / "p.zarr")
    lines = [
        line.split(maxsplit=1) for line in memnet("info", "p.zarr").stdout.splitlines()
    ]
    assert lines == [
        ["format", "OME-Zarr plate"],
        ["images", "3"],
        ["A/1/0", "CYX 1×20×24 uint16"],
        ["A/1/1", "CYX 1×20×24 uint16"],
        ["A/2/0", "CYX 1×20×24 uint16"],
    ]
    told = memnet("info", "p.zarr", "--scene", "A/2/0").stdout
    assert "OME-Zarr plate, image A/2/0" in told
    assert "1×20×24" in told


def test_scenes_of_a_tiff_are_listed_with_what_is_left_out(
    memnet: Callable[..., Result], folder: Path
) -> None:
    pixels = np.zeros((20, 24), np.uint16)
    with tifffile.TiffWriter(folder / "a.ome.tif", ome=True) as file:
        for name in ("left", "label", "right"):
            file.write(pixels, metadata={"Name": name})
    told = memnet("info", "a.ome.tif").stdout
    assert "scene 0         YX 20×24 uint16, 'left'" in told
    assert "scene 1         YX 20×24 uint16, 'right'" in told
    assert "left out        image 'label' (shows no specimen)" in told
    result = memnet("info", "a.ome.tif", "--scene", "top")
    assert result.exit_code == 1
    assert "'top' is none of them" in result.stderr


@pytest.mark.usefixtures("models_folder")
@pytest.mark.parametrize("command", ["info", "restore", "batch"])
def test_bound_of_pixels_is_told_and_can_be_raised(
    command: str,
    memnet: Command,
    install: Install,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install("noisy", 5, 75, task="denoise")
    monkeypatch.setenv("MEMNET_MAX_PIXELS", "98")
    path = picture("a.png", 9, 11)
    arguments = {"info": [], "restore": ["out.png"], "batch": ["out"]}[command]
    task = ["--task", "denoise", "--sigma", "25"] if arguments else []
    refused = memnet(command, path, *arguments, *task)
    assert refused.exit_code == 1
    assert "--max-pixels or MEMNET_MAX_PIXELS raises that" in refused.output
    raised = memnet(command, path, *arguments, *task, "--max-pixels", "99")
    assert raised.exit_code == 0, raised.output


def test_what_batch_would_do_is_told_before_and_after(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("map", 5, 40, level_map=True)
    options = ["--task", "deblock", "--channels", "each", "--strength", 1.5]
    options += ["--device", "cpu"]
    path = picture("a.jpg", 33, 40, 3, quality=10)
    told = facts(memnet("info", path, *options))
    model = Path(told["model"].removesuffix(" (deblock q 5-40)"))
    del told["axes"], told["values"], told["metadata"], told["format"], told["model"]
    remark = (
        "strength 1.5, as q 3.65, beyond what the model is trained for (deblock q 5-40)"
    )
    assert told == {
        "deblock": f"deblock q 10 by map: q 10 by its quantization table; {remark}",
        "planes": "each by itself",
        "strength": "1.5",
        "range": "0 to 255",
        "held to": "the intervals of the JPEG",
        "device": "cpu",
    }
    result = memnet("batch", *options, path, "out")
    assert f"; q 10 by its quantization table; {remark}" in result.stderr
    made = facts(memnet("info", "out/a.png"))["made by"]
    assert "values 0 to 255" in made
    assert f"model {model.stem} (" in made
    assert made.endswith("channels each, strength 1.5")


@pytest.mark.usefixtures("models_folder")
def test_task_that_would_be_refused_or_idle_is_told_so(
    memnet: Command, install: Install, picture: Picture
) -> None:
    install("gray", 5, 40)
    strong, mild = picture("a.jpg", quality=10), picture("b.jpg", quality=90)
    idle = facts(memnet("info", mild, "--task", "deblock"))["would be done"]
    assert idle.startswith("nothing: needs none: q 90 is milder than q 40")
    for options, reason in (
        (["--channels", "joint"], "The model restores gray planes, not colors"),
        (["--strength", "0.5"], "The model 'gray' is not told the level"),
        (["--exit-block", "9"], "Exit block 9 does not exist"),
    ):
        result = memnet("info", strong, "--task", "deblock", *options)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"Error: {reason}")


def test_options_that_say_nothing_without_a_task_are_refused(
    memnet: Command, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture("a.png")
    for option, value in (("--q", "10"), ("--strength", "1"), ("--range", "0,9")):
        result = memnet("info", path, option, value)
        assert result.exit_code == 2
        assert f"{option} needs a --task" in result.stderr
    monkeypatch.setenv("MEMNET_MAX_PIXELS", "1")
    assert memnet("info", path, "--max-pixels", 999).exit_code == 0
