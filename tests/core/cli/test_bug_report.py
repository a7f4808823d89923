"""What the command tells of itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch

from memnet_core import __version__
from memnet_core._util.devices import available_devices
from memnet_core.model.checkpoint import read_card

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]


def test_version_names_pytorch_and_its_devices(memnet: Command) -> None:
    result = memnet("--version")
    told = f"memnet, version {__version__} (torch {torch.__version__}, "
    assert result.exit_code == 0
    assert result.stdout.startswith(told)
    assert result.stdout.endswith(f"{', '.join(available_devices())})\n")


def test_version_is_told_without_pytorch(
    memnet: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = memnet("--version")
    assert result.exit_code == 0
    assert f"{__version__} (PyTorch cannot be imported: " in result.stdout


def test_bug_report_tells_versions_devices_and_models(
    memnet: Command,
    install: Install,
    models_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = install("low", 5, 20)
    (models_folder / "bad.safetensors").write_text("nothing")
    monkeypatch.setenv("HOME", str(models_folder.parent))
    monkeypatch.setenv("MY_PASSWORD", "secret")
    result = memnet("bug-report")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    facts = dict(lines)
    assert facts["memnet"].startswith(__version__)
    assert f"torch {torch.__version__}" in facts["PyTorch"]
    assert f"numpy {sys.modules['numpy'].__version__}" in facts["packages"]
    assert "MEMNET_MODELS=~/models" in facts["variables"]
    digest = read_card(path).sha256[:12]
    assert facts["model"] == f"low (deblock q 5-20), added, {digest}"
    assert facts["unusable"].startswith("~/models/bad.safetensors is not a")
    assert "secret" not in result.stdout
