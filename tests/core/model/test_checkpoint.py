from __future__ import annotations

import json
import pickle
import struct
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from memnet_core.errors import ModelError
from memnet_core.model.architecture import Architecture
from memnet_core.model.card import Card, Score, TrainingSummary
from memnet_core.model.checkpoint import (
    load_model,
    read_card,
    save_model,
    tensors_sha256,
)
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from memnet_core.model.network import MemNet

OTHER_CONTENT = {
    "empty": b"",
    "one byte": b"\x02",
    "header length 0": bytes(8),
    "zeros": bytes(100),
    "random bytes": np.random.default_rng(0).bytes(1000),
    "header is no object": struct.pack("<Q", 2) + b"[]",
    "header is no JSON": struct.pack("<Q", 6) + b'{"a":}',
    "header is no text": struct.pack("<Q", 2) + b"\xff\xff",
    "header is nested too deeply": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "header ends early": struct.pack("<Q", 100) + b"{}",
    "header of a terabyte": struct.pack("<Q", 2**40) + b"{}",
    "header of 2^64 bytes": struct.pack("<Q", 2**64 - 1) + b"{}",
}
NETWORK = asdict(Architecture())
FIELDS: dict[str, Any] = {
    "name": "tiny-1.0",
    "task": "deblock",
    "levels": Levels(values=(5, 75), continuous=True),
    "version": "1.0",
    "license": "BSD-3-Clause",
    "description": "σ, × and other symbols",
    "training": TrainingSummary(
        data="none", steps=1, megapixels=0.1, minutes=0.5, hardware="-", command="-"
    ),
    "scores": (
        Score(
            dataset="Classic5",
            level=10,
            input_psnr=27.82,
            input_ssim=0.7595,
            psnr=29.69,
            ssim=0.8107,
        ),
    ),
}


@pytest.fixture
def network(random_network: Callable[..., MemNet]) -> MemNet:
    return random_network(memory_blocks=2, recursions=1, channels=3, unshuffle=2)


@pytest.fixture
def path(tmp_path: Path, network: MemNet) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, network, **FIELDS)
    return path


