"""Restoring what is seen, what a shape encloses, and planes larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
import pytest
import zarr

from memnet_core.sources.sampling import sampled_blocks
from napari_memnet.layers import result_store
from napari_memnet.layers.source import layer_planes, origin

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from napari_memnet.widgets.restore import RestoreWidget

    Chunks = set[tuple[int, int]]

SIDE, CHUNK = 60_000, 1_000


def slide(read: list[tuple[int, int]]) -> dask.array.Array:
    """Make a plane of 7.2 GB whose chunks count their reads, and cost nothing."""

    def chunk(block_info: Any) -> NDArray[np.uint16]:
        place = block_info[None]["chunk-location"]
        read.append(tuple(place))
        rng = np.random.default_rng(place)
        return rng.normal(3000, 200, (CHUNK, CHUNK)).astype(np.uint16)

    counts = (SIDE // CHUNK,) * 2
    return dask.array.map_blocks(
        chunk,
        chunks=tuple((CHUNK,) * count for count in counts),
        dtype=np.uint16,
        meta=np.empty((0, 0), np.uint16),
    )


@pytest.fixture
def read() -> list[tuple[int, int]]:
    return []


@pytest.fixture
def big(viewer: Any, read: list[tuple[int, int]]) -> Any:
    """Open the slide with two levels below it, half a micrometre a pixel."""
    lower = [np.full((side, side), 3000, np.uint16) for side in (3750, 938)]
    layer = viewer.add_image(
        [slide(read), *lower],
        name="slide",
        scale=(0.5, 0.5),
        translate=(100, 200),
        units=("um", "um"),
        contrast_limits=(0, 5000),
    )
    viewer.window.resize(900, 700)
    return layer


def chunks_of(*slices: slice) -> Chunks:
    rows, columns = (range(s.start // CHUNK, -(-s.stop // CHUNK)) for s in slices)
    return {(row, column) for row in rows for column in columns}


def sampled(layer: Any) -> Chunks:
    """Return the chunks that range and level are judged by."""
    found: Chunks = set()

    class Recorder:
        shape = layer_planes(layer).shape

        def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
            found.update(chunks_of(rows, columns))
            return np.zeros((1, 1, 1))

    source: Any = Recorder()
    sampled_blocks(source, [0])
    return found


def test_of_a_slide_only_the_area_that_is_seen_and_a_sample_are_read(
    widget: RestoreWidget, viewer: Any, big: Any, read: Any, wait: Any, qtbot: Any
) -> None:
    # One pixel of the canvas is one of the slide, in its middle.
    viewer.scene.camera.center = (0, 100 + 0.5 * 30_000, 200 + 0.5 * 30_000)
    viewer.scene.camera.zoom = 2.0
    viewer.__wrapped__.window._qt_window.show()
    wait(lambda: big.data_level == 0)
    qtbot.wait(300)
    canvas = viewer.canvas.size
    widget.part.value = "what is seen"
    read.clear()
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert "Done in" in widget.run.status.text()
    result = viewer.layers[-1]
    rows, columns = (slice(*part) for part in origin(result)["region"])
    height, width = rows.stop - rows.start, columns.stop - columns.start
    assert np.abs(np.subtract((height, width), canvas)).max() <= 1
    assert result.data.shape == (height, width)
    assert result.name.startswith(
        f"slide, {width}×{height} px at x {columns.start}, y {rows.start}, denoised"
    )
    np.testing.assert_array_equal(result.scale, (0.5, 0.5))
    np.testing.assert_array_equal(
        result.translate, (100 + 0.5 * rows.start, 200 + 0.5 * columns.start)
    )
    # The network sees a few pixels more than what is restored.
    wide = [slice(part.start - 64, part.stop + 64) for part in (rows, columns)]
    assert set(read) <= chunks_of(*wide) | sampled(big)
    assert len(set(read)) < 0.03 * (SIDE // CHUNK) ** 2


def test_the_box_of_shapes_is_restored_at_its_place_in_the_whole(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    source = viewer.add_image(
        noise(3, 40, 48), scale=(2, 0.5, 0.5), translate=(0, 10, 20), name="cells"
    )
    # In micrometres: rows 4.5 to 20.2 and columns 8.0 to 30.0 of the image.
    corners = np.array([[12.25, 24], [20.1, 24], [20.1, 35], [12.25, 35]])
    viewer.add_shapes([corners], name="nucleus")
    viewer.layers.selection = {source}
    widget.layer.value = source
    widget.extent.value = "whole layer"
    widget.part.value = viewer.layers["nucleus"]
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert "Done in" in widget.run.status.text()
    # Shapes stay on top.
    assert [layer.name for layer in viewer.layers][::2] == ["cells", "nucleus"]
    part = viewer.layers[1]
    assert origin(part)["region"] == [[0, 3], [5, 21], [8, 31]]
    assert part.data.shape == (3, 16, 23)
    widget.part.value = "all of it"
    widget.apply()
    wait(lambda: widget.run.work is None)
    whole = viewer.layers[2]
    np.testing.assert_array_equal(part.data, whole.data[:, 5:21, 8:31])
    np.testing.assert_allclose(part.translate, (0, 10 + 2.5, 20 + 4))


def test_a_layer_that_is_out_of_view_is_one_sentence(
    noise: Any, widget: RestoreWidget, viewer: Any
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    viewer.scene.camera.center = (0, 9000, 9000)
    widget.part.value = "what is seen"
    widget.apply()
    assert "'cells' is out of view" in widget.run.status.text()
    viewer.dims.ndisplay = 3
    widget.apply()
    assert "in a 2D view only" in widget.run.status.text()
    assert widget.run.work is None


def test_of_several_shapes_the_selected_ones_count(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    source = viewer.add_image(noise(40, 48), name="cells")
    boxes = [[[1, 1], [8, 8]], [[20, 20], [29, 38]]]
    shapes = viewer.add_shapes(boxes, shape_type="rectangle", name="boxes")
    widget.layer.value = source
    widget.part.value = viewer.layers["boxes"]
    whole = layer_planes(source).region
    assert widget._region(source).slices == (slice(1, 30), slice(1, 39))
    shapes.selected_data = {1}
    assert widget._region(source).slices == (slice(20, 30), slice(20, 39))
    assert whole.shape == (40, 48)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [([], "has no shape yet"), ([[[100, 100], [120, 130]]], "lie beside 'cells'")],
)
def test_shapes_that_enclose_nothing_are_one_sentence(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    boxes: list[Any],
    sentence: str,
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    viewer.add_shapes(boxes or None, ndim=2, shape_type="rectangle", name="boxes")
    widget.part.value = viewer.layers["boxes"]
    widget.apply()
    assert sentence in widget.run.status.text()
    assert widget.run.work is None


def test_shapes_can_be_chosen_by_the_name_that_they_have_now(
    noise: Any, widget: RestoreWidget, viewer: Any
) -> None:
    viewer.add_image(noise(40, 48))
    shapes = viewer.add_shapes([[[1, 1], [8, 8]]], shape_type="rectangle")
    names = [name for name, _ in widget._areas()]
    assert names == ["all of it", "what is seen", "inside “Shapes”"]
    shapes.name = "nuclei"
    assert widget.part.native.itemText(2) == "inside “nuclei”"
    widget.part.value = viewer.layers["nuclei"]
    viewer.layers.remove(shapes)
    assert widget.part.value == "all of it"


def test_a_large_result_fills_as_it_comes_and_has_levels(
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    noise: Any,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(result_store, "LARGEST_PLANE", 1000)
    monkeypatch.setattr(result_store, "_SMALLEST_LEVEL", 64)
    monkeypatch.setattr("napari_memnet.widgets.restore_runner._REFRESH_S", 0)
    source = viewer.add_image(noise(200, 130), scale=(2, 2), name="slide")
    widget.apply()
    wait(lambda: len(viewer.layers) == 2)
    made = viewer.layers[-1]
    assert made.multiscale
    assert all(isinstance(level, zarr.Array) for level in made.data)
    assert [level.shape for level in made.data] == [(200, 130), (100, 65), (50, 33)]
    assert not made.data[0][:].any()
    assert widget.run.work is not None
    gate.set()
    wait(lambda: widget.run.work is None)
    assert viewer.layers[-1] == made
    assert len(viewer.layers) == 2
    assert "until napari ends; save the layer" in widget.run.status.text()
    full = np.asarray(made.data[0])
    assert full.any()
    np.testing.assert_array_equal(made.data[2][:], full[::4, ::4])
    np.testing.assert_array_equal(made.extent.world, source.extent.world)


def test_a_large_result_that_is_cancelled_leaves_neither_layer_nor_files(
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    noise: Any,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(result_store, "LARGEST_PLANE", 1000)
    viewer.add_image(noise(200, 130), name="slide")
    widget.apply()
    wait(lambda: len(viewer.layers) == 2)
    assert list(tmp_path.glob("memnet-*"))
    widget.run.cancel()
    gate.set()
    wait(lambda: widget.run.work is None)
    assert [layer.name for layer in viewer.layers] == ["slide"]
    assert not list(tmp_path.glob("memnet-*"))
