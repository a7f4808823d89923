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
import zarr
from napari.layers import Image
from PIL import Image as PillowImage

import memnet_core
from memnet_core.errors import LevelError
from memnet_core.inference.plan import Prepared
from memnet_core.inference.settings import RestoreOptions
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import save_model
from memnet_core.progress import GeneratorWithResult, Progress
from memnet_core.tasks import TASKS, Levels
from napari_memnet import sample_data
from napari_memnet.jobs.restore import (
    LayerRestored,
    RestoreRequest,
    progress_of,
    restore_layers,
    restore_region,
)
from napari_memnet.layers.results import RestoredRegion, result_layer
from napari_memnet.layers.source import LayerRegion

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.model.network import MemNet

pytestmark = pytest.mark.usefixtures("models")


def settings_for(
    task: str = "denoise", level: float | None = 25, **settings: Any
) -> RestoreOptions:
    asked: dict[str, Any] = {"value_range": "dtype", "nearest": True} | settings
    return RestoreOptions(task=task, level=level, **asked)


def restored(
    layer: Image,
    settings: RestoreOptions,
    region: LayerRegion | None = None,
    **kwargs: Any,
) -> tuple[RestoredRegion, list[Any]]:
    source = RestoreRequest.of(layer, region)
    events = GeneratorWithResult(restore_region(source, settings, **kwargs))
    seen = list(events)
    return events.result, seen


def noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    pixels = np.random.default_rng(3).integers(0, 250, shape)
    return pixels.astype(dtype)


def ranges_of(result: RestoredRegion) -> list[tuple[float, float]]:
    scalings = [channel["scaling"] for channel in result.provenance["channels"]]
    return [(scaling["low"], scaling["high"]) for scaling in scalings]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((33, 41), "YX"), ((33, 41, 3), "YXS"), ((2, 3, 20, 24), "TZYX")],
    ids=["2D", "color", "4D"],
)
@pytest.mark.parametrize("task", ["denoise", "deblock", "sr"])
def test_a_layer_becomes_what_the_command_makes_of_it(
    task: str, shape: tuple[int, ...], axes: str
) -> None:
    pixels = noise(*shape, dtype="uint8")
    level = 3 if task == "sr" else 25
    layer = Image(pixels, rgb=axes.endswith("S"))
    result, _ = restored(layer, settings_for(task, level))
    expected = memnet_core.restore(pixels, task, level, axes=axes, value_range="dtype")
    assert result.data.dtype == np.uint8
    np.testing.assert_array_equal(result.data, expected)
    assert not np.array_equal(result.data[..., : layer.data.shape[-1]], pixels)


@pytest.fixture
def of_unshuffle(
    models_folder: Path, tiny_model: Callable[[Architecture], MemNet]
) -> Callable[[int, str, int], str]:
    """Install a network of an unshuffle for a task, and return its name."""

    def install(unshuffle: int, task: str, image_channels: int) -> str:
        name = f"{task}-u{unshuffle}c{image_channels}"
        architecture = Architecture(
            memory_blocks=2,
            recursions=1,
            channels=4,
            unshuffle=unshuffle,
            image_channels=image_channels,
        )
        save_model(
            models_folder / f"{name}.safetensors",
            tiny_model(architecture),
            name=name,
            task=task,
            levels=Levels(values=TASKS[task].bounds, continuous=True),
            version="1.0",
            license="BSD-3-Clause",
        )
        return name

    return install


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("colors", ["gray", "each", "luminance", "joint"])
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("unshuffle", [1, 2, 3])
def test_a_window_is_the_same_part_of_the_restored_plane(
    of_unshuffle: Callable[[int, str, int], str],
    unshuffle: int,
    scale: int,
    colors: str,
    dtype: str,
) -> None:
    task = "sr" if scale == 2 else "denoise"
    shape = (2, 71, 65) if colors == "gray" else (2, 71, 65, 3)
    joint = 3 if colors == "joint" else 1
    settings = settings_for(
        task,
        scale if task == "sr" else 25,
        value_range=(0, 250),
        channels=None if colors == "gray" else colors,
        model=of_unshuffle(unshuffle, task, joint),
    )
    pixels = noise(*shape, dtype=dtype)
    layer = Image(pixels, rgb=colors != "gray", contrast_limits=(0, 250))
    whole, _ = restored(layer, settings)
    for rows, columns in [((23, 44), (31, 52)), ((0, 1), (64, 65)), ((70, 71), (7, 8))]:
        window = LayerRegion.whole((2, 71, 65)).at((1, 0, 0))
        window = window.with_planes(slice(*rows), slice(*columns))
        part, _ = restored(layer, settings, window)
        top, bottom, left, right = (scale * edge for edge in (*rows, *columns))
        expected = whole.data[1:, top:bottom, left:right]
        if dtype == "float32":
            # Relative to the range: values reach from 0 to 250.
            np.testing.assert_allclose(part.data, expected, rtol=0, atol=250e-6)
        else:
            np.testing.assert_array_equal(part.data, expected)
    assert not np.array_equal(whole.data[:, ::scale, ::scale], pixels)


