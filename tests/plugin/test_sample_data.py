"""Sample data: made without a network connection, as the menu needs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from memnet_core.inference.noise_map import readings_of
from memnet_core.noise.file import shipped_noise_network
from napari_memnet import sample_data


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a sample asked the network")

    monkeypatch.setattr("socket.socket.connect", refuse)


def test_the_jpeg_has_blocks() -> None:
    ((data, attributes, kind),) = sample_data.jpeg_q10()
    layer = Image(data, **attributes)
    assert (kind, layer.data.shape, layer.dtype) == ("image", (512, 512), np.uint8)
    steps = np.abs(np.diff(data.astype(float), axis=1)).mean(0)
    at_blocks = steps[7::8].mean()
    assert at_blocks > 1.3 * np.delete(steps, np.s_[7::8]).mean()


def test_the_stack_is_noisy_has_16_bits_and_a_voxel_size() -> None:
    ((data, attributes, _),) = sample_data.noisy_stack()
    layer = Image(data, **attributes)
    assert (layer.ndim, layer.dtype) == (3, np.uint16)
    assert tuple(layer.scale) == (0.5, 0.1, 0.1)
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert layer.axis_labels == ("z", "y", "x")
    low, high = np.percentile(data, (0.1, 99.9))
    plane = ((data[12] - low) / (high - low)).astype(np.float32)
    read = readings_of(shipped_noise_network(), [plane])
    assert read.level(read.curve()) > 8
    np.testing.assert_array_equal(data, sample_data.noisy_stack()[0][0])


def test_the_small_picture_is_a_third_of_the_coffee_cup() -> None:
    ((data, attributes, _),) = sample_data.small_image()
    layer = Image(data, **attributes)
    assert layer.rgb
    assert data.shape == (133, 200, 3)
    assert data.dtype == np.uint8


def test_the_movie_in_low_light_lies_on_the_real_one() -> None:
    (clean, about_clean, _), (noisy, about_noisy, _) = sample_data.low_light()
    real, simulated = Image(clean, **about_clean), Image(noisy, **about_noisy)
    assert clean.shape == noisy.shape == (10, 128, 128)
    assert clean.dtype == noisy.dtype == np.uint16
    assert "real" in real.name
    assert "simulated" in simulated.name
    assert simulated.visible
    assert not real.visible
    np.testing.assert_array_equal(real.extent.world, simulated.extent.world)
    np.testing.assert_allclose(real.scale, (5, 0.1292, 0.1292))
    assert [str(unit) for unit in real.units] == ["second", "micrometer", "micrometer"]
    # Photons: bright parts are noisier than dark ones, and all parts are much noisier.
    wrong = noisy.astype(float) - clean
    bright = clean > np.percentile(clean, 95)
    dark = clean < np.percentile(clean, 50)
    assert abs(wrong.mean()) < 30
    assert wrong[bright].std() > 1.5 * wrong[dark].std() > 500
