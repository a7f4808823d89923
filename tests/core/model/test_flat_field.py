"""No pattern of a network's own on flat areas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from memnet_core.model.checkpoint import load_model
from memnet_core.model.flat_field import flat_answers, remove_fixed_pattern
from memnet_core.model.registry import installed
from memnet_core.tasks import Levels, find_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.model.network import MemNet
    from memnet_core.model.registry import Entry

SHIPPED = [entry for entry in installed()[0] if entry.is_shipped]


def stripes(cell: NDArray[np.float32]) -> float:
    """Return by how much even rows or columns differ from odd ones; (..., 2, 2)."""
    means = [cell.mean(axis=axis) for axis in (-1, -2)]
    return float(max(np.abs(m[..., 0] - m[..., 1]).max() for m in means))


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.card.name)
def test_rows_and_columns_of_flat_areas_do_not_differ(entry: Entry) -> None:
    model, card = load_model(entry.path)
    task = find_task(card.task)
    if not task.noisy:
        answers = flat_answers(model, task, card.levels)
        assert stripes(answers.reshape(*answers.shape[:2], -1, 2, 2)) < 0.25
        return
    shades = torch.tensor([0.1, 0.5, 0.9])
    for sigma in (5, 15, 50):
        channels = card.architecture.image_channels
        shape, seed = (channels, 112, 112), torch.Generator().manual_seed(1)
        noise = torch.randn(shape, generator=seed)
        cells = []
        for sign in (1, -1):
            images = shades[:, None, None, None] + sign * sigma / 255 * noise
            planes = images
            if card.architecture.level_map:
                level = torch.full_like(images[:, :1], task.level_map_value(sigma))
                planes = torch.cat([images, level], dim=1)
            with torch.inference_mode():
                output = model(planes).output[..., 32:-32, 32:-32] * 255
            cells.append(torch.nn.functional.pixel_unshuffle(output, 2).mean((2, 3)))
        assert stripes(torch.stack(cells).mean(0).reshape(-1, 2, 2).numpy()) < 0.25


@pytest.mark.parametrize("level_map", [False, True])
@pytest.mark.parametrize("image_channels", [1, 3])
def test_a_pattern_is_taken_out(
    random_network: Callable[..., MemNet], level_map: bool, image_channels: int
) -> None:
    model = random_network(
        memory_blocks=2,
        recursions=1,
        channels=8,
        unshuffle=2,
        level_map=level_map,
        image_channels=image_channels,
    )
    levels, task = Levels.between(5, 50), find_task("deblock")
    with torch.no_grad():
        model.fusion.fill_(1 / 2)
        model.reconnet.conv.weight.mul_(1e-3)
        assert model.reconnet.conv.bias is not None
        model.reconnet.conv.bias.copy_(torch.linspace(-1, 1, 4 * image_channels) / 255)
    before = np.abs(flat_answers(model, task, levels)).max()
    mended = remove_fixed_pattern(model, task, levels)
    assert before > 0.5
    assert np.abs(flat_answers(mended, task, levels)).max() < 0.25
    assert np.abs(flat_answers(model, task, levels)).max() == before


def test_answers_at_one_cell_are_those_within_a_flat_image(
    random_network: Callable[..., MemNet],
) -> None:
    model = random_network(memory_blocks=1, recursions=1, channels=4, unshuffle=2)
    found = flat_answers(model, find_task("denoise"), Levels.listed(25))[0, -1]
    image = torch.ones(1, 1, 64, 64)
    with torch.inference_mode():
        change = (model.eval()(image).output - image)[0, 0, 30:32, 30:32] * 255
    np.testing.assert_allclose(found, change.ravel().numpy(), rtol=1e-3, atol=1e-3)
