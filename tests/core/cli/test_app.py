from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from memnet_core import __version__
from memnet_core.__main__ import start
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
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from click.testing import Result

HEAVY = ["torch", "napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6"]


def imported(arguments: Sequence[str], *modules: str) -> list[str]:
    """Return those of some modules that a command imports; it has to succeed."""
    script = (
        "import sys\n"
        "from memnet_core.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:], prog_name='memnet')\n"
        "finally:\n"
        f"    print(*[m for m in {modules} if m in sys.modules], file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return ended.stderr.splitlines()[-1].split()


@pytest.mark.parametrize(
    "arguments", ["--help", "batch --help", "restore -h", "models --help"]
)
def test_help_imports_nothing_heavy(arguments: str) -> None:
    assert imported(arguments.split(), *HEAVY) == []


@pytest.mark.parametrize(
    "arguments",
    [
        "models list",
        "batch --task denoise --sigma 30 in.png out",
    ],
)
def test_commands_that_compute_nothing_do_without_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(pixels).save("in.png")
    if arguments.startswith("batch"):  # its second run only skips
        assert imported(arguments.split(), "torch") == ["torch"]
    assert imported(arguments.split(), *HEAVY) == []


def test_command_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="memnet")
    assert script.load() is start


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

    monkeypatch.setattr("memnet_core.model.registry.installed", fail)
    result = memnet("models", "list")
    assert result.exit_code == code
    assert (
        result.stderr == "Error: a\\nb\\x1b[31m.png cannot be σ; do something else.\n"
    )
    assert result.stdout == ""


def test_interrupt_is_exit_code_130(
    memnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("memnet_core.model.registry.installed", interrupt)
    result = memnet("models", "list")
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `memnet models list` fail as nobody foresaw."""

    def fail() -> None:
        try:
            raise KeyError("a\nkey")
        except KeyError as error:
            raise ZeroDivisionError("a\nreason") from error

    monkeypatch.setattr("memnet_core.model.registry.installed", fail)


@pytest.mark.usefixtures("bug")
def test_bug_asks_for_a_report_and_says_how_to_see_more() -> None:
    result = CliRunner().invoke(main, ["models", "list"])
    assert result.exit_code == 70
    assert result.stderr == (
        "Error: this is a fault of memnet (ZeroDivisionError: a\\nreason); please "
        "report it with the traceback that `memnet --debug` and the same "
        "arguments show.\n"
    )


@pytest.mark.usefixtures("bug")
@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--debug"], {}), ([], {"MEMNET_DEBUG": "1"})],
)
def test_debug_shows_the_traceback_of_a_bug_and_of_its_cause(
    arguments: list[str], environment: dict[str, str]
) -> None:
    arguments = [*arguments, "models", "list"]
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 70
    first, *lines, last = result.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert "KeyError: 'a\\nkey'" in lines
    assert "ZeroDivisionError: a" in lines
    assert last.endswith("please report it with the traceback above.")


def test_debug_shows_what_is_behind_an_error_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        try:
            raise OSError("\x1b[31m")
        except OSError as error:
            raise ImageError("a.png cannot be read.") from error

    monkeypatch.setattr("memnet_core.model.registry.installed", fail)
    plain = CliRunner().invoke(main, ["models", "list"])
    assert plain.stderr == "Error: a.png cannot be read.\n"
    result = CliRunner().invoke(main, ["--debug", "models", "list"])
    assert result.exit_code == plain.exit_code == 1
    assert "OSError: \\x1b[31m\n" in result.stderr
    assert result.stderr.endswith("\nError: a.png cannot be read.\n")


def test_debug_shows_why_a_file_of_a_batch_failed(
    install: Callable[..., object], memnet: Callable[..., Result], folder: Path
) -> None:
    install("low", 5, 20)
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    arguments = "batch --task deblock --q 10 a.png out".split()  # noqa: SIM905
    plain = memnet(*arguments)
    assert "Traceback" not in plain.stderr
    told = memnet("--debug", *arguments)
    assert told.exit_code == plain.exit_code == 1
    assert "FAILED a.png cannot be read" in plain.stderr
    assert "FAILED a.png cannot be read" in told.stderr
    assert "Traceback (most recent call last):" in told.stderr
    assert "memnet_core.errors.ImageError: a.png cannot be read" in told.stderr


def test_interrupt_that_an_import_turned_into_an_error_is_still_one(
    memnet: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ImportError("the extension module failed to import") from None

    monkeypatch.setattr("memnet_core.model.registry.installed", interrupt)
    result = memnet("models", "list")
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


@pytest.mark.parametrize("module", ["click", "memnet_core.cli._app", "memnet_core.cli"])
def test_interrupt_while_the_command_is_imported_is_one_line(module: str) -> None:
    script = f"""
import sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from memnet_core.__main__ import start
start()
"""
    command = [sys.executable, "-c", script, "models", "list"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "Interrupted.\n")
    assert ended.stdout == ""


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "memnet_core", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(f"memnet, version {__version__} (torch ")
    assert ended.stdout.endswith("cpu)\n")


def test_output_that_cannot_encode_a_letter_gets_an_escape(
    install: Callable[..., object],
) -> None:
    install("noisy", 10, 50, task="denoise")
    result = CliRunner(charset="latin-1").invoke(main, ["models", "list"])
    assert result.exit_code == 0, result.exception
    assert r"denoise \u03c3 10-50" in result.stdout
