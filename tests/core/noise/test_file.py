from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from memnet_core.errors import ModelError
from memnet_core.model.architecture import Architecture
from memnet_core.model.card import TrainingSummary
from memnet_core.model.checkpoint import CARD_KEY, load_model, read_header, save_model
from memnet_core.model.network import MemNet
from memnet_core.noise.file import load_noise_network, save_noise_network
from memnet_core.noise.network import NoiseNetwork
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from pathlib import Path

FIELDS: dict[str, Any] = {
    "name": "noise",
    "license": "BSD-3-Clause",
    "training": TrainingSummary(
        data="none", steps=1, megapixels=1, minutes=1, hardware="-", command="memnet"
    ),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "noise.safetensors"
    torch.manual_seed(0)
    save_noise_network(path, NoiseNetwork(), **FIELDS)
    return path


def test_a_file_gives_back_weights_and_card(saved: Path) -> None:
    network, card = load_noise_network(saved)
    torch.manual_seed(0)
    for name, tensor in NoiseNetwork().state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)
    assert (card.kind, card.name, card.training.command) == ("noise", "noise", "memnet")
    assert not network.training


def test_a_network_that_reads_noise_is_no_model_that_restores(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"reads noise and restores nothing; give a"):
        load_model(saved)


def test_a_model_that_restores_does_not_read_noise(tmp_path: Path) -> None:
    path = tmp_path / "denoise.safetensors"
    small = Architecture(memory_blocks=1, recursions=1, channels=4)
    save_model(
        path,
        MemNet(small),
        name="denoise",
        task="denoise",
        levels=Levels(values=(5, 75), continuous=True),
        version="1",
        license="BSD-3-Clause",
    )
    with pytest.raises(ModelError, match="holds no network that reads noise; give"):
        load_noise_network(path)


def test_other_safetensors_files_are_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file(load_file(saved), path)
    with pytest.raises(ModelError, match="holds no network that reads noise; give"):
        load_noise_network(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["layers.0.bias"].add_(1), "SHA-256 differs"),
        (lambda t: t.pop("layers.0.bias"), "not those of a network that reads noise"),
        (
            lambda t: t.update({"layers.0.bias": torch.zeros(3)}),
            "not those of a network that reads noise",
        ),
    ],
)
def test_weights_that_do_not_fit_the_card_are_refused(
    saved: Path, tmp_path: Path, change: Any, said: str
) -> None:
    tensors = load_file(saved)
    card = read_header(saved)["__metadata__"]
    assert CARD_KEY in card
    change(tensors)
    path = tmp_path / "changed.safetensors"
    save_file(tensors, path, card)
    with pytest.raises(ModelError, match=said):
        load_noise_network(path)


def test_a_card_of_a_later_version_is_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "later.safetensors"
    save_file(load_file(saved), path, {CARD_KEY: '{"kind": "noise", "format": 2}'})
    with pytest.raises(ModelError, match="may come from a newer version"):
        load_noise_network(path)


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Cannot write the model file"):
        save_noise_network(tmp_path / "no" / "x.safetensors", NoiseNetwork(), **FIELDS)
