"""What was removed, as a layer."""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np
import pytest
from napari.layers import Image, Layer

from memnet_core.errors import UsageError
from napari_memnet.layers import difference
from napari_memnet.layers.difference import difference_layer

RNG = np.random.default_rng(0)
PLACED: dict[str, Any] = {"scale": (2, 0.5, 0.5), "translate": (1, 10, 20)}


def noise(*shape: int) -> Any:
    return RNG.integers(0, 250, shape).astype(np.uint8)


def shown(source: Image, result: Image) -> Any:
    return Layer.create(*difference_layer(source, result))


def test_it_is_source_less_result_and_0_is_in_the_middle_of_its_colors() -> None:
    source = Image(noise(3, 20, 24), name="cells", **PLACED)
    result = Image(noise(3, 20, 24), name="clean", colormap="green", **PLACED)
    layer = shown(source, result)
    expected = source.data.astype(float) - result.data
    np.testing.assert_array_equal(layer.data, expected)
    assert layer.data.dtype == np.float32
    assert layer.name == "clean: removed"
    low, high = layer.contrast_limits
    assert low == -high < 0
    assert high == pytest.approx(np.percentile(np.abs(expected[1]), 99.9))
    assert layer.colormap.name == "PiYG"
    np.testing.assert_allclose(layer.colormap.map([0.5])[0], 1, atol=0.05)
    np.testing.assert_array_equal(layer.extent.world, source.extent.world)


def test_of_a_part_it_lies_where_the_part_lies() -> None:
    source = Image(noise(3, 20, 24), **PLACED)
    part = Image(
        noise(1, 6, 8), scale=(2, 0.5, 0.5), translate=(1 + 2 * 2, 10 + 4, 20 + 3)
    )
    layer = shown(source, part)
    expected = source.data[2:3, 8:14, 6:14].astype(float) - part.data
    np.testing.assert_array_equal(layer.data, expected)
    np.testing.assert_array_equal(layer.translate, part.translate)


def test_of_colors_it_is_their_mean() -> None:
    source, result = (Image(noise(20, 24, 4), rgb=True) for _ in range(2))
    layer = shown(source, result)
    change = source.data[..., :3].astype(float) - result.data[..., :3]
    np.testing.assert_allclose(layer.data, change.mean(axis=-1), rtol=1e-5)
    assert not layer.rgb


def test_of_many_planes_it_is_computed_when_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(difference, "LARGEST_PLANE", 500)
    source, result = Image(noise(2, 3, 20, 24)), Image(noise(2, 3, 20, 24))
    layer = shown(source, result)
    assert isinstance(layer.data, dask.array.Array)
    expected = source.data.astype(float) - result.data
    np.testing.assert_array_equal(layer.data.compute(), expected)
    monkeypatch.setattr(difference, "LARGEST_PLANE", 400)
    with pytest.raises(UsageError, match="too large; restore what is seen"):
        difference_layer(source, result)


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (Image(noise(40, 48), scale=(0.5, 0.5)), "not as large as those of"),
        (Image(noise(20, 24), translate=(1, 0)), "does not lie on pixels of"),
        (Image(noise(10, 12), translate=(0.5, 0)), "does not lie on pixels of"),
        (Image(noise(2, 20, 24)), "does not lie on pixels of"),
        (Image(noise(20, 24, 3), rgb=True), "does not lie on pixels of"),
    ],
)
def test_what_was_not_made_of_the_source_is_one_sentence(
    result: Image, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        difference_layer(Image(noise(20, 24), name="cells"), result)
