"""Restoring regions of layers, without a viewer."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
import pytest
from napari.layers import Image
from PIL import Image as PillowImage

from memnet_core._old_tasks import TaskSettings, restore_image
from memnet_core.batch import BatchSettings
from memnet_core.engine import EventsWithResult, TileDone
from memnet_core.errors import ImageError, LevelError
from memnet_core.io import Image as CoreImage
from napari_memnet.layers import Region
from napari_memnet.restoration import (
    LayerSource,
    Prepared,
    Restored,
    automatic_range,
    progress_of,
    restore_region,
    result_layer,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.model.file import Task

pytestmark = pytest.mark.usefixtures("models")


def settings_for(
    task: Task = "denoise", level: float | None = 25, **settings: Any
) -> BatchSettings:
    choice = settings.pop("value_range", "dtype")
    return BatchSettings(
        task=TaskSettings(task=task, level=level, value_range=choice),
        nearest=True,
        **settings,
    )


def restored(
    layer: Image,
    settings: BatchSettings,
    region: Region | None = None,
    **kwargs: Any,
) -> tuple[Restored, list[Any]]:
    source = LayerSource.of(layer, region)
    events = EventsWithResult(restore_region(source, settings, **kwargs))
    seen = list(events)
    return events.result, seen


def noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    pixels = np.random.default_rng(3).integers(0, 250, shape)
    return pixels.astype(dtype)


def by_the_core(pixels: NDArray[Any], axes: str, settings: BatchSettings) -> Any:
    from memnet_core.model.file import load_model

    entry = settings.choose(settings.task.level)
    restorer = settings.restorer(load_model(entry.path)[0])
    work = EventsWithResult(
        restore_image(CoreImage(pixels, axes), restorer, settings.task)
    )
    list(work)
    return work.result.pixels


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((33, 41), "YX"), ((33, 41, 3), "YXS"), ((2, 3, 20, 24), "TZYX")],
    ids=["2D", "colour", "4D"],
)
@pytest.mark.parametrize("task", ["denoise", "deblock", "sr"])
def test_a_layer_becomes_what_the_command_makes_of_it(
    task: Task, shape: tuple[int, ...], axes: str
) -> None:
    pixels = noise(*shape, dtype="uint8")
    settings = settings_for(task, 3 if task == "sr" else 25)
    layer = Image(pixels, rgb=axes.endswith("S"))
    result, _ = restored(layer, settings)
    expected = by_the_core(pixels, axes, settings)
    assert result.data.dtype == np.uint8
    np.testing.assert_array_equal(result.data, expected)
    assert not np.array_equal(result.data[..., : layer.data.shape[-1]], pixels)


@pytest.mark.parametrize("task", ["denoise", "sr"])
@pytest.mark.parametrize(
    "window", [(slice(20, 45), slice(31, 52)), (slice(0, 1), slice(59, 60))], ids=str
)
def test_a_window_is_the_same_part_of_the_restored_plane(
    task: Task, window: tuple[slice, slice]
) -> None:
    layer = Image(noise(2, 70, 60, dtype="uint8"))
    scale = 2 if task == "sr" else 1
    settings = settings_for(task, 2 if task == "sr" else 25)
    whole, _ = restored(layer, settings)
    region = Region.whole((2, 70, 60)).at((1, 0, 0)).with_planes(*window)
    part, _ = restored(layer, settings, region)
    rows, columns = (slice(s.start * scale, s.stop * scale) for s in window)
    assert part.data.shape[0] == 1
    difference = part.data[0].astype(int) - whole.data[1, rows, columns].astype(int)
    assert np.abs(difference).max() <= 1  # rounding of a sum in another order
    assert np.mean(difference != 0) < 0.01


def test_what_it_is_done_with_is_told_before_the_first_tile() -> None:
    layer = Image(noise(3, 20, 24))
    result, events = restored(layer, settings_for(value_range=(0.0, 250.0)))
    prepared, *tiles = events
    assert isinstance(prepared, Prepared)
    assert str(prepared) == "model noise (denoise σ 0-255), on cpu, values 0 to 250"
    assert [progress_of(tile) for tile in tiles] == pytest.approx([1 / 3, 2 / 3, 1])
    assert progress_of(prepared) is None
    assert result.provenance["values"] == [0, 250]


def test_one_range_serves_the_whole_layer_whatever_the_region() -> None:
    pixels = noise(5, 20, 24)
    pixels[4] += 1000
    layer = Image(pixels)
    settings = settings_for(value_range="percentile")
    first = Region.whole(pixels.shape).at((0, 0, 0))
    part, _ = restored(layer, settings, first)
    whole, _ = restored(layer, settings)
    assert part.provenance["values"] == whole.provenance["values"]
    np.testing.assert_array_equal(part.data[0], whole.data[0])


def test_unknown_noise_is_estimated_from_the_region() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((2, 64, 64), 128.0) + rng.normal(0, 1, (2, 64, 64)) * [
        [[5]],
        [[40]],
    ]
    layer = Image(np.clip(pixels, 0, 255).astype(np.uint8))
    levels = []
    for plane in (0, 1):
        region = Region.whole((2, 64, 64)).at((plane, 0, 0))
        result, events = restored(layer, settings_for(level=None), region)
        levels.append(result.provenance["level"])
        assert f"σ estimated as {levels[-1]:.1f}" in str(events[0])
    assert levels == pytest.approx([5, 40], rel=0.15)


def test_quality_is_read_from_the_file_that_a_layer_came_from(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    pixels = noise(32, 32, dtype="uint8")
    PillowImage.fromarray(pixels).save(path, quality=23)
    source = replace(LayerSource.of(Image(pixels)), path=str(path))
    events = EventsWithResult(restore_region(source, settings_for("deblock", None)))
    list(events)
    assert events.result.provenance["level"] == 23
    assert events.result.provenance["remark"] == "q 23 by its quantisation table"


def test_an_unknown_quality_is_said_to_be_so() -> None:
    layer = Image(noise(32, 32, dtype="uint8"))
    result, events = restored(layer, settings_for("deblock", None))
    assert result.provenance["level"] is None
    assert "JPEG quality not known" in str(events[0])


def test_a_result_beyond_the_limit_lies_on_disk_and_is_shown_lazily() -> None:
    layer = Image(noise(4, 20, 24))
    settings = settings_for()
    in_memory, _ = restored(layer, settings)
    on_disk, _ = restored(layer, settings, memory_limit=100)
    assert isinstance(in_memory.data, np.ndarray)
    assert isinstance(on_disk.data, dask.array.Array)
    assert on_disk.data.chunks == ((1, 1, 1, 1), (20,), (24,))
    np.testing.assert_array_equal(on_disk.data.compute(), in_memory.data)
    assert Path(on_disk.provenance["store"]).is_dir()


def test_cancelled_work_leaves_nothing_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    work = restore_region(
        LayerSource.of(Image(noise(4, 20, 24))), settings_for(), memory_limit=100
    )
    with closing(work):
        assert isinstance(next(work), Prepared)
        for event in work:
            assert isinstance(event, TileDone)
            if event.done == 2:
                break
        assert list(tmp_path.glob("memnet-*"))
    assert not list(tmp_path.glob("memnet-*"))


def test_a_plane_that_is_not_finite_leaves_nothing_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pixels = np.zeros((3, 20, 24), np.float32)
    pixels[2, 1, 1] = np.nan
    layer = Image(pixels, contrast_limits=(0, 1))
    with pytest.raises(ImageError, match="1 of 480 values are NaN"):
        restored(layer, settings_for(value_range=(0.0, 1.0)), memory_limit=100)
    assert not list(tmp_path.glob("memnet-*"))


def test_planes_of_a_dask_layer_are_computed_one_at_a_time() -> None:
    pixels = noise(4, 20, 24)
    sizes: list[tuple[int, ...]] = []

    def load(block: NDArray[Any]) -> NDArray[Any]:
        sizes.append(block.shape)
        return block

    lazy = dask.array.from_array(pixels, chunks=(1, 20, 24)).map_blocks(
        load, dtype=pixels.dtype, meta=np.empty((0, 0, 0), np.uint16)
    )
    layer = Image(lazy, contrast_limits=(0, 250))
    sizes.clear()
    result, _ = restored(layer, settings_for(value_range=(0.0, 250.0)))
    expected, _ = restored(Image(pixels), settings_for(value_range=(0.0, 250.0)))
    assert sizes == [(1, 20, 24)] * 4
    np.testing.assert_array_equal(result.data, expected.data)


def test_the_full_resolution_of_a_multiscale_layer_is_restored() -> None:
    pixels = noise(40, 48, dtype="uint8")
    layer = Image([pixels, pixels[::2, ::2]])
    result, events = restored(layer, settings_for())
    expected, _ = restored(Image(pixels), settings_for())
    assert str(events[0]).startswith("level 0 of the multiscale layer, model noise")
    np.testing.assert_array_equal(result.data, expected.data)
    assert not Image(*result_layer(layer, result)[:1]).multiscale


def test_the_result_is_a_twin_that_tells_how_it_came_to_be() -> None:
    layer = Image(
        noise(3, 20, 24),
        name="cells",
        scale=(2, 0.5, 0.5),
        metadata={"author": "someone"},
    )
    result, _ = restored(layer, settings_for("sr", 2))
    data, attributes, kind = result_layer(layer, result)
    twin = Image(data, **attributes)
    assert (twin.name, kind) == ("cells enlarged", "image")
    # Pixel edges agree: half a pixel beyond the centres that extents are given for.
    np.testing.assert_allclose(twin.scale, (2, 0.25, 0.25))
    np.testing.assert_allclose(twin.translate, (0, -0.125, -0.125))
    assert twin.metadata["author"] == "someone"
    told = twin.metadata["memnet"]
    assert json.loads(json.dumps(told))["model"] == "large"
    assert told["source"] == {"layer": "cells", "path": None}
    assert len(told["model_sha256"]) == 64
    assert "memnet" not in layer.metadata


def test_a_level_that_no_model_covers_takes_the_nearest_model() -> None:
    layer = Image(noise(20, 24, dtype="uint8"))
    result, _ = restored(layer, settings_for("deblock", 200))
    assert result.provenance["model"] == "blocks"
    with pytest.raises(LevelError, match="No model for deblock covers q 200"):
        BatchSettings(task=TaskSettings(task="deblock", level=200)).choose(200)


@pytest.mark.parametrize(
    ("dtype", "choice"),
    [
        ("uint8", "dtype"),
        ("bool", "dtype"),
        ("uint16", "percentile"),
        ("float32", "percentile"),
    ],
)
def test_an_automatic_range_suits_the_type(dtype: str, choice: str) -> None:
    layer = Image(np.zeros((4, 4), dtype), contrast_limits=(0, 1))
    assert automatic_range(layer) == choice