def test_what_it_is_done_with_is_told_before_the_first_strip() -> None:
    layer = Image(noise(3, 20, 24))
    result, events = restored(layer, settings_for(value_range=(0.0, 250.0)))
    prepared, *strips = events
    assert isinstance(prepared, Prepared)
    assert str(prepared) == (
        "σ 25 of 255, 24.5 in values of the image, model noise (denoise σ 0-255), "
        "on cpu, values 0 to 250"
    )
    done = [progress_of(event) or 0 for event in strips]
    assert done == sorted(done)
    assert len(done) >= 3
    assert done[-1] == 1
    assert progress_of(prepared) is None
    assert ranges_of(result) == [(0, 250)]


def test_one_range_serves_the_whole_layer_whatever_the_region() -> None:
    pixels = noise(5, 20, 24)
    pixels[4] += 1000
    layer = Image(pixels)
    settings = settings_for(value_range="auto")
    first = LayerRegion.whole(pixels.shape).at((0, 0, 0))
    part, _ = restored(layer, settings, first)
    whole, _ = restored(layer, settings)
    assert ranges_of(part) == ranges_of(whole)
    assert ranges_of(part)[0][1] > 1000
    np.testing.assert_array_equal(part.data[0], whole.data[0])


def test_each_channel_has_a_range_and_a_level_of_its_own() -> None:
    rng = np.random.default_rng(0)
    steps = np.where(np.arange(64) % 32 < 16, 0.0, 1.0)
    dim = 100 + 20 * steps + rng.normal(0, 1, (2, 64, 64))
    bright = 5000 + 20000 * steps + rng.normal(0, 3000, (2, 64, 64))
    pixels = np.stack([dim, bright]).astype(np.uint16)
    settings = settings_for(level=None, value_range="auto")
    layer = Image(pixels, axis_labels=("c", "z", "y", "x"))
    result, events = restored(layer, settings)
    (low, high), (_, highest) = ranges_of(result)
    assert 90 < low < 110
    assert 110 < high < 140
    assert highest > 20000
    weak, strong = (channel["level"] for channel in result.provenance["channels"])
    assert weak < strong == result.provenance["level"]
    assert f"values {low:g} to {high:g} and " in str(events[0])
    alone, _ = restored(Image(pixels[0]), settings_for(level=weak, value_range="auto"))
    np.testing.assert_array_equal(result.data[0], alone.data)


def test_unknown_noise_is_that_of_the_layer_whatever_the_region() -> None:
    rng = np.random.default_rng(0)
    deviations = np.array([5, 40, 5])[:, None, None]
    pixels = 128 + rng.normal(0, 1, (3, 64, 64)) * deviations
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    layer = Image(pixels)
    levels = []
    for plane in (0, 1):
        region = LayerRegion.whole((3, 64, 64)).at((plane, 0, 0))
        result, events = restored(layer, settings_for(level=None), region)
        levels.append(result.provenance["level"])
        assert f"σ estimated as {levels[-1]:.1f}" in str(events[0])
    assert levels[0] == levels[1] == pytest.approx(40, rel=0.25)


