from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from memnet_core.errors import TrainingError
from memnet_core.training.optim import (
    Muon,
    clip_gradients,
    ema_update,
    learning_rate,
    make_optimizer,
    orthogonalized,
)

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


def test_moving_average_forgets_its_first_steps_and_then_decays_as_it_is_told() -> None:
    update = ema_update(0.999)
    averages = [torch.zeros(1)]
    for step in range(50):
        update(averages, [torch.ones(1)], torch.tensor(step))
    # With the decay alone it would be 0.05.
    assert averages[0].item() > 0.99
    late = [torch.zeros(1)]
    update(late, [torch.ones(1)], torch.tensor(10**6))
    assert late[0].item() == pytest.approx(0.001, rel=0.01)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1)
    )


def groups(model: nn.Module, decay: float = 0.0) -> list[dict[str, Any]]:
    weights = [p for p in model.parameters() if p.ndim == 4]
    others = [p for p in model.parameters() if p.ndim < 4]
    return [
        {"params": weights, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, *steps: int) -> None:
    for step in steps:
        x = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(8, 27), (27, 8), (48, 48), (1, 9)], ids=str)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_singular_values_are_near_one_and_vectors_stay(
    shape: tuple[int, int], scale: float
) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * scale
    orthogonal = orthogonalized(matrix)
    assert orthogonal.shape == matrix.shape
    values = torch.linalg.svdvals(orthogonal)
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.3
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    in_its_vectors = u.T @ orthogonal @ vh.T
    rest = in_its_vectors - in_its_vectors.diag().diag()
    assert float(rest.abs().max()) < 1e-3


def test_gradient_of_zero_takes_no_step() -> None:
    assert not orthogonalized(torch.zeros(4, 9)).any()


def test_step_has_the_size_of_one_of_adamw() -> None:
    for rows, columns in ((48, 48), (16, 8), (8, 32)):
        weight = nn.Parameter(torch.zeros(rows, columns, 1, 1))
        weight.grad = torch.randn(
            weight.shape, generator=torch.Generator().manual_seed(1)
        )
        Muon([weight], lr=0.01).step()
        rms = float(weight.detach().square().mean().sqrt())
        assert rms == pytest.approx(0.2 * 0.01, rel=0.25)


def test_first_step_goes_against_the_gradient() -> None:
    weight = nn.Parameter(torch.zeros(4, 3, 3, 3))
    gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    weight.grad = gradient.clone()
    Muon([weight], lr=1.0).step()
    expected = -0.2 * 27**0.5 * orthogonalized(gradient.flatten(1)).view(4, 3, 3, 3)
    torch.testing.assert_close(weight.detach(), expected, rtol=0.1, atol=0.05)


def test_momentum_is_nesterovs() -> None:
    weight = nn.Parameter(torch.zeros(4, 9, 1, 1))
    optimizer = Muon([weight], lr=1.0, momentum=0.9)
    generator = torch.Generator().manual_seed(4)
    kept = torch.zeros(4, 9)
    for _ in range(3):
        gradient = torch.randn(4, 9, generator=generator)
        before = weight.detach().clone()
        weight.grad = gradient.view(4, 9, 1, 1).clone()
        optimizer.step()
        kept = 0.9 * kept + 0.1 * gradient
        direction = orthogonalized(0.1 * gradient + 0.9 * kept)
        moved = (before - weight.detach()).view(4, 9) / (0.2 * 3)
        torch.testing.assert_close(moved, direction, rtol=1e-4, atol=1e-5)


def test_weights_decay_apart_from_their_steps() -> None:
    weight = nn.Parameter(torch.ones(4, 4, 1, 1))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), torch.full((4, 4, 1, 1), 0.95))


def test_other_parameters_are_stepped_by_adamw() -> None:
    model = network()
    other = copy.deepcopy(model)
    train(model, Muon(groups(model), lr=1e-2), 0)
    train(other, torch.optim.AdamW(groups(other), lr=1e-2, betas=(0.9, 0.99)), 0)
    for (name, one), two in zip(
        model.named_parameters(), other.parameters(), strict=True
    ):
        assert one.equal(two) == (one.ndim < 4), name


def test_state_resumes_bit_by_bit() -> None:
    at_once, first = network(), network()
    whole = Muon(groups(at_once, 1e-4), lr=1e-2)
    train(at_once, whole, *range(6))
    optimizer = Muon(groups(first, 1e-4), lr=1e-2)
    train(first, optimizer, *range(3))
    saved = copy.deepcopy((first.state_dict(), optimizer.state_dict()))
    resumed = network()
    resumed.load_state_dict(saved[0])
    again = Muon(groups(resumed, 1e-4), lr=1e-2)
    again.load_state_dict(saved[1])
    train(resumed, again, *range(3, 6))
    for name, tensor in at_once.state_dict().items():
        assert tensor.equal(resumed.state_dict()[name]), name
