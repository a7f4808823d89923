"""Geometry: a restored region lies exactly where its source is."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dask
import dask.array
import numpy as np
import pytest
import zarr
from napari.layers import Image

from memnet_core.errors import ImageError
from napari_memnet.layers.source import (
    LayerRegion,
    LayerSource,
    aligned_layer_attributes,
    layer_planes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

AFFINE_2D = np.array([[1.2, 0.3, 5], [-0.1, 0.9, -7], [0, 0, 1]])
AFFINE_3D = np.eye(4) + np.arange(16).reshape(4, 4) / 50 * [[1], [1], [1], [0]]

TRANSFORMS: dict[str, dict[str, Any]] = {
    "none": {},
    "scale": {"scale": (0.5, 0.25)},
    "translate": {"translate": (10, -3)},
    "scale and translate": {"scale": (2, 3), "translate": (7, 11)},
    "rotate": {"rotate": 30},
    "rotate, scale": {"rotate": -70, "scale": (0.1, 4)},
    "shear": {"shear": [0.4]},
    "shear, scale, rotate": {"shear": [0.4], "scale": (2, 0.3), "rotate": 12},
    "affine": {"affine": AFFINE_2D},
    "all": {
        "scale": (2, 0.5),
        "translate": (1, -20),
        "rotate": 40,
        "shear": [0.2],
        "affine": AFFINE_2D,
    },
}
TRANSFORMS_3D: dict[str, dict[str, Any]] = {
    "scale": {"scale": (3, 0.5, 0.25)},
    "all": {
        "scale": (3, 0.5, 0.25),
        "translate": (4, 1, -2),
        "rotate": (10, 20, 30),
        "shear": (0.1, 0.2, 0.3),
        "affine": AFFINE_3D,
    },
}
WHOLE = slice(0, 20), slice(0, 30)
CASES = [
    *((name, kwargs, (20, 30)) for name, kwargs in TRANSFORMS.items()),
    *((f"3D {name}", kwargs, (4, 20, 30)) for name, kwargs in TRANSFORMS_3D.items()),
]


def twin_of(layer: Image, start: tuple[int, ...], shape: Any, scale: int) -> Image:
    *leading, height, width = shape
    data = np.zeros((*leading, height * scale, width * scale), layer.dtype)
    return Image(data, **aligned_layer_attributes(layer, "twin", start, scale))


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("region", ["whole", "part"])
@pytest.mark.parametrize(
    ("kwargs", "shape"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_corners_of_pixels_stay_where_they_are(
    kwargs: dict[str, Any], shape: tuple[int, ...], region: str, scale: int
) -> None:
    layer = Image(np.zeros(shape, np.uint16), **kwargs)
    ndim = len(shape)
    start = (0,) * ndim if region == "whole" else (1, 3, 5)[-ndim:]
    size = shape if region == "whole" else (2, 7, 9)[-ndim:]
    twin = twin_of(layer, start, size, scale)
    for corner in product((0, 1), repeat=ndim):
        inside = np.array([c * n for c, n in zip(corner, size, strict=True)])
        in_source = np.array(start) + inside - 0.5
        factors = np.array([*(1,) * (ndim - 2), scale, scale])
        in_twin = inside * factors - 0.5
        np.testing.assert_allclose(
            twin.data_to_world(in_twin), layer.data_to_world(in_source), atol=1e-9
        )


@pytest.mark.parametrize("scale", [1, 3])
def test_everything_that_is_seen_is_that_of_the_source(scale: int) -> None:
    layer = Image(
        np.zeros((4, 20, 30), np.uint16),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
        contrast_limits=(100, 900),
        colormap="magenta",
        gamma=0.7,
        blending="additive",
        opacity=0.6,
        metadata={"author": "someone"},
    )
    twin = twin_of(layer, (0, 0, 0), layer.data.shape, scale)
    for name in [
        "units",
        "axis_labels",
        "contrast_limits",
        "gamma",
        "blending",
        "opacity",
        "rgb",
        "dtype",
    ]:
        assert getattr(twin, name) == getattr(layer, name), name
    assert twin.colormap.name == "magenta"
    assert twin.metadata == {"author": "someone"}
    assert twin.metadata is not layer.metadata


def test_color_is_no_axis_of_the_geometry() -> None:
    layer = Image(np.zeros((20, 30, 3), np.uint8), rgb=True, scale=(2, 2))
    twin = Image(
        np.zeros((60, 90, 3), np.uint8),
        **aligned_layer_attributes(layer, "twin", (0, 0), 3),
    )
    assert twin.rgb
    corner = twin.data_to_world((-0.5, -0.5)), layer.data_to_world((-0.5, -0.5))
    np.testing.assert_allclose(*corner)


def test_planes_of_lazy_data_are_read_one_by_one() -> None:
    read: list[int] = []

    def load(number: int) -> NDArray[np.uint16]:
        read.append(number)
        return np.full((20, 30), number, np.uint16)

    lazy = [
        dask.array.from_delayed(dask.delayed(load)(i), (20, 30), np.uint16)
        for i in range(20)
    ]
    stack = dask.array.stack(lazy).reshape(5, 4, 20, 30)
    layer = Image(stack, contrast_limits=(0, 20))
    read.clear()
    planes = layer_planes(layer)
    assert planes.shape == (20, 20, 30, 1)
    np.testing.assert_array_equal(planes.read(7, *WHOLE), np.full((20, 30, 1), 7))
    assert read == [7]


@pytest.mark.parametrize("rgb", [False, True])
def test_strips_from_top_to_bottom_decode_each_chunk_once(rgb: bool) -> None:
    shape = (2, 50, 37, 3) if rgb else (2, 50, 37)
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    chunks = (1, (20, 7, 23), (30, 7), 3) if rgb else (1, (20, 7, 23), (30, 7))
    decoded: list[tuple[int, ...]] = []

    def decode(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
        decoded.append(block.shape[1:3])
        return block

    lazy = dask.array.from_array(pixels, chunks=chunks).map_blocks(
        decode, dtype=np.uint8, meta=np.empty((0,) * len(shape), np.uint8)
    )
    planes = LayerSource(lazy, rgb)
    columns = slice(3, 36)
    for plane in range(2):
        decoded.clear()
        for top in (0, 8, 14, 22, 30, 38, 46):
            # Strips overlap a little, as those of enlarged planes do.
            rows = slice(max(top - 2, 0), min(top + 8, 50))
            strip = planes.read(plane, rows, columns)
            expected = pixels[plane, rows, columns].reshape(*strip.shape)
            np.testing.assert_array_equal(strip, expected)
        sizes = [(h, w) for h in (20, 7, 23) for w in (30, 7)]
        assert sorted(decoded) == sorted(sizes)


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_windows_can_be_read_in_any_order(kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 41, 53), np.uint8)
    data: Any = pixels
    if kind == "dask":
        data = dask.array.from_array(pixels, chunks=(2, 10, 16))
    elif kind == "zarr":
        data = zarr.create_array(
            {}, shape=pixels.shape, chunks=(2, 10, 16), dtype=pixels.dtype
        )
        data[:] = pixels
    planes = LayerSource(data, rgb=False)
    rng = np.random.default_rng(1)
    for _ in range(100):
        plane = int(rng.integers(3))
        rows, columns = (
            slice(*sorted(map(int, rng.choice(size + 1, 2, replace=False))))
            for size in (41, 53)
        )
        window = planes.read(plane, rows, columns)
        np.testing.assert_array_equal(window[..., 0], pixels[plane, rows, columns])


@pytest.mark.parametrize("rgb", [False, True])
def test_planes_come_in_the_order_of_the_axes(rgb: bool) -> None:
    shape = (3, 2, 5, 6, 3) if rgb else (3, 2, 5, 6)
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    planes = layer_planes(Image(pixels, rgb=rgb))
    expected = pixels.reshape(6, 5, 6, -1)
    read = [planes.read(i, *WHOLE) for i in range(6)]
    np.testing.assert_array_equal([plane[:5, :6] for plane in read], expected)


@pytest.mark.parametrize(
    ("labels", "channels"),
    [
        (("t", "c", "y", "x"), [0, 1, 2, 0, 1, 2]),
        (("Channel", "z", "y", "x"), [0, 0, 0, 1, 1, 1]),
        (("t", "z", "y", "x"), [0] * 6),
        (("t", "z", "c", "x"), [0] * 6),
    ],
    ids=str,
)
def test_an_axis_that_is_labeled_so_holds_channels(
    labels: tuple[str, ...], channels: list[int]
) -> None:
    layer = Image(np.zeros((2, 3, 5, 6), np.uint8), axis_labels=labels)
    planes = layer_planes(layer)
    assert [planes.channel(i) for i in range(6)] == channels
    assert planes.channels == max(channels) + 1


def test_a_region_is_a_plane_a_stack_or_a_window() -> None:
    whole = LayerRegion.whole((3, 4, 20, 30))
    assert whole.at((2, 1, 0, 0)).shape == (1, 1, 20, 30)
    assert whole.at((2, 1, 0, 0), keep=1).shape == (1, 4, 20, 30)
    assert whole.at((9, -2, 0, 0)).start == (2, 0, 0, 0)
    window = whole.at((2, 1, 0, 0)).with_planes(slice(3, 5), slice(7, 30))
    assert (window.start, window.shape) == ((2, 1, 3, 7), (1, 1, 2, 23))


def test_full_resolution_of_a_multiscale_layer_is_taken() -> None:
    layer = Image([np.ones((40, 60), np.uint8), np.zeros((20, 30), np.uint8)])
    assert layer.multiscale
    planes = layer_planes(layer)
    assert planes.shape == (1, 40, 60, 1)
    assert planes.read(0, *WHOLE).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.zeros((4, 4), np.complex64), "type complex64"),
        (np.zeros(7), r"has the shape \(7,\)"),
        (np.zeros((0, 4, 4)), r"has the shape \(0, 4, 4\)"),
    ],
    ids=["complex", "1D", "empty"],
)
def test_layers_that_cannot_be_restored_are_named(data: Any, reason: str) -> None:
    layer: Any = SimpleNamespace(
        data=data, rgb=False, multiscale=False, name="odd", axis_labels=()
    )
    with pytest.raises(ImageError, match=f"The layer 'odd'.*{reason}"):
        layer_planes(layer)


@pytest.mark.parametrize(
    ("shape", "labels", "plane", "expected"),
    [
        ((3, 2, 8, 9), ("t", "c", "y", "x"), 3, [1, 5]),
        ((3, 2, 8, 9), ("t", "z", "y", "x"), 0, [2]),
        ((1, 3, 8, 9), ("time", "z", "y", "x"), 2, [1]),
        ((3, 8, 9), ("z", "y", "x"), 1, [0, 2]),
        ((3, 8, 9), ("c", "y", "x"), 1, []),
        ((3, 8, 9), None, 1, []),
        ((8, 9), ("y", "x"), 0, []),
    ],
)
def test_neighbors_are_the_planes_before_and_after_in_time_else_in_depth(
    shape: tuple[int, ...], labels: Any, plane: int, expected: list[int]
) -> None:
    planes = layer_planes(Image(np.zeros(shape, np.uint8), axis_labels=labels))
    assert planes.neighbors(plane) == expected
    assert planes.missing_planes == frozenset()
