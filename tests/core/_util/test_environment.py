"""What PyTorch reads when it is loaded is settled before, where the process is ours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NAMES = ("OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE")

COMMAND = """
from click.testing import CliRunner
from memnet_core.cli import main
CliRunner().invoke(main, ["models"])
"""
OF_OURS = "from memnet_core._util.environment import prepare_process as p; p()"


def settings_after(code: str, **environment: str) -> list[str | None]:
    """Give what a process has in its environment after it ran some code."""
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    show = f"import os; print([os.environ.get(n) for n in {NAMES}])"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"],
        check=True,
        capture_output=True,
        text=True,
        env=clean | environment,
    )
    values: list[str | None] = eval(run.stdout)
    return values


@pytest.mark.parametrize("code", [COMMAND, OF_OURS], ids=["command", "function"])
def test_threads_that_wait_sleep_in_our_processes(code: str) -> None:
    assert settings_after(code) == ["PASSIVE", "1"]


def test_what_the_user_has_set_stays() -> None:
    assert settings_after(OF_OURS, OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE", "1"]


def test_nothing_is_changed_where_pytorch_is_loaded_already() -> None:
    assert settings_after(f"import torch; {OF_OURS}") == [None, None]


def test_importing_the_package_changes_nothing() -> None:
    assert settings_after("import memnet_core") == [None, None]