def refusal(path: Path, read: Callable[[Path], object] = load_model) -> str:
    """Return why `path` is refused: one sentence that names the file."""
    with pytest.raises(ModelError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert message.endswith(".")
    assert ". " not in message
    assert "\n" not in message
    return message


def header_size(path: Path) -> int:
    size: int = struct.unpack("<Q", path.read_bytes()[:8])[0]
    return 8 + size


def with_card(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrite a model file with a changed card and the same weights."""
    with safe_open(path, "pt") as file:
        card = json.loads(file.metadata()["memnet"])
    change(card)
    save_file(load_file(path), path, {"memnet": json.dumps(card)})


def test_weights_and_card_survive_the_round_trip(
    path: Path, network: MemNet, random_planes: Callable[..., Tensor]
) -> None:
    loaded, card = load_model(path)
    state = network.state_dict()
    assert list(loaded.state_dict()) == list(state)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, state[name])
    assert card == Card(
        **FIELDS, architecture=network.architecture, sha256=tensors_sha256(state)
    )
    assert loaded.architecture == network.architecture
    assert not loaded.training
    x = random_planes(1, 1, 7, 5)
    assert torch.equal(loaded(x).output, network(x).output)


@pytest.mark.parametrize(
    "architecture",
    [
        {"multi_supervised": False},
        {"long_term": False, "short_term": False},
        {"fenet_norm": True, "unshuffle": 1},
        {"image_channels": 3},
        {"level_map": True, "unshuffle": 2},
    ],
    ids=str,
)
def test_file_describes_its_architecture(
    tmp_path: Path, random_network: Callable[..., MemNet], architecture: dict[str, Any]
) -> None:
    saved = random_network(memory_blocks=2, recursions=2, channels=3, **architecture)
    path = tmp_path / "model.safetensors"
    save_model(path, saved, **FIELDS)
    assert load_model(path)[0].architecture == saved.architecture


def test_file_of_before_color_and_level_maps_still_loads(
    path: Path, network: MemNet
) -> None:
    def age(card: dict[str, Any]) -> None:
        card["format"] = 1
        for name in ("image_channels", "level_map"):
            del card["architecture"][name]

    with_card(path, age)
    loaded, card = load_model(path)
    assert card.format == 1
    assert card.architecture == loaded.architecture == network.architecture
    assert (card.architecture.image_channels, card.architecture.level_map) == (1, False)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def test_saving_returns_the_card_and_leaves_only_the_file(
    tmp_path: Path, network: MemNet
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("replaced")
    written = save_model(path, network, **FIELDS)
    assert read_card(path) == written
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change", [{"name": "../tiny"}, {"task": "dehaze"}, {"color": "red"}], ids=str
)
def test_invalid_card_is_not_written(
    path: Path, network: MemNet, change: dict[str, str]
) -> None:
    before = path.read_bytes()
    with pytest.raises(ValidationError, match=next(iter(change))):
        save_model(path, network, **{**FIELDS, **change})
    assert path.read_bytes() == before


def test_full_disk_leaves_the_old_file(
    path: Path, network: MemNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def write_half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(ModelError, match="No space left"):
        save_model(path, network, **FIELDS)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_loading_leaves_the_random_state_alone(path: Path) -> None:
    before = torch.get_rng_state()
    load_model(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_card_is_read_without_the_weights(path: Path) -> None:
    card = read_card(path)
    path.write_bytes(path.read_bytes()[: header_size(path)])
    assert read_card(path) == card
    assert "damaged" in refusal(path)


def test_card_says_what_it_serves(path: Path) -> None:
    assert read_card(path).serves == "deblock q 5-75"


def test_card_says_that_it_serves_noise_which_neighbors_share(path: Path) -> None:
    fields = read_card(path).model_dump() | {"task": "denoise", "grain": "correlated"}
    assert Card(**fields).serves == "denoise σ 5-75 of any noise"


@pytest.mark.parametrize("read", [read_card, load_model])
def test_missing_file_is_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    assert "No such file" in refusal(tmp_path / "missing.safetensors", read)


@pytest.mark.parametrize("read", [read_card, load_model])
def test_folder_is_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    assert "not a regular file" in refusal(tmp_path, read)


@pytest.mark.parametrize("read", [read_card, load_model])
@pytest.mark.parametrize("content", OTHER_CONTENT.values(), ids=OTHER_CONTENT)
def test_file_that_is_no_safetensors_file_is_refused(
    tmp_path: Path, content: bytes, read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "not a safetensors file" in refusal(path, read)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_file_is_refused_under_any_name(
    tmp_path: Path, network: MemNet, zipped: bool, name: str
) -> None:
    path = tmp_path / name
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=zipped)
    assert "pickle" in refusal(path)


class TouchWhenUnpickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.pkl", "model.safetensors"])
def test_pickle_is_refused_and_never_run(
    tmp_path: Path, name: str, protocol: int
) -> None:
    path, proof = tmp_path / name, tmp_path / "proof"
    path.write_bytes(pickle.dumps(TouchWhenUnpickled(proof), protocol))
    refusal(path)
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists()


@pytest.mark.parametrize("read", [read_card, load_model])
@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_file_without_a_card_is_refused(
    path: Path, metadata: dict[str, str] | None, read: Callable[[Path], Any]
) -> None:
    save_file(load_file(path), path, metadata)
    assert "without a MemNet card" in refusal(path, read)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 3}, "format: "),
        ({"color": "red"}, "color: "),
        ({"task": "dehaze"}, "task: "),
        ({"levels": {"values": [], "continuous": False}}, "levels.values: "),
        ({"sha256": "0"}, "sha256: "),
        ({"architecture": {**NETWORK, "kernel": 5}}, "missing or unknown: kernel"),
        ({"architecture": {"recursions": 2}}, "missing or unknown: channels, "),
        ({"architecture": {**NETWORK, "channels": 0}}, "must be at least 1, not 0"),
        ({"architecture": {**NETWORK, "channels": 10**6}}, "must be at most 4096"),
        ({"architecture": {**NETWORK, "channels": 2.5}}, "architecture.channels: "),
        ({"levels": {"values": [75, 5], "continuous": True}}, "ascending order"),
    ],
    ids=str,
)
def test_card_that_this_version_does_not_know_is_refused(
    path: Path, change: dict[str, Any], reason: str
) -> None:
    with_card(path, lambda card: card.update(change))
    message = refusal(path, read_card)
    assert reason in message
    assert "newer version" in message


def test_card_that_is_incomplete_is_refused(path: Path) -> None:
    with_card(path, lambda card: card.pop("task"))
    assert "task: " in refusal(path, read_card)


@pytest.mark.parametrize("missing", [1, 100])
def test_truncated_weights_are_refused(path: Path, missing: int) -> None:
    path.write_bytes(path.read_bytes()[:-missing])
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_changed_weights_are_refused(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    start = header_size(path)
    content[start + round(place * (len(content) - 1 - start))] ^= 1
    path.write_bytes(content)
    assert "SHA-256" in refusal(path)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 4},
        {"memory_blocks": 1},
        {"memory_blocks": 3},
        {"recursions": 2},
        {"unshuffle": 1},
        {"long_term": False},
        {"multi_supervised": False},
        {"fenet_norm": True},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_the_architecture_are_refused(
    path: Path, change: dict[str, Any]
) -> None:
    with_card(path, lambda card: card["architecture"].update(change))
    assert read_card(path).architecture != Architecture()
    assert "do not fit the architecture" in refusal(path)


def test_sha256_depends_on_names_types_shapes_and_values_but_not_on_order() -> None:
    a, b = torch.arange(6.0), torch.ones(2)
    digest = tensors_sha256({"a": a, "b": b})
    assert digest == tensors_sha256({"b": b, "a": a.clone()})
    others = [
        {"a": a, "c": b},
        {"a": a},
        {"a": a.reshape(2, 3), "b": b},
        {"a": a.view(torch.int32), "b": b},
        {"a": a + 1, "b": b},
        {"a": b, "b": a},
    ]
    assert digest not in {tensors_sha256(other) for other in others}


@pytest.mark.parametrize(
    ("level", "covered", "nearest"),
    [
        (4.9, False, 5),
        (5, True, 5),
        (33.3, True, 33.3),
        (75, True, 75),
        (80, False, 75),
    ],
)
def test_continuous_levels_cover_what_is_between(
    level: float, covered: bool, nearest: float
) -> None:
    levels = Levels(values=(5, 75), continuous=True)
    assert levels.covers(level) is covered
    assert levels.nearest(level) == nearest


@pytest.mark.parametrize(
    ("level", "covered", "nearest"),
    [(1, False, 2), (2, True, 2), (2.4, False, 2), (3.7, False, 4), (9, False, 4)],
)
def test_single_levels_cover_themselves(
    level: float, covered: bool, nearest: float
) -> None:
    levels = Levels(values=(2, 3, 4), continuous=False)
    assert levels.covers(level) is covered
    assert levels.nearest(level) == nearest


def test_levels_in_words() -> None:
    assert str(Levels(values=(5, 75), continuous=True)) == "5-75"
    assert str(Levels(values=(2, 2.5, 4), continuous=False)) == "2, 2.5, 4"


@pytest.mark.parametrize("metadata", [3, None, "card"])
def test_metadata_of_another_kind_is_refused(path: Path, metadata: object) -> None:
    header = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert "without a MemNet card" in refusal(path, read_card)


def test_weights_of_another_precision_are_refused(path: Path, network: MemNet) -> None:
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    card = read_card(path).model_copy(update={"sha256": tensors_sha256(tensors)})
    save_file(tensors, path, {"memnet": card.model_dump_json()})
    assert "has F16 of shape" in refusal(path)
