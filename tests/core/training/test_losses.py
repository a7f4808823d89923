from __future__ import annotations

import math

import pytest
import torch

from memnet_core.model.network import Prediction
from memnet_core.training.losses import charbonnier, half_mse, half_sse, memnet_loss


@pytest.mark.parametrize(("given", "alpha"), [(None, 1 / 4), (0.7, 0.7)])
def test_loss_is_that_of_equation_12(given: float | None, alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, output, y1, y2, y3 = torch.rand(5, 2, 1, 4, 4, generator=generator)
    loss = memnet_loss(Prediction(output, (y1, y2, y3)), clean, half_mse, given)
    halves = [0.5 * float(((y - clean) ** 2).mean()) for y in (output, y1, y2, y3)]
    expected = alpha * halves[0] + (1 - alpha) / 3 * sum(halves[1:])
    assert float(loss) == pytest.approx(expected)


def test_loss_without_supervision_is_that_of_the_output() -> None:
    clean, output = torch.zeros(3, 1, 2, 2), torch.full((3, 1, 2, 2), 0.5)
    prediction = Prediction(output, ())
    assert float(memnet_loss(prediction, clean, half_mse)) == pytest.approx(0.125)
    assert float(memnet_loss(prediction, clean, half_sse)) == pytest.approx(0.5)
    assert float(memnet_loss(prediction, clean, charbonnier)) == pytest.approx(
        math.sqrt(0.25 + 1e-6)
    )
