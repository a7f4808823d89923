from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet, Prediction, pad_to_multiple

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Paper:
    """Equations 3-12 as printed, on the tensors of a state dict."""

    architecture: Architecture
    tensors: dict[str, Tensor]
    batch_statistics: bool

    def tau(self, x: Tensor, norm: str) -> Tensor:
        if not self.architecture.batch_norm:
            return F.relu(x)
        mean = var = None
        if not self.batch_statistics:
            mean = self.tensors[f"{norm}.running_mean"]
            var = self.tensors[f"{norm}.running_var"]
        weight, bias = self.tensors[f"{norm}.weight"], self.tensors[f"{norm}.bias"]
        normalized = F.batch_norm(
            x, mean, var, weight, bias, training=self.batch_statistics
        )
        return F.relu(normalized)

    def conv(self, x: Tensor, name: str, padding: int = 1) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.conv2d(x, weight, bias, padding=padding)

    def f_ext(self, x: Tensor) -> Tensor:
        if self.architecture.fenet_norm:
            x = self.tau(x, "fenet_norm")
        return self.conv(x, "fenet")

    def f_rec(self, b: Tensor, prediction: int) -> Tensor:
        return self.conv(self.tau(b, f"reconnet.norm.{prediction}"), "reconnet.conv")

    def memory_block(self, m: int, long: list[Tensor]) -> Tensor:
        """Eqs. 5-9: B_m from B_0 ... B_{m-1}, m counted from 1."""
        name = f"blocks.{m - 1}"
        short = [long[m - 1]]
        for r in range(self.architecture.recursions):
            unit = f"{name}.recursive"
            inner = self.conv(self.tau(short[r], f"{unit}.norm1.{r}"), f"{unit}.conv1")
            outer = self.conv(self.tau(inner, f"{unit}.norm2.{r}"), f"{unit}.conv2")
            short.append(outer + short[r])
        short = short[1:] if self.architecture.short_term else short[-1:]
        long = long if self.architecture.long_term else []
        b_gate = self.tau(torch.cat([*long, *short], 1), f"{name}.gate.norm")
        return self.conv(b_gate, f"{name}.gate.conv", padding=0)

    def __call__(self, image: Tensor) -> Prediction:
        u, m_last = self.architecture.unshuffle, self.architecture.memory_blocks
        b = [self.f_ext(F.pixel_unshuffle(image, u))]
        x = F.pixel_unshuffle(image[:, : self.architecture.image_channels], u)
        for m in range(1, m_last + 1):
            b.append(self.memory_block(m, b))
        if not self.architecture.multi_supervised:
            return Prediction(F.pixel_shuffle(self.f_rec(b[m_last], 0) + x, u), ())
        y_m = [x + self.f_rec(b[m], m - 1) for m in range(1, m_last + 1)]
        y = torch.zeros_like(x)
        for m in range(m_last):
            y = y + self.tensors["fusion"][m] * y_m[m]
        return Prediction(
            F.pixel_shuffle(y, u), tuple(F.pixel_shuffle(each, u) for each in y_m)
        )


def convolution_weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if type(m) is nn.Conv2d)


def counted_multiply_adds(network: MemNet, x: Tensor) -> int:
    total = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += module.weight.numel() * output.shape[-2] * output.shape[-1]

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    network(x)
    return total


def reach(
    network: MemNet, margin: int, *, phase: int = 0, exit_block: int | None = None
) -> int:
    """Return how many rows or columns away an output pixel still sees the input.

    The pixel is `margin + phase` rows and columns from the upper left corner.
    """
    center = margin + phase
    side = 2 * margin + 2
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(1, 1, side, side, dtype=torch.float64, generator=generator)
    x.requires_grad_()
    y = network(x, exit_block).output
    (gradient,) = torch.autograd.grad(y[0, 0, center, center], x)
    return int((gradient[0, 0].nonzero() - center).abs().max())


def test_m6r6_has_676992_convolution_weights() -> None:
    assert convolution_weights(MemNet(Architecture())) == 676_992