def test_quality_is_read_from_the_file_that_a_layer_came_from(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    pixels = noise(32, 32, dtype="uint8")
    PillowImage.fromarray(pixels).save(path, quality=23)
    source = replace(RestoreRequest.of(Image(pixels)), path=str(path))
    events = GeneratorWithResult(restore_region(source, settings_for("deblock", None)))
    list(events)
    assert events.result.provenance["level"] == 23
    assert events.result.provenance["remark"] == "q 23 by its quantization table"


def test_a_file_of_another_size_than_its_layer_tells_the_quality_and_no_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "picture.jpg"
    pixels = noise(64, 48, dtype="uint8")
    PillowImage.fromarray(pixels).save(path, quality=23)
    part = np.asarray(PillowImage.open(path))[3:35, 5:37]
    source = replace(RestoreRequest.of(Image(part)), path=str(path))
    events = GeneratorWithResult(restore_region(source, settings_for("deblock", None)))
    list(events)
    assert events.result.provenance["level"] == 23
    # The blocks of the file lie elsewhere in the layer, which is held to none.
    alone, _ = restored(Image(part), settings_for("deblock", 23))
    np.testing.assert_array_equal(events.result.data, alone.data)


def test_progress_is_that_of_all_layers() -> None:
    layers = [Image(noise(2, 20, 24), name=name) for name in "abc"]
    parts = [(RestoreRequest.of(layer), settings_for()) for layer in layers]
    events = GeneratorWithResult(restore_layers(parts))
    seen = [e for e in events if isinstance(e, Progress | LayerRestored)]
    fractions = [e.fraction for e in seen if isinstance(e, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    done = [n for n, e in enumerate(seen) if isinstance(e, LayerRestored)]
    last = [seen[n - 1] for n in done]
    reached = [e.fraction for e in last if isinstance(e, Progress)]
    np.testing.assert_allclose(reached, (1 / 3, 2 / 3, 1))
    assert events.result == []


def test_a_layer_that_fails_is_told_beside_others_and_raises_by_itself() -> None:
    good = RestoreRequest.of(Image(noise(20, 24), name="good"))
    bad = RestoreRequest.of(Image(noise(20, 24), name="bad"))
    settings, unknown = settings_for(), settings_for("deblock", None)
    with pytest.raises(LevelError, match="give it as a number"):
        list(restore_layers([(bad, unknown)]))
    events = GeneratorWithResult(restore_layers([(bad, unknown), (good, settings)]))
    numbers = [e.number for e in events if isinstance(e, LayerRestored)]
    assert numbers == [1]
    assert [lost.number for lost in events.result] == [0]


def test_a_quality_that_cannot_be_known_is_asked_for() -> None:
    layer = Image(noise(32, 32, dtype="uint8"))
    with pytest.raises(LevelError, match=r"no JPEG quantization tables.*; give it"):
        restored(layer, settings_for("deblock", None))


def test_the_quality_of_the_sample_is_known_and_that_of_its_result_is_not() -> None:
    ((pixels, attributes, _),) = sample_data.jpeg_q10()
    layer = Image(pixels[:64, :64], **attributes)
    result, _ = restored(layer, settings_for("deblock", None))
    assert result.provenance["level"] == 10
    data, kept, _ = result_layer(layer, result)
    with pytest.raises(LevelError):
        restored(Image(data, **kept), settings_for("deblock", None))


def test_a_result_beyond_the_limit_lies_on_disk_and_is_shown_lazily() -> None:
    layer = Image(noise(4, 20, 24))
    settings = settings_for(value_range="auto")
    in_memory, _ = restored(layer, settings)
    on_disk, _ = restored(layer, settings, memory_limit=100)
    assert isinstance(in_memory.data, np.ndarray)
    assert isinstance(on_disk.data, zarr.Array)
    assert on_disk.data.chunks == (1, 20, 24)
    np.testing.assert_array_equal(on_disk.data[:], in_memory.data)
    assert Path(on_disk.provenance["store"]).is_dir()


def test_cancelled_work_leaves_nothing_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = RestoreRequest.of(Image(noise(4, 20, 24)))
    settings = settings_for(value_range="auto")
    work = restore_region(source, settings, memory_limit=100)
    with closing(work):
        assert isinstance(next(work), Prepared)
        assert isinstance(next(work), RestoredRegion)
        for event in work:
            assert isinstance(event, Progress)
            if event.fraction >= 0.5:
                break
        assert list(tmp_path.glob("memnet-*"))
    assert not list(tmp_path.glob("memnet-*"))


def test_a_plane_that_cannot_be_read_leaves_nothing_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def load(block: NDArray[Any], block_info: Any = None) -> NDArray[Any]:
        # not among the 16 planes that are looked at before
        if block_info and block_info[None]["chunk-location"][0] == 39:
            raise OSError("the disk is gone")
        return block

    pixels = noise(40, 20, 24, dtype="float32")
    lazy = dask.array.from_array(pixels, chunks=(1, 20, 24)).map_blocks(
        load, dtype=pixels.dtype, meta=np.empty((0, 0, 0), np.float32)
    )
    layer = Image(lazy, contrast_limits=(0, 250))
    with pytest.raises(OSError, match="the disk is gone"):
        restored(layer, settings_for(value_range=(0.0, 250.0)), memory_limit=100)
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
    # To see whether they can be restored, and to restore them.
    assert sizes == [(1, 20, 24)] * 8
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
    assert (twin.name, kind) == ("cells enlarged × 2 by large", "image")
    # Pixel edges agree: half a pixel beyond the centers that extents are given for.
    np.testing.assert_allclose(twin.scale, (2, 0.25, 0.25))
    np.testing.assert_allclose(twin.translate, (0, -0.125, -0.125))
    assert twin.metadata["author"] == "someone"
    told = twin.metadata["memnet"]
    assert json.loads(json.dumps(told))["model"] == "large"
    assert told["source"] == {"layer": "cells", "path": None}
    assert len(told["model_sha256"]) == 64
    assert "memnet" not in layer.metadata


def test_a_level_that_no_model_covers_takes_the_nearest_and_it_is_said(
    install: Callable[..., Path],
) -> None:
    install("narrow", 20, 40)
    layer = Image(noise(20, 24, dtype="uint8"))
    settings = settings_for("deblock", 90, model="narrow")
    result, events = restored(layer, settings)
    assert result.provenance["model"] == "narrow"
    assert "beyond q 40, the nearest of the model" in str(events[0])
    with pytest.raises(LevelError, match="covers q 20-40, not 90"):
        restored(layer, replace(settings, nearest=False))
