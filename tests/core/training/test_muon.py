"""Muon: orthogonal steps for convolutions, AdamW for the rest."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from memnet_core.training.optim import Muon, orthogonalized


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
