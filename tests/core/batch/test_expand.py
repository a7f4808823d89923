"""Inputs with several images, and images in several inputs: each is restored once."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

from memnet_core.batch import BatchRun, InputFile, find_inputs, plan_jobs
from memnet_core.inference.api import restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_image, open_scenes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.batch import Outcome

    Plane = Callable[[int], NDArray[np.uint16]]
    Install = Callable[..., Path]

NAMES = ("z0.ome.tif", "z1.ome.tif", "z2.ome.tif")


@pytest.fixture(autouse=True)
def model(install: Install) -> None:
    install("low", 5, 75, task="denoise")
    install("twice", 2, 2, task="sr")


def run_of(
    *inputs: Path,
    file_format: str = "auto",
    overwrite: bool = False,
    asked: dict[str, Any] | None = None,
) -> list[Outcome]:
    """Restore what lies in the folder ``in`` into the folder ``out`` beside it."""
    parents = inputs[0], *inputs[0].parents
    output = next(p for p in parents if p.name == "in").with_name("out")
    found = find_inputs([*map(str, inputs)], output, recursive=False)
    jobs = plan_jobs(found.sources, output, file_format, overwrite=overwrite)
    run = BatchRun(
        jobs, RestoreOptions(**{"task": "denoise", "level": 30.0, **(asked or {})})
    )
    list(run.events())
    return run.outcomes


def attributes(path: Path) -> dict[str, Any]:
    found = dict(zarr.open_group(path, mode="r").attrs)
    described: Any = found.get("ome", found)
    return dict(described)


def expected(pixels: NDArray[Any], axes: str) -> NDArray[Any]:
    return restore(pixels, level=30, axes=axes)


def positions(path: Path, plane: Plane, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path, ome=True) as file:
        for n, name in enumerate(names):
            named = {"axes": "ZYX", "Name": name, "PhysicalSizeX": 0.5}
            stack = np.stack([plane(2 * n), plane(2 * n + 1)])[:, : 16 + n]
            file.write(stack, metadata=named, photometric="minisblack")
    return path


def test_each_scene_is_restored_and_kept_in_one_file(
    tmp_path: Path, plane: Plane
) -> None:
    path = positions(tmp_path / "in" / "a.ome.tif", plane, "left", "label", "right")
    (outcome,) = run_of(path.parent)
    assert outcome.status == "done"
    left, right = outcome.remark.split(", scene 1 'right': ")
    assert left.startswith("scene 0 'left': σ 30 of 255, ")
    assert right.startswith("σ 30 of 255, ")
    assert outcome.dropped == ("image 'label' (shows no specimen)",)
    with open_scenes(outcome.job.output) as scenes:
        assert scenes.names == ("left", "right")
        for number, first in enumerate((0, 4)):
            stack = np.stack([plane(first), plane(first + 1)])[:, : 16 + first // 2]
            found = scenes.open(number)
            np.testing.assert_array_equal(found.image().pixels, expected(stack, "ZYX"))
            assert found.metadata.calibration.spacing["X"] == 0.5


def test_pages_of_a_scan_are_restored_in_their_order(
    tmp_path: Path, plane: Plane
) -> None:
    path = tmp_path / "in" / "scan.tif"
    path.parent.mkdir()
    pages = [plane(0), plane(1)[:9], plane(2)]
    with tifffile.TiffWriter(path) as file:
        for n, page in enumerate(pages):
            file.write(
                page, metadata=None, description=f"page {n}", resolution=(300, 300)
            )
    (outcome,) = run_of(path)
    with tifffile.TiffFile(outcome.job.output) as file:
        assert len(file.pages) == 3
        for n, written in enumerate(file.pages):
            assert isinstance(written, tifffile.TiffPage)
            np.testing.assert_array_equal(written.asarray(), expected(pages[n], "YX"))
            assert written.description == f"page {n}"
            assert written.tags["XResolution"].value == (300, 1)


def test_scene_that_cannot_be_restored_is_named_and_the_others_are(
    tmp_path: Path, plane: Plane
) -> None:
    path = tmp_path / "in" / "mixed.tif"
    path.parent.mkdir()
    with tifffile.TiffWriter(path) as file:
        file.write(plane(0).astype(np.complex64), metadata=None)
        file.write(plane(1), metadata=None)
    (outcome,) = run_of(path)
    assert outcome.status == "done"
    assert outcome.dropped == ("scene 0 (pixels of type complex64 are not supported)",)
    np.testing.assert_array_equal(
        tifffile.imread(outcome.job.output), expected(plane(1), "YX")
    )


def test_scene_that_needs_nothing_stays_as_it_is_beside_others(
    tmp_path: Path, plane: Plane
) -> None:
    path = tmp_path / "in" / "mixed.tif"
    path.parent.mkdir()
    smooth = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint8)
    noisy = np.random.default_rng(0).normal(128, 30, (72, 80)).clip(0, 255)
    with tifffile.TiffWriter(path) as file:
        file.write(smooth, metadata=None)
        file.write(noisy.astype(np.uint8), metadata=None)
    (outcome,) = run_of(path, asked={"level": None})
    assert outcome.status == "done"
    assert "scene 0: left as it is: " in outcome.remark
    with open_image(outcome.job.output, scene=0) as image:
        np.testing.assert_array_equal(image.image().pixels, smooth)
    with open_image(outcome.job.output, scene=1) as image:
        assert (image.image().pixels != noisy.astype(np.uint8)).any()


def test_format_of_one_image_refuses_several(tmp_path: Path, plane: Plane) -> None:
    path = positions(tmp_path / "in" / "a.ome.tif", plane, "left", "right")
    (outcome,) = run_of(path, file_format="png")
    assert outcome.status == "failed"
    assert (
        "PNG holds one image, and there are 2; choose format='tiff'" in outcome.message
    )


@pytest.mark.parametrize("scale", [1, 2])
def test_scenes_become_a_collection_of_ome_zarr(
    scale: int, tmp_path: Path, plane: Plane
) -> None:
    path = positions(tmp_path / "in" / "a.ome.tif", plane, "left", "label", "right")
    asked: dict[str, Any] = {"task": "sr", "level": 2.0} if scale == 2 else {}
    outcomes = run_of(path, file_format="ome-zarr", asked=asked)
    root = tmp_path / "out" / "a.ome.zarr"
    assert [o.job.output for o in outcomes] == [root / "0", root / "1"]
    assert "left out: image 'label'" in outcomes[0].remark
    assert attributes(root)["bioformats2raw.layout"] == 3
    assert attributes(root / "OME")["series"] == ["0", "1"]
    described = tifffile.xml2dict((root / "OME" / "METADATA.ome.xml").read_text())
    images = described["OME"]["Image"]
    assert [image["Name"] for image in images] == ["left", "right"]
    sizes = [image["Pixels"]["SizeY"] for image in images]
    assert sizes == [16 * scale, 18 * scale]
    assert images[0]["Pixels"]["PhysicalSizeX"] == 0.5 / scale
    with open_scenes(root) as scenes:
        assert len(scenes) == 2
        found = scenes.open(1).image().pixels
    if scale == 1:
        stack = np.stack([plane(4), plane(5)])[:, :18]
        np.testing.assert_array_equal(found, expected(stack, "ZYX"))


def test_set_of_files_is_restored_once(
    tmp_path: Path, ome_set: Callable[..., list[Path]], plane: Plane
) -> None:
    files = ome_set(tmp_path / "in", [NAMES])
    (outcome,) = run_of(files[0].parent)
    assert outcome.job.output.name == NAMES[0]
    assert outcome.remark.startswith("with the planes of z1.ome.tif, z2.ome.tif; ")
    stack = np.stack([plane(n) for n in range(3)])
    np.testing.assert_array_equal(
        tifffile.imread(outcome.job.output), expected(stack, "ZYX")
    )
    with open_image(outcome.job.output) as image:
        assert image.metadata.calibration.spacing["X"] == 0.5
        assert image.metadata.calibration.channel_names == ("GFP",)
    (again,) = run_of(files[0].parent)
    assert again.status == "skipped"


def test_file_of_a_set_that_is_named_alone_stands_for_it(
    tmp_path: Path, ome_set: Callable[..., list[Path]]
) -> None:
    files = ome_set(tmp_path / "in", [NAMES])
    (outcome,) = run_of(files[1])
    assert outcome.job.output.name == NAMES[1]
    assert outcome.shape == (3, 20, 24)


def test_positions_in_files_of_their_own_have_results_of_their_own(
    tmp_path: Path, ome_set: Callable[..., list[Path]], plane: Plane
) -> None:
    files = ome_set(tmp_path / "in", [[name] for name in NAMES])
    outcomes = run_of(files[0].parent)
    assert [o.job.output.name for o in outcomes] == [*NAMES]
    for number, outcome in enumerate(outcomes):
        with open_scenes(outcome.job.output) as scenes:
            assert scenes.names == (f"position {number}",)
            found = np.squeeze(scenes.open(0).image().pixels)
        np.testing.assert_array_equal(found, expected(plane(number), "YX"))


def test_set_with_a_missing_file_is_restored_as_far_as_it_is_there(
    tmp_path: Path, ome_set: Callable[..., list[Path]], plane: Plane
) -> None:
    files = ome_set(tmp_path / "in", [NAMES], without=[NAMES[1]])
    (outcome,) = run_of(files[0].parent)
    assert outcome.status == "done"
    assert outcome.dropped == ("planes in 'z1.ome.tif' (not there or damaged)",)
    found = tifffile.imread(outcome.job.output)
    assert not found[1].any()
    # Planes that are not there have no say in range and level of those that are.
    there = expected(np.stack([plane(0), plane(2)]), "ZYX")
    np.testing.assert_array_equal(found[::2], there)


def test_plain_file_that_a_later_one_names_is_a_part_of_it(
    tmp_path: Path, ome_set: Callable[..., list[Path]], plane: Plane
) -> None:
    first, _ = ome_set(tmp_path / "in", [NAMES[:2]])
    tifffile.imwrite(first, plane(0), metadata=None)
    (outcome,) = run_of(first.parent)
    assert outcome.job.source.name == NAMES[1]
    assert outcome.shape == (2, 20, 24)
    assert outcome.remark.startswith("with the planes of z0.ome.tif; ")


def test_plate_is_restored_with_its_tree(
    tmp_path: Path, plate: Callable[[Path], Path], plane: Plane
) -> None:
    path = plate(tmp_path / "in" / "p.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
    outcomes = run_of(path.parent)
    root = tmp_path / "out" / "p.zarr"
    places = ["A/1/0", "A/1/1", "A/2/0"]
    assert [o.job.output for o in outcomes] == [root / place for place in places]
    for place in ("", "A/1", "A/2"):
        assert attributes(root / place) == attributes(path / place)
    for place, number in zip(places, (10, 11, 20), strict=True):
        with open_image(root, scene=place) as image:
            np.testing.assert_array_equal(
                image.image().pixels, expected(plane(number)[None], "CYX")
            )
    # Nothing repeats the metadata of the source's arrays, and nothing is left behind.
    assert not [*root.rglob(".zmetadata"), *root.rglob("*.memnet")]
    texts = [p.read_text() for p in root.rglob("zarr.json")]
    assert not any("consolidated_metadata" in json.loads(text) for text in texts)


def test_what_is_done_of_a_plate_is_not_done_again(
    tmp_path: Path, plate: Callable[[Path], Path]
) -> None:
    path = plate(tmp_path / "in" / "p.zarr")
    run_of(path / "A" / "1" / "0")  # a result of its own, not one of the plate
    assert [o.status for o in run_of(path)] == ["done"] * 3
    assert [o.status for o in run_of(path)] == ["skipped"] * 3
    assert [o.status for o in run_of(path, overwrite=True)] == ["done"] * 3


@pytest.mark.parametrize("scale", [1, 2])
def test_collection_keeps_its_description(
    scale: int, tmp_path: Path, collection: Callable[[Path], Path]
) -> None:
    path = collection(tmp_path / "in" / "c.zarr")
    asked: dict[str, Any] = {"task": "sr", "level": 2.0} if scale == 2 else {}
    assert [o.status for o in run_of(path, asked=asked)] == ["done"] * 2
    root = tmp_path / "out" / "c.zarr"
    assert attributes(root) == attributes(path)
    assert attributes(root / "OME") == attributes(path / "OME")
    described = root / "OME" / "METADATA.ome.xml"
    if scale == 1:
        assert (
            described.read_bytes() == (path / "OME" / "METADATA.ome.xml").read_bytes()
        )
    else:
        images = tifffile.xml2dict(described.read_text())["OME"]["Image"]
        assert [image["Pixels"]["SizeY"] for image in images] == [40, 40]
        assert [image["Pixels"]["PhysicalSizeX"] for image in images] == [0.25, 0.25]


def test_collection_becomes_a_folder_of_files(
    tmp_path: Path, plate: Callable[[Path], Path], plane: Plane
) -> None:
    path = plate(tmp_path / "in" / "p.ome.zarr")
    outcomes = run_of(path, file_format="tiff")
    folder = tmp_path / "out" / "p" / "A"
    assert [o.job.output for o in outcomes] == [
        folder / "1" / "0.tif",
        folder / "1" / "1.tif",
        folder / "2" / "0.tif",
    ]
    assert "attributes of the collection are not kept" in outcomes[0].remark
    found = np.squeeze(tifffile.imread(outcomes[2].job.output))
    np.testing.assert_array_equal(found, expected(plane(20), "YX"))


@pytest.mark.parametrize(
    ("inner", "name"),
    [
        ("A/1/0", "p_A_1_0.zarr"),
        ("A/2", "p_A_2.zarr"),
        ("A", "p_A.zarr"),
        ("", "p.zarr"),
    ],
)
def test_part_of_a_plate_is_named_by_its_place(
    inner: str, name: str, tmp_path: Path, plate: Callable[[Path], Path]
) -> None:
    path = plate(tmp_path / "in" / "p.zarr") / inner
    found = find_inputs([str(path)], tmp_path / "out", recursive=False)
    assert found.sources == [InputFile(path, Path(name))]


def test_fields_of_one_number_from_two_plates_have_names_of_their_own(
    tmp_path: Path, plate: Callable[[Path], Path]
) -> None:
    fields = [plate(tmp_path / "in" / f"{name}.zarr") / "A/2/0" for name in "pq"]
    outcomes = run_of(*fields)
    assert [o.job.output.name for o in outcomes] == ["p_A_2_0.zarr", "q_A_2_0.zarr"]
    for outcome in outcomes:
        with open_image(outcome.job.output) as image:
            assert image.sizes == (1, 20, 24)


def test_files_of_a_set_are_a_set_only_as_far_as_they_say_so(
    tmp_path: Path, ome_set: Callable[..., list[Path]], plane: Plane
) -> None:
    first, second = ome_set(tmp_path / "in", [NAMES[:2]])
    (other,) = ome_set(tmp_path / "other", [["alone.ome.tif"]])
    second.write_bytes(other.read_bytes())
    outcomes = run_of(first.parent)
    assert [o.job.source.name for o in outcomes] == [*NAMES[:2]]