@pytest.mark.parametrize(
    ("memory_blocks", "recursions", "depth"),
    [(4, 6, 54), (6, 6, 80), (6, 8, 104), (10, 10, 212)],
)
def test_depths_of_table_6(memory_blocks: int, recursions: int, depth: int) -> None:
    architecture = Architecture(memory_blocks=memory_blocks, recursions=recursions)
    assert architecture.depth == depth


def test_recursions_share_their_convolutions_and_nothing_else() -> None:
    def unit(recursions: int) -> nn.Module:
        architecture = Architecture(memory_blocks=1, recursions=recursions, channels=4)
        return MemNet(architecture).get_submodule("blocks.0.recursive")

    norms = [m for m in unit(5).modules() if isinstance(m, nn.BatchNorm2d)]
    assert convolution_weights(unit(1)) == convolution_weights(unit(5)) == 2 * 9 * 4**2
    assert len(norms) == len({id(norm.weight) for norm in norms}) == 2 * 5
    assert len({id(norm.running_mean) for norm in norms}) == 2 * 5


def test_recursions_collect_statistics_of_their_own(
    random_planes: Callable[..., Tensor],
) -> None:
    network = MemNet(Architecture(memory_blocks=1, recursions=3, channels=4)).train()
    network(random_planes(2, 1, 8, 8))
    for name in ("norm1", "norm2"):
        norms = network.get_submodule(f"blocks.0.recursive.{name}").children()
        means = [norm.get_buffer("running_mean") for norm in norms]
        for r, mean in enumerate(means):
            assert not any(torch.allclose(mean, other) for other in means[r + 1 :])


def test_blocks_share_the_reconstruction_convolution_but_not_its_norm() -> None:
    reconnet = MemNet(Architecture(memory_blocks=3, channels=4)).reconnet
    assert convolution_weights(reconnet) == 9 * 4
    assert len({id(norm.weight) for norm in reconnet.norm}) == 3


@pytest.mark.parametrize("multi_supervised", [False, True])
@pytest.mark.parametrize(
    ("memory_blocks", "recursions"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)]
)
def test_receptive_field_is_as_wide_as_stated(
    random_network: Callable[..., MemNet],
    memory_blocks: int,
    recursions: int,
    multi_supervised: bool,
) -> None:
    network = random_network(
        memory_blocks=memory_blocks,
        recursions=recursions,
        channels=6,
        multi_supervised=multi_supervised,
    ).double()
    radius = 2 + 2 * memory_blocks * recursions
    assert network.architecture.radius() == radius
    assert reach(network, radius + 3) == radius


@pytest.mark.parametrize("image_channels", [1, 3])
def test_level_and_colors_are_seen_as_far_as_everything_else(
    random_network: Callable[..., MemNet], image_channels: int
) -> None:
    network = random_network(
        memory_blocks=2,
        recursions=1,
        channels=6,
        level_map=True,
        image_channels=image_channels,
    ).double()
    radius = network.architecture.radius()
    assert radius == 2 + 2 * 2
    center = radius + 3
    x = torch.rand(
        *(1, image_channels + 1, 2 * center + 1, 2 * center + 1),
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(2),
        requires_grad=True,
    )
    for channel in range(image_channels):
        y = network(x).output[0, channel, center, center]
        (gradient,) = torch.autograd.grad(y, x)
        for plane in gradient[0]:
            assert int((plane.nonzero() - center).abs().max()) == radius


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_images_have_one_channel_or_three(channels: int) -> None:
    with pytest.raises(ValueError, match=f"must be 1 or 3, not {channels}"):
        Architecture(image_channels=channels)


@pytest.mark.parametrize("exit_block", [1, 2, 3])
def test_receptive_field_of_an_early_exit_is_narrower(
    random_network: Callable[..., MemNet], exit_block: int
) -> None:
    network = random_network(memory_blocks=3, recursions=2, channels=6).double()
    radius = 2 + 2 * exit_block * 2
    assert network.architecture.radius(exit_block) == radius
    assert reach(network, radius + 3, exit_block=exit_block) == radius


