"""The command, with pictures to try it on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from memnet_core.cli import main
from memnet_core.cli._progress import EXIT_BUG

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folder that the command runs in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def picture(folder: Path, write_picture: Callable[..., Path]) -> Callable[..., Path]:
    """Write a picture of noise; its path is relative to the folder."""

    def picture(name: str, *shape: int, quality: int = 75) -> Path:
        return write_picture(Path(name), *shape, quality=quality)

    return picture


@pytest.fixture
def memnet(folder: Path) -> Callable[..., Result]:
    """Run the command in the folder; bugs are raised."""

    def memnet(*arguments: object, answer: str | None = None) -> Result:
        result = CliRunner().invoke(main, [*map(str, arguments)], input=answer)
        if result.exit_code == EXIT_BUG:
            raise AssertionError(result.stderr) from result.exception
        return result

    return memnet
