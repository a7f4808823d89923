from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from memnet_core.errors import TrainingError
from memnet_core.training.optim import clip_gradients, learning_rate, make_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.model.network import MemNet
    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]


def layer(gradient: float) -> nn.Conv2d:
    conv = nn.Conv2d(1, 1, 1)
    for parameter in conv.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    return conv


def test_paper_divides_the_learning_rate_by_ten_every_twenty_epochs(
    make_config: Make,
) -> None:
    config = make_config(recipe="paper")
    rates = [learning_rate(config, 0, 0.5, epoch) for epoch in (0, 19, 20, 39, 40)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_fast_recipe_warms_up_and_falls_evenly_to_zero(make_config: Make) -> None:
    config = make_config(learning_rate=1e-3, warmup_steps=99)
    assert learning_rate(config, 0, 0, 0) == pytest.approx(1e-5)
    for fraction in (0.25, 0.5, 0.9, 1.0):
        expected = (1 - fraction) * 1e-3
        assert learning_rate(config, 1000, fraction, 0) == pytest.approx(expected)


def test_cosine_falls_slowly_at_both_ends(make_config: Make) -> None:
    config = make_config(schedule="cosine", learning_rate=1e-3, warmup_steps=99)
    assert learning_rate(config, 0, 0, 0) == pytest.approx(1e-5)
    assert learning_rate(config, 49, 0, 0) == pytest.approx(5e-4)
    assert learning_rate(config, 1000, 0.5, 0) == pytest.approx(5e-4)
    assert learning_rate(config, 2000, 1.0, 0) == pytest.approx(0, abs=1e-12)


def test_warmup_takes_a_twentieth_of_a_short_run(make_config: Make) -> None:
    config = make_config(learning_rate=1e-3, warmup_steps=10_000)
    # By then the linear schedule has come down by 2.5 and 5 %.
    assert learning_rate(config, 5, 0.025, 0) == pytest.approx(4.875e-4, rel=0.01)
    assert learning_rate(config, 10, 0.05, 0) == pytest.approx(9.5e-4, rel=0.01)


def test_adjustable_clipping_limits_each_gradient_by_theta_over_rate(
    make_config: Make,
) -> None:
    config = make_config(recipe="paper")
    conv = layer(-7.0)
    clip_gradients(config, conv, 0.1)
    assert conv.weight.grad is not None
    assert float(conv.weight.grad.squeeze()) == pytest.approx(-0.1)
    clip_gradients(config, small := layer(0.05), 0.1)
    assert small.weight.grad is not None
    assert float(small.weight.grad.squeeze()) == pytest.approx(0.05)


def test_clipping_by_norm_keeps_the_direction(make_config: Make) -> None:
    conv = layer(3.0)
    clip_gradients(make_config(clip_norm=1.0), conv, 0.1)
    assert conv.weight.grad is not None
    assert conv.bias is not None
    assert conv.bias.grad is not None
    assert float(conv.weight.grad.squeeze()) == pytest.approx(0.5**0.5, rel=1e-4)
    assert float(conv.bias.grad.squeeze()) == pytest.approx(0.5**0.5, rel=1e-4)


def test_gradient_that_is_not_finite_is_reported(make_config: Make) -> None:
    with pytest.raises(TrainingError, match="lower learning rate"):
        clip_gradients(make_config(), layer(float("inf")), 0.1)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_only_the_weights_of_convolutions_decay(
    make_config: Make, random_network: Callable[..., MemNet], optimizer: str
) -> None:
    config = make_config(optimizer=optimizer, weight_decay=0.5, learning_rate=0.1)
    model = random_network(memory_blocks=1, recursions=1, channels=4)
    model = copy.deepcopy(model).requires_grad_(True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(config, model).step()
    for name, parameter in model.named_parameters():
        kept = 0.95 if parameter.ndim == 4 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * kept)


def test_muon_moves_every_convolution_where_there_is_no_batch_norm(
    make_config: Make, random_network: Callable[..., MemNet]
) -> None:
    model = random_network(memory_blocks=2, recursions=1, channels=4, batch_norm=False)
    config = make_config(optimizer="muon")
    inner, outer, rest = make_optimizer(config, model).param_groups
    assert [group["orthogonal"] for group in (inner, outer, rest)] == [
        True,
        True,
        False,
    ]
    assert [group["share"] for group in (inner, outer, rest)] == [1, 1, 0.1]
    decays = [group["weight_decay"] for group in (inner, outer, rest)]
    assert decays == [config.weight_decay, config.weight_decay, 0]


def test_muon_moves_the_convolutions_of_the_memory_blocks_and_nothing_else(
    make_config: Make, random_network: Callable[..., MemNet]
) -> None:
    model = random_network(memory_blocks=2, recursions=1, channels=4)
    config = make_config(optimizer="muon")
    inner, outer, rest = make_optimizer(config, model).param_groups
    inside = {id(p) for p in model.blocks.parameters() if p.ndim == 4}
    ends = {id(model.fenet.weight), id(model.reconnet.conv.weight)}
    assert {id(p) for p in inner["params"]} == inside
    assert {id(p) for p in outer["params"]} == ends
    assert all(p.ndim < 4 for p in rest["params"])
    assert [group["orthogonal"] for group in (inner, outer, rest)] == [
        True,
        False,
        False,
    ]
    assert [group["share"] for group in (inner, outer, rest)] == [1, 0.1, 0.1]


def test_other_optimizers_move_everything_alike(
    make_config: Make, random_network: Callable[..., MemNet]
) -> None:
    model = random_network(memory_blocks=1, recursions=1, channels=4)
    optimizer = make_optimizer(make_config(optimizer="adamw"), model)
    assert [group["share"] for group in optimizer.param_groups] == [1, 1, 1]