@pytest.mark.parametrize(("memory_blocks", "recursions"), [(1, 1), (2, 1), (1, 2)])
def test_receptive_field_of_an_unshuffled_network_is_one_pixel_over_twice_as_wide(
    random_network: Callable[..., MemNet], memory_blocks: int, recursions: int
) -> None:
    network = random_network(
        memory_blocks=memory_blocks, recursions=recursions, channels=6, unshuffle=2
    ).double()
    radius = 2 * (2 + 2 * memory_blocks * recursions)
    assert network.architecture.radius() == radius
    reaches = [reach(network, radius + 4, phase=phase) for phase in (0, 1)]
    assert reaches == [radius + 1, radius + 1]


@pytest.mark.parametrize("batch_statistics", [False, True])
@pytest.mark.parametrize("fenet_norm", [False, True])
@pytest.mark.parametrize("unshuffle", [1, 2])
@pytest.mark.parametrize("multi_supervised", [False, True])
@pytest.mark.parametrize(
    "ablation",
    [
        {},
        {"long_term": False},
        {"short_term": False},
        {"level_map": True},
        {"image_channels": 3, "level_map": True},
    ],
    ids=["", "NL", "NS", "level", "color"],
)
def test_network_computes_the_equations_of_the_paper(
    random_network: Callable[..., MemNet],
    random_planes: Callable[..., Tensor],
    ablation: dict[str, Any],
    multi_supervised: bool,
    unshuffle: int,
    fenet_norm: bool,
    batch_statistics: bool,
) -> None:
    network = random_network(
        memory_blocks=3,
        recursions=2,
        channels=4,
        unshuffle=unshuffle,
        multi_supervised=multi_supervised,
        fenet_norm=fenet_norm,
        **ablation,
    ).double()
    paper = Paper(network.architecture, network.state_dict(), batch_statistics)
    x = random_planes(2, network.architecture.input_channels, 10, 12).double()
    expected = paper(x)
    predicted = network.train(batch_statistics)(x)
    assert predicted.output.shape == (2, network.architecture.image_channels, 10, 12)
    torch.testing.assert_close(predicted.output, expected.output)
    assert len(predicted.intermediate) == (3 if multi_supervised else 0)
    torch.testing.assert_close(predicted.intermediate, expected.intermediate)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("multi_supervised", [False, True])
@pytest.mark.parametrize("ablation", [{}, {"long_term": False}, {"short_term": False}])
def test_network_without_batch_norm_computes_the_equations_with_relu_alone(
    random_network: Callable[..., MemNet],
    random_planes: Callable[..., Tensor],
    ablation: dict[str, Any],
    multi_supervised: bool,
    training: bool,
) -> None:
    network = random_network(
        memory_blocks=3,
        recursions=2,
        channels=4,
        unshuffle=2,
        multi_supervised=multi_supervised,
        level_map=True,
        batch_norm=False,
        **ablation,
    ).double()
    assert not any("norm" in name for name in network.state_dict())
    expected = Paper(network.architecture, network.state_dict(), training)(
        x := random_planes(2, 2, 10, 12).double()
    )
    predicted = network.train(training)(x)
    torch.testing.assert_close(predicted.output, expected.output)
    torch.testing.assert_close(predicted.intermediate, expected.intermediate)


def test_norm_before_fenet_needs_batch_norm() -> None:
    with pytest.raises(ValueError, match="fenet_norm needs batch_norm"):
        Architecture(fenet_norm=True, batch_norm=False)


def test_early_exit_is_the_intermediate_prediction(
    random_network: Callable[..., MemNet], random_planes: Callable[..., Tensor]
) -> None:
    network = random_network(memory_blocks=4, recursions=2, channels=4)
    x = random_planes(1, 1, 9, 7)
    whole = network(x)
    for m in (1, 2, 3):
        early = network(x, m)
        assert torch.equal(early.output, whole.intermediate[m - 1])
        assert len(early.intermediate) == m


@pytest.mark.parametrize("multi_supervised", [False, True])
def test_exit_at_the_last_block_is_the_whole_network(
    random_network: Callable[..., MemNet],
    random_planes: Callable[..., Tensor],
    multi_supervised: bool,
) -> None:
    network = random_network(
        memory_blocks=2, recursions=1, channels=4, multi_supervised=multi_supervised
    )
    x = random_planes(1, 1, 9, 7)
    assert torch.equal(network(x, 2).output, network(x).output)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (7, 5), (8, 3), (6, 4)])
