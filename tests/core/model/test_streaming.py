"""Rows that stream give what the whole image gives, to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memnet_core.model import fused
from memnet_core.model.architecture import Architecture
from memnet_core.model.streaming import EvaluationNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from memnet_core.model.network import MemNet

ARCHITECTURES = {
    "smallest": Architecture(memory_blocks=1, recursions=1, channels=1),
    "deeper": Architecture(memory_blocks=3, recursions=2, channels=8),
    "wide": Architecture(memory_blocks=2, recursions=1, channels=48, unshuffle=2),
    "single": Architecture(
        memory_blocks=2, recursions=2, channels=5, multi_supervised=False
    ),
    "NL": Architecture(memory_blocks=3, recursions=2, channels=8, long_term=False),
    "NS": Architecture(memory_blocks=3, recursions=2, channels=8, short_term=False),
    "normed": Architecture(
        memory_blocks=2, recursions=1, channels=4, unshuffle=2, fenet_norm=True
    ),
    "color": Architecture(
        memory_blocks=2, recursions=1, channels=16, image_channels=3, level_map=True
    ),
    "chroma": Architecture(
        memory_blocks=2,
        recursions=1,
        channels=8,
        unshuffle=2,
        image_channels=3,
        level_map=True,
        chroma_level=True,
        batch_norm=False,
    ),
    "level": Architecture(
        memory_blocks=1, recursions=2, channels=4, unshuffle=3, level_map=True
    ),
    "plain": Architecture(
        memory_blocks=3, recursions=2, channels=8, unshuffle=2, batch_norm=False
    ),
    "plain NL NS": Architecture(
        memory_blocks=3,
        recursions=2,
        channels=8,
        long_term=False,
        short_term=False,
        batch_norm=False,
    ),
    "coarse": Architecture(memory_blocks=2, recursions=1, channels=4, unshuffle=16),
}

sides = st.integers(1, 70) | st.integers(1, 5)


def streamed(
    network: EvaluationNetwork, x: Tensor, heights: Iterable[int]
) -> list[Tensor]:
    """Push strips whose heights repeat; return what came of each."""
    images, _, height, width = x.shape
    rows = network.stream(images, height, width)
    cycle = list(heights)
    pushed = 0
    outputs: list[Tensor] = []
    while pushed < height:
        size = cycle[len(outputs) % len(cycle)]
        outputs.append(rows.push(x[:, :, pushed : pushed + size]))
        pushed += size
    return outputs


@given(
    name=st.sampled_from(list(ARCHITECTURES)),
    shape=st.tuples(st.integers(1, 3), sides, sides),
    heights=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
@example("coarse", (1, 1, 1), [1])
@example("coarse", (2, 33, 47), [1])
@example("level", (1, 7, 70), [2, 1])
@example("wide", (1, 61, 1), [1, 30])
@example("wide", (1, 130, 3), [16])
@example("deeper", (1, 70, 70), [70])
@settings(deadline=None, max_examples=60)
def test_any_strips_give_the_whole_image_bit_for_bit(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
    name: str,
    shape: tuple[int, int, int],
    heights: list[int],
) -> None:
    architecture = ARCHITECTURES[name]
    images, height, width = shape
    network = EvaluationNetwork(tiny_model(architecture))
    x = random_planes(images, architecture.input_channels, height, width)
    restored = torch.cat(streamed(network, x, heights), 2)
    assert torch.equal(restored, network(x))


@pytest.mark.parametrize("shape", [(2000, 1), (1, 2000)], ids=str)
@pytest.mark.parametrize("name", ["deeper", "coarse"])
def test_lines_stream(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
    name: str,
    shape: tuple[int, int],
) -> None:
    model = tiny_model(ARCHITECTURES[name])
    network = EvaluationNetwork(model)
    x = random_planes(1, 1, *shape)
    restored = torch.cat(streamed(network, x, [37]), 2)
    assert torch.equal(restored, network(x))
    with torch.no_grad():
        expected = model(x).output
    tolerance = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(restored, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["color", "chroma", "level"])
@pytest.mark.parametrize("images", [1, 2])
def test_planes_of_colors_and_of_the_level_are_used(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
    name: str,
    images: int,
) -> None:
    architecture = ARCHITECTURES[name]
    model = tiny_model(architecture)
    x = random_planes(images, architecture.input_channels, 19, 14)
    restored = torch.cat(streamed(EvaluationNetwork(model), x, [8]), 2)
    assert restored.shape[1] == architecture.image_channels
    with torch.no_grad():
        expected = model(x).output
    tolerance = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(restored, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("exit_block", [1, 2, 3])
def test_rows_are_known_as_soon_as_the_receptive_field_ends(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
    exit_block: int,
) -> None:
    architecture = ARCHITECTURES["deeper"]
    network = EvaluationNetwork(tiny_model(architecture), exit_block)
    outputs = streamed(network, random_planes(1, 1, 60, 9), [10])
    received, returned = 0, 0
    for output in outputs[:-1]:
        received += 10
        returned += output.shape[2]
        assert returned == max(received - architecture.radius(exit_block), 0)
    assert returned + outputs[-1].shape[2] == 60


def test_part_of_an_image_is_that_part_of_the_whole(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
) -> None:
    architecture = ARCHITECTURES["normed"]
    network = EvaluationNetwork(tiny_model(architecture))
    radius = architecture.radius()
    x = random_planes(1, 1, 80, 90)
    whole = network(x)
    window = x[:, :, 20 - radius : 40 + radius, 30 - radius : 60 + radius]
    inner = network(window)[:, :, radius:-radius, radius:-radius]
    torch.testing.assert_close(inner, whole[:, :, 20:40, 30:60], rtol=0, atol=1e-6)


def test_images_beside_one_another_do_not_mix(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
) -> None:
    network = EvaluationNetwork(tiny_model(ARCHITECTURES["deeper"]))
    x = random_planes(3, 1, 21, 17)
    x[1] = torch.nan
    restored = torch.cat(streamed(network, x, [5]), 2)
    for image in (0, 2):
        alone = network(x[image : image + 1])[0]
        torch.testing.assert_close(restored[image], alone, rtol=0, atol=1e-6)


def test_given_rows_are_not_changed_and_results_are_not_overwritten(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
) -> None:
    network = EvaluationNetwork(tiny_model(ARCHITECTURES["deeper"]))
    x = random_planes(1, 1, 64, 9)
    before = x.clone()
    rows = network.stream(1, 64, 9)
    outputs, copies = [], []
    for top in range(0, 64, 8):
        outputs.append(rows.push(x[:, :, top : top + 8]))
        copies.append(outputs[-1].clone())
    assert torch.equal(x, before)
    assert all(torch.equal(a, b) for a, b in zip(outputs, copies, strict=True))


def test_maps_do_not_grow_above_a_strip_at_the_end_of_an_image(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    architecture = Architecture(memory_blocks=8, recursions=1, channels=2)
    network = EvaluationNetwork(tiny_model(architecture))
    heights = []
    convolve = type(network.weights.fenet).forward

    def recorded(self: Any, x: Tensor) -> Tensor:
        heights.append(len(x))
        return convolve(self, x)

    monkeypatch.setattr(type(network.weights.fenet), "forward", recorded)
    streamed(network, random_planes(1, 1, 64, 9), [4])
    assert max(heights) <= 4 + 2 + 2 * architecture.recursions + 1


def test_result_is_the_same_where_pytorch_cannot_add_in_place(
    tiny_model: Callable[[Architecture], MemNet],
    random_planes: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = EvaluationNetwork(tiny_model(ARCHITECTURES["deeper"]))
    x = random_planes(1, 1, 40, 30)
    expected = network(x)

    def changed(*arguments: object) -> None:
        raise TypeError("unexpected argument")

    monkeypatch.setattr("memnet_core.model.fused._add_convolution", changed)
    fused._adds_in_place.cache_clear()
    try:
        restored = torch.cat(streamed(network, x, [8]), 2)
    finally:
        fused._adds_in_place.cache_clear()
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-6)
