"""What `memnet analyze` finds, on networks and images whose figures are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from memnet_core.errors import UsageError
from memnet_core.evaluation.run import restored_plane
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet
from memnet_core.paper.figures import draw_predictions
from memnet_core.paper.gate_norms import KINDS, gate_norms, observations
from memnet_core.paper.predictions import (
    BANDS,
    Prediction,
    compare,
    convolution_weights,
    decibels,
    exits,
    published_psnr,
    spectrum_of,
)
from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE: dict[str, Any] = {"memory_blocks": 3, "recursions": 2, "channels": 4}


def network_with_norms(table: list[dict[str, float]], **shape: bool) -> MemNet:
    """Make one whose gate weights have given norms, by memory, in every map."""
    network = MemNet(Architecture(**SHAPE, **shape))
    for block, gate in zip(network.blocks, gate_norms(network), strict=True):
        weight = block.get_submodule("gate.conv").get_parameter("weight")
        channels = weight.shape[0]
        values = [table[gate.block - 1][name] for name in gate.memories]
        rows = torch.tensor(values).repeat_interleave(channels) / channels**0.5
        weight.data[:] = rows[None, :, None, None]
    return network


FADING: list[dict[str, float]] = [
    {"B0": 4, "H1": 6, "H2": 8},
    {"B0": 3, "B1": 3, "H1": 4, "H2": 6},
    {"B0": 3, "B1": 3, "B2": 3, "H1": 2, "H2": 4},
]


def test_norms_are_those_of_each_feature_map_divided_by_the_largest() -> None:
    gates = gate_norms(network_with_norms(FADING))
    assert [gate.memories for gate in gates] == [tuple(row) for row in FADING]
    for gate, row in zip(gates, FADING, strict=True):
        expected = np.repeat([list(row.values())], 4, axis=0).T / 8
        assert gate.norms == pytest.approx(expected)
        assert gate.scale == pytest.approx(8)


def test_bars_are_means_by_kind_of_memory() -> None:
    last = gate_norms(network_with_norms(FADING))[-1]
    assert last.kinds == ("long-term",) * 3 + ("short-term", "last recursion")
    assert [last.bar(kind) for kind in KINDS] == pytest.approx([3 / 8, 2 / 8, 4 / 8])


@pytest.mark.parametrize(
    ("shape", "memories"),
    [
        ({"long_term": False}, ("H1", "H2")),
        ({"short_term": False}, ("B0", "B1", "B2", "H2")),
        ({"long_term": False, "short_term": False}, ("H2",)),
    ],
)
def test_ablated_networks_have_the_memories_that_are_left(
    shape: dict[str, bool], memories: tuple[str, ...]
) -> None:
    last = gate_norms(MemNet(Architecture(**SHAPE, **shape)))[-1]
    assert last.memories == memories
    assert last.kinds[-1] == "last recursion"
    present = {kind for kind in KINDS if math.isfinite(last.bar(kind))}
    assert present == set(last.kinds)


def test_observations_hold_where_the_norms_are_as_the_paper_says() -> None:
    gates = gate_norms(network_with_norms(FADING))
    tasks, *found = observations({"one": gates}, {"one": "sr"})
    assert tasks.verdict == "undecided"
    assert [each.verdict for each in found] == ["holds"] * 3
    assert "Means 0.75, 0.50, 0.38" in found[0].figures


def test_observations_do_not_hold_where_the_norms_are_otherwise() -> None:
    rising = [
        {"B0": 4.0, "H1": 3, "H2": 2},
        {"B0": 1.0, "B1": 6, "H1": 6, "H2": 5},
        {"B0": 1.0, "B1": 8, "B2": 3, "H1": 9, "H2": 8},
    ]
    gates = gate_norms(network_with_norms(rising))
    _, *found = observations({"one": gates}, {"one": "sr"})
    assert [each.verdict for each in found] == ["does not hold"] * 3


def test_networks_of_two_tasks_are_compared_and_those_of_one_are_not() -> None:
    equal = [dict.fromkeys(row, 5.0) for row in FADING]
    norms = {
        "a": gate_norms(network_with_norms(FADING)),
        "b": gate_norms(network_with_norms(equal)),
        "c": gate_norms(network_with_norms(FADING)),
    }
    differing = observations(norms, {"a": "sr", "b": "denoise", "c": "denoise"})[0]
    assert "a and b differ at 1 % (Kolmogorov-Smirnov) in 3 of 3" in differing.figures
    assert "a and c differ at 1 % (Kolmogorov-Smirnov) in 0 of 3" in differing.figures
    assert "b and c" not in differing.figures


def test_wave_has_its_power_on_its_own_circle() -> None:
    y, x = np.mgrid[:64, :64]
    wave = 100 + 10 * np.cos(2 * np.pi * (12 * x + 16 * y) / 64)
    spectrum = spectrum_of(wave)
    assert spectrum.frequency[20] == 20 / 64
    assert spectrum.power[20] == pytest.approx(10**2 / 2)
    assert np.delete(spectrum.power, 20).max() < 1e-9
    powers = {name: spectrum.band(name) for name in BANDS}
    assert powers == pytest.approx({"low": 0, "middle": 50, "high": 0}, abs=1e-9)


def test_circles_hold_the_variance_but_for_the_corners() -> None:
    plane = np.random.default_rng(0).normal(0, 5, (60, 90))
    spectrum = spectrum_of(plane)
    inside = math.pi / 4  # of a flat spectrum
    assert spectrum.power.sum() == pytest.approx(plane.var() * inside, rel=0.05)
    assert spectrum.frequency[-1] == 0.5


def test_differences_are_in_decibels() -> None:
    assert decibels(20.0, 2.0) == pytest.approx(10)
    assert decibels(0.0, 0.0) == 0


def test_every_prediction_is_that_of_the_training_form(
    random_network: Callable[..., MemNet],
) -> None:
    network = random_network(**SHAPE)
    plane = np.random.default_rng(0).uniform(0, 255, (20, 24))
    x = torch.from_numpy(plane[None, None] / 255).float()
    with torch.inference_mode():
        made = network(x)
    expected = {f"y{m}": y for m, y in enumerate(made.intermediate, start=1)}
    expected["y"] = made.output
    found = {
        each.name: restored_plane(each.engine(network, "cpu"), plane, 0)
        for each in exits(network.architecture)
    }
    assert found.keys() == expected.keys()
    for name, y in expected.items():
        assert found[name] == pytest.approx(255 * y[0, 0].numpy(), abs=2e-2)


def test_only_output_of_a_network_without_supervision_is_a_prediction() -> None:
    architecture = Architecture(**SHAPE, multi_supervised=False)
    assert [each.name for each in exits(architecture)] == ["y"]


def test_weights_are_counted_as_in_the_paper() -> None:
    network = MemNet(Architecture())
    assert convolution_weights(network) == 676_992
    assert convolution_weights(network, 1) == 2 * 576 + 2 * 36_864 + 7 * 4096


def test_published_systems_come_from_the_papers_table_weakest_first() -> None:
    found = published_psnr(TASKS["sr"], Path("data/Set5"), 3)
    assert [*found][:2] == ["Bicubic", "SRCNN"]
    assert found["MemNet"] == 34.09
    assert sorted(found.values()) == [*found.values()]
    assert published_psnr(TASKS["sr"], Path("mine"), 3) == {}
    drawn = draw_predictions({"a": [PREDICTION]}, "Set5", found)
    texts = {text.get_text() for text in drawn.axes[0].texts}
    assert texts == {"y1", *found} - {"Bicubic"}  # which is the input


PREDICTION = Prediction("y1", 1, 56_000, 45_000, 0.5, 30.39, 32.5, 0.87, 0.9)


def test_networks_are_compared_by_thirds_of_the_frequencies(
    random_network: Callable[..., MemNet],
) -> None:
    plane = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
    networks = {
        "full": random_network(**SHAPE),
        "short": random_network(**SHAPE, long_term=False, multi_supervised=False),
    }
    found = compare(networks, "denoise", plane, 25, device="cpu", crop=(2, 3, 16))
    assert [p.title.split(",")[0] for p in found.rows["full"]] == ["y2", "y3"]
    assert [p.title.split(",")[0] for p in found.rows["short"]] == ["y"]
    assert [name for name, _, _ in found.pairs] == [
        "full y3 against y2",
        "short y against full y3",
        "clean against full y3",
    ]
    assert found.common[1].crop.tolist() == plane[2:18, 3:19].tolist()
    first, second = found.rows["short"][0].spectrum, found.rows["full"][1].spectrum
    high = 10 * np.log10(first.band("high") / second.band("high"))
    assert found.words()[1].endswith(f"high {high:+.2f} dB")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"names": ["y9"]}, "makes no prediction 'y9'; choose from y1, y2, y3, y"),
        ({"crop": (30, 0, 16)}, "is not inside of 40×48 px"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    random_network: Callable[..., MemNet],
    options: dict[str, Any],
    told: str,
) -> None:
    plane = np.zeros((40, 48), np.uint8)
    network = {"full": random_network(**SHAPE)}
    with pytest.raises(UsageError, match=told):
        compare(network, "denoise", plane, 25, device="cpu", **options)
