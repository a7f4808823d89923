"""Run quick tests with the lowest versions that pyproject.toml declares.

python release/lowest.py .venv/bin/uv [PATH_OF_TESTS ...] makes .venv/lowest. PyTorch is
lent from the Python that runs this: older builds of it are gigabytes where there are
any.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv" / "lowest"
TESTS = ("tests/core/io", "tests/core/tasks", "tests/core/model", "tests/core/cli")
"""What reads and writes files by other packages, and the command."""
LENT = re.compile(r"(torch|nvidia-\S+|cuda-\S+|triton)==")
"""PyTorch, and what comes with its builds for GPUs."""


def main() -> None:
    """Install, and run the tests."""
    uv, *tests = sys.argv[1:]
    python = str(FOLDER / "bin" / "python")
    run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER))
    pins = FOLDER / "pins.txt"
    pins.write_text(lowest(uv), encoding="utf-8")
    install = (uv, "pip", "install", "--quiet", "--python", python)
    run(*install, "--no-deps", "-r", str(pins))
    run(*install, "--no-deps", "-e", ".")
    run(*install, "-c", str(pins), "pytest>=8.3", "hypothesis>=6.100")
    lend_torch(python)
    chosen = tests or [path for path in TESTS if (ROOT / path).is_dir()]
    quick = ("-q", "-m", "not slow", "-W", "default")
    run(python, "-m", "pytest", *quick, "-p", "no:cacheprovider", *chosen)


def lowest(uv: str) -> str:
    """Return the lowest versions that fit together, but for PyTorch's."""
    resolve = ("pip", "compile", "--quiet", "--no-annotate", "--no-header")
    options = ("--resolution", "lowest-direct", "--override", "constraints.txt")
    lines = subprocess.run(
        [uv, *resolve, *options, "--python", sys.executable, "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines(keepends=True)
    return "".join(line for line in lines if not LENT.match(line))


def lend_torch(python: str) -> None:
    """Let a Python find the PyTorch of this one."""
    told = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run(
        [python, "-c", told], capture_output=True, text=True, check=True
    )
    for path in Path(sysconfig.get_path("platlib")).glob("torch*"):
        if path.name.startswith(("torch-", "torchgen")) or path.name == "torch":
            (Path(asked.stdout.strip()) / path.name).symlink_to(path)


def run(*command: str) -> None:
    """Run a command in the root, which has to succeed."""
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
