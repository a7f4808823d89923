"""Damaged and hostile model files are one sentence each, at little cost."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from memnet_core.errors import ModelError
from memnet_core.model.checkpoint import (
    load_model,
    read_card,
    save_model,
    tensors_sha256,
)
from memnet_core.model.registry import add_model, find_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.model.network import MemNet

CARD: dict[str, Any] = {
    "name": "tiny",
    "task": "denoise",
    "levels": {"values": [5, 75], "continuous": True},
    "version": "1",
    "license": "none",
}


@pytest.fixture
def model(tmp_path: Path, random_network: Callable[..., MemNet]) -> Path:
    """A file with a tiny model."""
    path = tmp_path / "tiny.safetensors"
    network = random_network(memory_blocks=1, recursions=1, channels=2)
    save_model(path, network, **CARD)
    return path


def header_of(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header: dict[str, Any] = json.loads(content[8 : 8 + size])
    return header


def with_header(path: Path, header: dict[str, Any] | bytes) -> None:
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])


def with_tensors(path: Path, **changed: torch.Tensor) -> None:
    """Write other weights, and the card that would be right for them."""
    metadata = header_of(path)["__metadata__"]
    tensors = {**load_file(path), **changed}
    try:
        digest = tensors_sha256(tensors)
    except TypeError:  # types that NumPy lacks
        digest = "0" * 64
    metadata["memnet"] = json.dumps(json.loads(metadata["memnet"]) | {"sha256": digest})
    save_file(tensors, path, metadata)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 1000
    return text


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bfloat16,
        torch.float16,
        torch.float64,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
        torch.complex64,
        torch.int64,
        torch.uint8,
        torch.bool,
    ],
    ids=str,
)
def test_weights_of_other_types(model: Path, dtype: torch.dtype) -> None:
    name, tensor = next(
        (n, t) for n, t in load_file(model).items() if t.dtype == torch.float32
    )
    with_tensors(model, **{name: tensor.to(dtype)})
    assert name in refused(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(model: Path, value: float) -> None:
    for name, tensor in load_file(model).items():
        if tensor.is_floating_point():
            with_tensors(model, **{name: torch.full_like(tensor, value)})
            assert "not all finite" in refused(model)
            break


def test_shapes_that_lie(model: Path) -> None:
    whole = model.read_bytes()
    header = header_of(model)
    names = [name for name in header if name != "__metadata__"]
    first = header[names[0]]
    for changed in (
        {**first, "shape": [2**40, 2**40]},
        {**first, "shape": [-1]},
        {**first, "shape": ["x"]},
        {**first, "shape": [2**63]},
        {**first, "data_offsets": [0, 2**62]},
        {**first, "dtype": "F99"},
        {},
        None,
        3,
    ):
        model.write_bytes(whole)
        with_header(model, {**header, names[0]: changed})
        refused(model)
    model.write_bytes(whole)
    with_header(model, {name: header[name] for name in header if name != names[0]})
    refused(model)
    model.write_bytes(whole)
    with_header(model, {**header, "more": first})
    refused(model)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\0" * 7,
        b"\0" * 8,
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 100) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 4) + b"\xff\xfe\xff\xfe",
        struct.pack("<Q", 10_000) + b"[" * 10_000,
        struct.pack("<Q", 6010) + b'{"a":1' + b"0" * 6000 + b"  }",
    ],
)
def test_headers_that_are_none(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(start)
    refused(path)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": None},
        {"architecture": {"memory_blocks": 100, "recursions": 100, "channels": 4096}},
        {"name": "../../etc/passwd"},
        {"name": "a" * 300},
        {"name": "a\x1b[31m"},
        {"levels": {"values": [], "continuous": False}},
        {"levels": {"values": [-1], "continuous": False}},
        {"task": "sr", "levels": {"values": [10**6], "continuous": False}},
        {"task": "\x1b[31m"},
        {"levels": {"values": [1e999], "continuous": False}},
        {"license": "a" * 10**6},
        {"training": {"steps": 10**4000}},
        {"format": 99},
        {"sha256": "0"},
    ],
)
def test_cards_out_of_bounds(model: Path, change: dict[str, Any]) -> None:
    header = header_of(model)
    card = json.loads(header["__metadata__"]["memnet"])
    if isinstance(architecture := change.get("architecture"), dict):
        change = {"architecture": card["architecture"] | architecture}
    header["__metadata__"]["memnet"] = json.dumps(card | change)
    with_header(model, header)
    refused(model)


@pytest.mark.parametrize("card", [3, None, {}, [], "", "{", "[" * 10_000, "1" * 6000])
def test_cards_that_are_none(model: Path, card: object) -> None:
    header = header_of(model)
    header["__metadata__"]["memnet"] = card
    with_header(model, header)
    refused(model)


def test_only_regular_files_are_models(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.safetensors"
    os.mkfifo(fifo)
    endless = tmp_path / "endless.safetensors"
    endless.symlink_to("/dev/zero")
    for path in (fifo, endless):
        with pytest.raises(ModelError, match="not a regular file"):
            read_card(path)
        with pytest.raises(ModelError, match="not a regular file"):
            find_model(str(path))
    with pytest.raises(ModelError):
        find_model("a\0.safetensors")
    with pytest.raises(ModelError):
        find_model("a" * 5000 + ".safetensors")


def test_model_that_makes_no_picture_is_not_added(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMNET_MODELS", str(tmp_path / "added"))
    name, tensor = next(
        (n, t) for n, t in load_file(model).items() if n.endswith("running_var")
    )
    with_tensors(model, **{name: torch.full_like(tensor, -1)})
    with pytest.raises(ModelError, match="not finite"):
        add_model(model)
    assert not (tmp_path / "added").exists()


def test_name_of_a_shipped_model_is_not_taken_unsaid(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    random_network: Callable[..., MemNet],
) -> None:
    from click.testing import CliRunner

    from memnet_core.cli import main

    monkeypatch.setenv("MEMNET_MODELS", str(tmp_path / "added"))
    path = tmp_path / "mine.safetensors"
    network = random_network(memory_blocks=1, recursions=1, channels=2)
    save_model(path, network, **CARD | {"name": "denoise"})
    assert find_model("denoise").is_shipped
    result = CliRunner().invoke(main, ["models", "add", str(path)])
    assert result.exit_code == 0
    assert "instead of the shipped model 'denoise'" in result.stderr
    assert find_model("denoise").hides_shipped
    listed = CliRunner().invoke(main, ["models", "list"]).stdout.splitlines()
    told = [line.split()[0] for line in listed if "in place of the shipped" in line]
    assert told == ["denoise"]
