from __future__ import annotations

import numpy as np
import pytest
import torch

from memnet_core.noise import CELL, RADIUS
from memnet_core.noise.network import NONE, NoiseNetwork, noise_map


@pytest.fixture
def network() -> NoiseNetwork:
    """A network whose layers all pass something on."""
    torch.manual_seed(1)
    return NoiseNetwork().eval()


def plane(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(2))


def test_a_cell_of_8_px_has_a_value(network: NoiseNetwork) -> None:
    assert network(plane(48, 80)).shape == (1, 1, 6, 10)


def test_it_has_seven_convolutions_and_nothing_that_depends_on_a_batch(
    network: NoiseNetwork,
) -> None:
    assert len(network.layers) == 7
    assert not list(network.buffers())


@pytest.mark.parametrize("axis", [2, 3])
def test_no_pixel_beyond_the_radius_matters(network: NoiseNetwork, axis: int) -> None:
    """The gradient of a cell in the middle ends 30 px before it and 24 px behind it."""
    side = 2 * RADIUS + 5 * CELL
    x = plane(side, side).requires_grad_()
    middle = side // CELL // 2
    network(x)[0, 0, middle, middle].backward()
    assert x.grad is not None
    other = ({2, 3} - {axis}).pop()
    seen = np.flatnonzero(x.grad.abs().amax((0, 1, other)).numpy())
    first, last = middle * CELL, middle * CELL + CELL - 1
    assert (first - seen.min(), seen.max() - last) == (30, 24)
    assert RADIUS >= 30


@pytest.mark.parametrize(
    ("top", "left", "bottom", "right"),
    [(0, 0, 64, 64), (40, 24, 96, 104), (96, 80, 160, 144), (64, 0, 160, 144)],
)
def test_a_region_is_that_part_of_the_whole(
    network: NoiseNetwork, top: int, left: int, bottom: int, right: int
) -> None:
    whole = plane(160, 144)
    rows = slice(max(top - RADIUS, 0), min(bottom + RADIUS, 160))
    columns = slice(max(left - RADIUS, 0), min(right + RADIUS, 144))
    with torch.inference_mode():
        expected = network(whole)[
            ..., top // CELL : bottom // CELL, left // CELL : right // CELL
        ]
        read = network(whole[..., rows, columns])
    above, before = (top - rows.start) // CELL, (left - columns.start) // CELL
    part = read[..., above:, before:][..., : expected.shape[2], : expected.shape[3]]
    torch.testing.assert_close(part, expected, atol=1e-5, rtol=0)


def test_strips_give_the_map_of_the_whole(
    network: NoiseNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = plane(200, 61)[0, 0].numpy()
    whole = noise_map(network, values)
    monkeypatch.setattr("memnet_core.noise.network._STRIP", 3)
    np.testing.assert_allclose(noise_map(network, values), whole, atol=1e-4)


def test_sides_that_8_does_not_divide_have_cells_up_to_their_ends(
    network: NoiseNetwork,
) -> None:
    values = plane(33, 15)[0, 0].numpy()
    read = noise_map(network, values)
    assert read.shape == (5, 2)
    extended = np.pad(values, [(0, 7), (0, 1)], mode="symmetric")
    np.testing.assert_array_equal(noise_map(network, extended), read)


def test_no_noise_is_0_in_the_map(network: NoiseNetwork) -> None:
    torch.nn.init.zeros_(network.layers[-1].weight)  # type: ignore[arg-type]
    torch.nn.init.constant_(network.layers[-1].bias, np.log(NONE) - 0.5)  # type: ignore[arg-type]
    assert noise_map(network, plane(16, 16)[0, 0].numpy()).tolist() == [[0, 0], [0, 0]]
    torch.nn.init.constant_(network.layers[-1].bias, np.log(7 + NONE))  # type: ignore[arg-type]
    read = noise_map(network, plane(16, 16)[0, 0].numpy())
    np.testing.assert_allclose(read, 7, rtol=1e-5)