def test_sides_that_unshuffle_does_not_divide_are_reflected(
    random_network: Callable[..., MemNet],
    random_planes: Callable[..., Tensor],
    size: tuple[int, int],
) -> None:
    network = random_network(memory_blocks=2, recursions=1, channels=4, unshuffle=2)
    x = random_planes(1, 1, *size)
    height, width = size
    borders = ((0, 0), (0, 0), (0, height % 2), (0, width % 2))
    reflected = torch.from_numpy(np.pad(x.numpy(), borders, mode="reflect"))
    predicted, expected = network(x), network(reflected)
    assert predicted.output.shape == x.shape
    assert torch.equal(predicted.output, expected.output[..., :height, :width])
    for y, whole in zip(predicted.intermediate, expected.intermediate, strict=True):
        assert torch.equal(y, whole[..., :height, :width])


@pytest.mark.parametrize("multiple", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 16), (5, 9)])
def test_padding_reflects_as_often_as_needed(
    random_planes: Callable[..., Tensor], size: tuple[int, int], multiple: int
) -> None:
    x = random_planes(*size)
    borders = [(0, -side % multiple) for side in size]
    expected = np.pad(x.numpy(), borders, mode="reflect")
    np.testing.assert_array_equal(pad_to_multiple(x, multiple).numpy(), expected)


@pytest.mark.parametrize("exit_block", [-1, 0, 4])
def test_exit_block_that_does_not_exist_is_refused(
    random_planes: Callable[..., Tensor], exit_block: int
) -> None:
    network = MemNet(Architecture(memory_blocks=3, recursions=1, channels=2))
    with pytest.raises(ValueError, match=rf"block {exit_block} .* blocks 1 to 3\."):
        network(random_planes(1, 1, 4, 4), exit_block)


@pytest.mark.parametrize("exit_block", [0, 1, 3])
def test_network_without_supervision_has_no_early_exit(
    random_planes: Callable[..., Tensor], exit_block: int
) -> None:
    architecture = Architecture(
        memory_blocks=2, recursions=1, channels=2, multi_supervised=False
    )
    reason = f"only after its last memory block, 2; exit block {exit_block} does not"
    with pytest.raises(ValueError, match=reason):
        MemNet(architecture)(random_planes(1, 1, 4, 4), exit_block)


@pytest.mark.parametrize("value", [0, -3])
@pytest.mark.parametrize(
    "name", ["memory_blocks", "recursions", "channels", "unshuffle"]
)
def test_counts_below_one_are_refused(name: str, value: int) -> None:
    counts: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=rf"^{name} must be at least 1, not {value}\."):
        Architecture(**counts)


def test_m6r6_costs_2_9_million_multiply_adds_a_pixel() -> None:
    assert Architecture().multiply_adds() == 2_888_832


def test_unshuffle_makes_everything_but_the_ends_four_times_cheaper() -> None:
    ends = 2 * 9 * 64
    paper, unshuffled = (Architecture(unshuffle=u).multiply_adds() for u in (1, 2))
    assert paper - ends == 4 * (unshuffled - ends)


@pytest.mark.parametrize(
    "ablation",
    [
        {},
        {"long_term": False},
        {"short_term": False},
        {"level_map": True},
        {"image_channels": 3},
        {"image_channels": 3, "level_map": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("unshuffle", [1, 2])
def test_multiply_adds_are_those_of_the_convolutions(
    random_planes: Callable[..., Tensor], unshuffle: int, ablation: dict[str, Any]
) -> None:
    architecture = Architecture(
        memory_blocks=3,
        recursions=2,
        channels=4,
        unshuffle=unshuffle,
        multi_supervised=False,
        **ablation,
    )
    x = random_planes(1, architecture.input_channels, 6, 8)
    counted = counted_multiply_adds(MemNet(architecture), x)
    assert architecture.multiply_adds() == counted / (6 * 8)


def test_training_starts_from_he_weights_and_equal_fusion() -> None:
    network = MemNet(Architecture(memory_blocks=4, recursions=1))
    assert torch.equal(network.fusion, torch.full((4,), 1 / 4))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx(
                (2 / fan_in) ** 0.5, rel=0.15
            )
            assert module.bias is not None
            assert not module.bias.any()
