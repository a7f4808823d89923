"""Tensors of other programs become our networks if they are, or are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from memnet_core.errors import ModelError
from memnet_core.export.import_weights import architecture_of, import_file
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import load_model
from memnet_core.model.network import MemNet
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Network = Callable[..., MemNet]

SHAPE: dict[str, Any] = {"memory_blocks": 3, "recursions": 2, "channels": 4}
LEVELS = Levels.listed(2, 3, 4)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"unshuffle": 2, "image_channels": 3, "level_map": True},
        {
            "unshuffle": 2,
            "image_channels": 3,
            "level_map": True,
            "chroma_level": True,
        },
        {"unshuffle": 3},
        {"long_term": False, "fenet_norm": True},
        {"short_term": False, "multi_supervised": False},
        {"batch_norm": False, "level_map": True},
        {"batch_norm": False, "long_term": False},
    ],
    ids=str,
)
def test_tensors_without_a_card_are_accepted_if_exact(
    random_network: Network, tmp_path: Path, shape: dict[str, Any]
) -> None:
    network = random_network(**SHAPE, **shape)
    file, out = tmp_path / "plain.safetensors", tmp_path / "out.safetensors"
    save_file(dict(network.state_dict()), file)
    import_file(file, out, task="sr", levels=LEVELS)
    model, _ = load_model(out)
    assert model.architecture == network.architecture
    for name, tensor in network.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_number_of_recursions_that_nothing_tells_is_refused() -> None:
    shape = SHAPE | {"batch_norm": False, "short_term": False}
    tensors = MemNet(Architecture(**shape)).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    with pytest.raises(ModelError, match="any number of recursions"):
        architecture_of(shapes)


def test_tensors_that_are_not_exact_are_refused(tmp_path: Path) -> None:
    tensors = dict(MemNet(Architecture(**SHAPE)).state_dict())
    tensors["blocks.2.gate.conv.bias"] = torch.zeros(5)
    file = tmp_path / "plain.safetensors"
    save_file(tensors, file)
    with pytest.raises(ModelError, match="does not hold exactly the tensors"):
        import_file(file, task="sr", levels=LEVELS)


def test_tensors_that_fit_two_networks_are_refused() -> None:
    architecture = Architecture(memory_blocks=1, recursions=2, long_term=False)
    shapes = {n: t.shape for n, t in MemNet(architecture).state_dict().items()}
    with pytest.raises(ModelError, match="with and without long-term"):
        architecture_of(shapes)


PORT = {
    "module.feature_extractor.bn.weight": torch.zeros(1),
    "module.dense_memory.0.recursive_unit.0.relu_conv1.conv.weight": torch.zeros(1),
}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_public_ports_are_refused_with_the_reason(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"port.{suffix}"
    if suffix == "pth":
        torch.save(PORT, file)
    else:
        save_file(PORT, file)
    with pytest.raises(ModelError, match="residual blocks have convolutions of their"):
        import_file(file, task="sr", levels=LEVELS)


class Trap:
    """Something that would fail the test if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("A pickle was run.",)


def test_other_pickles_are_refused_unopened(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save({"fenet.weight": Trap()}, file)
    with pytest.raises(ModelError, match="can run code when it is opened"):
        import_file(file, task="sr", levels=LEVELS)


def test_model_file_is_not_imported(
    install: Callable[..., Path],
) -> None:
    with pytest.raises(ModelError, match="is a model file already"):
        import_file(install("low", 5, 20), task="deblock", levels=LEVELS)
