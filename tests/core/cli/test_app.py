from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from memnet_core import __version__
from memnet_core.cli import main
from memnet_core.errors import (
    DeviceError,
    ImageError,
    LevelError,
    MemnetError,
    ModelError,
    TrainingError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

HEAVY = ["torch", "napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "numpy"]


@pytest.mark.parametrize(
    "arguments", ["--help", "--version", "batch --help", "restore -h", "models --help"]
)
def test_help_and_version_import_nothing_heavy(arguments: str) -> None:
    script = (
        "import sys\n"
        "from memnet_core.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:], prog_name='memnet')\n"
        "finally:\n"
        f"    print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", script, *arguments.split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(("Usage: memnet", f"memnet, version {__version__}"))
    assert ended.stderr == "[]\n"


def test_command_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="memnet")
    assert script.load() is main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImageError, 1),
        (DeviceError, 2),
        (LevelError, 2),
        (ModelError, 2),
        (TrainingError, 2),
        (UsageError, 2),
    ],
)
def test_error_is_one_line_and_an_exit_code(
    memnet: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    error: type[MemnetError],
    code: int,
) -> None:
    def fail() -> None:
        raise error("a\nb\x1b[31m.png cannot be σ; do something else.")

    monkeypatch.setattr("memnet_core.model.zoo.installed", fail)
    result = memnet("models", "list")
    assert result.exit_code == code
    assert result.stderr == "Error: a�b�[31m.png cannot be σ; do something else.\n"
    assert result.stdout == ""


def test_interrupt_is_exit_code_130(
    memnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("memnet_core.model.zoo.installed", interrupt)
    result = memnet("models", "list")
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("memnet_core.model.zoo.installed", fail)
    result = CliRunner().invoke(main, ["models", "list"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_output_that_cannot_encode_a_letter_gets_an_escape(
    install: Callable[..., object],
) -> None:
    install("noisy", 10, 50, task="denoise")
    result = CliRunner(charset="latin-1").invoke(main, ["models", "list"])
    assert result.exit_code == 0, result.exception
    assert r"denoise \u03c3 10-50" in result.stdout
