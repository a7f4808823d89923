"""Run quick tests with the lowest versions that pyproject.toml declares.

python release/lowest.py .venv/bin/uv [PATH_OF_TESTS ...] makes .venv/lowest. PyTorch is
that of constraints.txt, since older builds for CPUs are not on the package index.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv" / "lowest"
TESTS = ("tests/core/io", "tests/core/tasks", "tests/core/model", "tests/core/cli")
"""What reads and writes files by other packages, and the command."""


def main() -> None:
    """Install, and run the tests."""
    uv, *tests = sys.argv[1:]
    python = str(FOLDER / "bin" / "python")
    run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER))
    install = (uv, "pip", "install", "--quiet", "--python", python)
    lowest = ("--resolution", "lowest-direct", "--override", "constraints.txt")
    run(*install, *lowest, "-e", ".")
    run(*install, "-c", installed(uv, python), "pytest", "hypothesis")
    run(uv, "pip", "list", "--python", python)
    chosen = tests or [path for path in TESTS if (ROOT / path).is_dir()]
    quick = ("-q", "-m", "not slow", "-W", "default")
    run(python, "-m", "pytest", *quick, "-p", "no:cacheprovider", *chosen)


def installed(uv: str, python: str) -> str:
    """Return a file that pins what is installed, so that nothing is raised again."""
    frozen = subprocess.run(
        [uv, "pip", "freeze", "--exclude-editable", "--python", python],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    pins = FOLDER / "pins.txt"
    pins.write_text(frozen, encoding="utf-8")
    return str(pins)


def run(*command: str) -> None:
    """Run a command in the root, which has to succeed."""
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
