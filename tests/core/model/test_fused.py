from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from memnet_core.model.streaming import EvaluationNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from memnet_core.model.network import MemNet

ARCHITECTURES: list[dict[str, Any]] = [
    {"memory_blocks": 1, "recursions": 1, "channels": 1},
    {"memory_blocks": 3, "recursions": 2, "channels": 8},
    {"memory_blocks": 2, "recursions": 3, "channels": 5, "unshuffle": 2},
    {"memory_blocks": 2, "recursions": 1, "channels": 4, "unshuffle": 3},
    {"memory_blocks": 4, "recursions": 2, "channels": 16, "fenet_norm": True},
    {"memory_blocks": 3, "recursions": 2, "channels": 8, "long_term": False},
    {"memory_blocks": 3, "recursions": 2, "channels": 8, "short_term": False},
    {"memory_blocks": 2, "recursions": 1, "channels": 5, "level_map": True},
    {
        "memory_blocks": 2,
        "recursions": 2,
        "channels": 6,
        "unshuffle": 2,
        "image_channels": 3,
        "level_map": True,
        "fenet_norm": True,
    },
    {
        "memory_blocks": 2,
        "recursions": 2,
        "channels": 6,
        "unshuffle": 2,
        "long_term": False,
        "short_term": False,
        "fenet_norm": True,
    },
]


def assert_same(actual: Tensor, expected: Tensor) -> None:
    tolerance = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


@torch.no_grad()
def trained_form(network: MemNet, x: Tensor, exit_block: int | None = None) -> Tensor:
    output: Tensor = network(x, exit_block).output
    return output


@pytest.fixture
def network(random_network: Callable[..., MemNet]) -> MemNet:
    return random_network(memory_blocks=3, recursions=2, channels=8, fenet_norm=True)


@pytest.mark.parametrize("size", [(1, 1), (13, 17), (8, 5)], ids=str)
@pytest.mark.parametrize("multi_supervised", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_evaluation_form_computes_the_same_function(
    random_network: Callable[..., MemNet],
    random_planes: Callable[..., Tensor],
    architecture: dict[str, Any],
    multi_supervised: bool,
    size: tuple[int, int],
) -> None:
    network = random_network(multi_supervised=multi_supervised, **architecture)
    shape = network.architecture
    x = random_planes(2, shape.input_channels, *size)
    blocks = architecture["memory_blocks"]
    for exit_block in [None, *range(1 if multi_supervised else blocks, blocks + 1)]:
        y = EvaluationNetwork(network, exit_block)(x)
        assert y.shape == (2, shape.image_channels, *size)
        assert_same(y, trained_form(network, x, exit_block))


@pytest.mark.parametrize("blocks", [[1], [2], [0, 1, 2]])
def test_predictions_may_have_no_weight(
    random_network: Callable[..., MemNet],
    random_planes: Callable[..., Tensor],
    blocks: list[int],
) -> None:
    network = random_network(memory_blocks=3, recursions=2, channels=8)
    with torch.no_grad():
        network.fusion[blocks] = 0
    x = random_planes(1, 1, 9, 11)
    assert_same(EvaluationNetwork(network)(x), trained_form(network, x))


def test_double_precision_is_kept(
    network: MemNet, random_planes: Callable[..., Tensor]
) -> None:
    x = random_planes(1, 1, 9, 11).double()
    y = EvaluationNetwork(network.double())(x)
    torch.testing.assert_close(y, trained_form(network, x), rtol=1e-12, atol=1e-12)


def test_statistics_are_the_running_ones_also_of_a_network_in_training(
    network: MemNet, random_planes: Callable[..., Tensor]
) -> None:
    x = random_planes(1, 1, 9, 11)
    expected = trained_form(network, x)
    assert_same(EvaluationNetwork(network.train())(x), expected)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("exit_block", [None, 2])
def test_given_network_is_not_changed(
    network: MemNet,
    random_planes: Callable[..., Tensor],
    exit_block: int | None,
    training: bool,
) -> None:
    network.train(training)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    EvaluationNetwork(network, exit_block)(random_planes(2, 1, 9, 11))
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], each) for name, each in before.items())
    assert network.training is training
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("unshuffle", [1, 2])
@pytest.mark.parametrize("fenet_norm", [False, True])
def test_input_is_not_changed(
    random_network: Callable[..., MemNet],
    random_planes: Callable[..., Tensor],
    fenet_norm: bool,
    unshuffle: int,
) -> None:
    network = random_network(
        memory_blocks=2,
        recursions=1,
        channels=4,
        unshuffle=unshuffle,
        fenet_norm=fenet_norm,
    )
    x = random_planes(2, 1, 8, 6)
    before = x.clone()
    EvaluationNetwork(network)(x)
    assert torch.equal(x, before)


def test_planes_of_a_batch_do_not_influence_each_other(
    network: MemNet, random_planes: Callable[..., Tensor]
) -> None:
    evaluation = EvaluationNetwork(network)
    x = random_planes(5, 1, 11, 9)
    assert_same(evaluation(x), torch.cat([evaluation(plane[None]) for plane in x]))


def test_any_memory_layout_of_the_input_will_do(
    network: MemNet, random_planes: Callable[..., Tensor]
) -> None:
    x = random_planes(2, 1, 20, 14)[..., ::2, ::2].transpose(-1, -2)
    assert not x.is_contiguous()
    evaluation = EvaluationNetwork(network)
    assert_same(evaluation(x), evaluation(x.contiguous()))


def test_results_outlive_the_next_call(
    network: MemNet, random_planes: Callable[..., Tensor]
) -> None:
    evaluation = EvaluationNetwork(network)
    x = random_planes(1, 1, 11, 9)
    first = evaluation(x)
    kept = first.clone()
    evaluation(1 - x)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("exit_block", [-1, 0, 4])
def test_exit_block_that_does_not_exist_is_refused(
    network: MemNet, exit_block: int
) -> None:
    with pytest.raises(ValueError, match=f"block {exit_block} does not exist"):
        EvaluationNetwork(network, exit_block)
