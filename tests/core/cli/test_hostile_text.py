"""What files and names hold reaches no terminal, page or log as it is."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from memnet_core.model.checkpoint import save_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from memnet_core.model.network import MemNet

HOSTILE = "\x1b]0;pwned\x07\x9b31m\u202e$\\frac{$<b>"
RAW = ("\x1b", "\x07", "\x9b", "\u202e")


def assert_harmless(text: str) -> None:
    assert not [c for c in text if not (c.isprintable() or c == "\n")]


def hostile_picture(path: Path) -> Path:
    info = PngImagePlugin.PngInfo()
    info.add_text("key\x1b[31m", HOSTILE.encode("latin-1", "replace").decode("latin-1"))
    pixels = np.full((32, 32), 7, np.uint8)
    Image.fromarray(pixels).save(path, "PNG", pnginfo=info)
    return path


def hostile_model(path: Path, random_network: Callable[..., MemNet]) -> Path:
    network = random_network(memory_blocks=1, recursions=1, channels=2)
    save_model(
        path,
        network,
        name="hostile",
        task="denoise",
        levels={"values": [5, 75], "continuous": True},
        version=HOSTILE,
        license=HOSTILE,
        description=HOSTILE,
    )
    return path


@pytest.mark.parametrize("command", ["info", "batch", "restore"])
def test_names_and_metadata(
    memnet: Callable[..., Result], folder: Path, command: str
) -> None:
    name = "a\x1b[31m\u202e\udcff.png"
    hostile_picture(folder / name)
    (folder / ("b" + name)).write_bytes(b"\x89PNG no picture")
    for each in (name, "b" + name, "missing" + name):
        arguments = [command, each]
        if command != "info":
            arguments = [command, "--task", "denoise", "--sigma", "25", each, "out"]
        if command == "restore":
            arguments[-1] = "out-" + name
        result = memnet(*arguments)
        assert_harmless(result.output)
        assert "fault of memnet" not in result.output


def test_usage_errors(memnet: Callable[..., Result]) -> None:
    for arguments in (
        ["info", "a", "b\x1b[31m"],
        ["\x1b[31m"],
        ["info", "--\x1b[31m"],
        ["evaluate", "m", "f", "--levels", "\x1b[31m"],
    ):
        result = memnet(*arguments)
        assert result.exit_code == 2
        assert_harmless(result.output)
        assert r"\x1b" in result.output


def test_cards_of_models(
    memnet: Callable[..., Result], folder: Path, random_network: Callable[..., MemNet]
) -> None:
    path = hostile_model(folder / "model.safetensors", random_network)
    result = memnet("models", "info", path)
    assert result.exit_code == 0
    assert_harmless(result.output)
    assert r"\x1b]0;pwned\x07\x9b31m\u202e" in result.output


def test_evaluation(
    memnet: Callable[..., Result], folder: Path, random_network: Callable[..., MemNet]
) -> None:
    path = hostile_model(folder / "model.safetensors", random_network)
    images = folder / ("set\x1b$\\frac{$" + os.fsdecode(b"\xff"))
    images.mkdir()
    hostile_picture(images / f"{HOSTILE.replace('/', '')}.png")
    result = memnet(
        *("evaluate", path, images, "--levels", "25"),
        *("--png", "plot.png", "--csv", "table.csv", "--json", "all.json"),
    )
    assert result.exit_code == 0, result.output
    assert_harmless(result.output)
    for name in ("table.csv", "all.json"):
        text = (folder / name).read_text(encoding="utf-8")
        assert not [c for c in RAW if c in text]
        assert "pwned" in text
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_what_libraries_log_and_warn_of(
    memnet: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    plain: Any = type(logging.lastResort)
    monkeypatch.setattr(logging, "lastResort", plain(logging.WARNING))
    memnet("models", "list")
    assert logging.lastResort is not None
    record = logging.makeLogRecord({"msg": HOSTILE, "levelno": logging.WARNING})
    logging.lastResort.handle(record)
    told = capsys.readouterr().err
    told += warnings.formatwarning(UserWarning(HOSTILE), UserWarning, "file", 1)
    assert told.count("pwned") == 2
    assert_harmless(told)
