from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from memnet_core.errors import TrainingError
from memnet_core.model.architecture import Architecture
from memnet_core.training.warm_start import grown

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.model.network import MemNet

SMALL = Architecture(memory_blocks=2, recursions=2, channels=4)


@pytest.mark.parametrize(("blocks", "recursions"), [(2, 2), (4, 2), (2, 3), (3, 5)])
def test_grown_network_computes_the_same(
    random_network: Callable[..., MemNet], blocks: int, recursions: int
) -> None:
    model = random_network(**asdict(SMALL)).eval()
    target = replace(SMALL, memory_blocks=blocks, recursions=recursions)
    larger = grown(model, target).eval()
    assert larger.architecture == target
    x = torch.rand(1, 1, 12, 15)
    with torch.no_grad():
        torch.testing.assert_close(larger(x).output, model(x).output)
        for one, other in zip(
            larger(x).intermediate, model(x).intermediate, strict=False
        ):
            torch.testing.assert_close(one, other)


def test_what_is_new_can_learn(
    random_network: Callable[..., MemNet],
) -> None:
    larger = grown(
        random_network(**asdict(SMALL)), replace(SMALL, memory_blocks=3, recursions=3)
    )
    prediction = larger(torch.rand(2, 1, 8, 8))
    torch.stack([prediction.output, *prediction.intermediate]).square().sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in larger.parameters())
    new = larger.blocks[0].gate.conv.weight.grad  # type: ignore[union-attr]
    assert isinstance(new, torch.Tensor)
    assert float(new[:, -4:].abs().max()) > 0


@pytest.mark.parametrize(
    "change",
    [{"memory_blocks": 1}, {"recursions": 1}, {"channels": 8}, {"unshuffle": 2}],
    ids=str,
)
def test_other_architectures_are_refused(
    random_network: Callable[..., MemNet], change: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match="fewer memory blocks or recursions"):
        grown(random_network(**asdict(SMALL)), replace(SMALL, **change))
