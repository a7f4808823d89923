"""Start a wheel with every Python that is here.

python release/pythons.py .venv/bin/uv NAME.whl installs everything but PyTorch, whose
wheels for CPUs are not on the package index for every Python; `memnet --help`, and
reading and writing images, do without it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from sbom import needed_by

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
TRIED = """
import sys
from pathlib import Path
import numpy as np
from memnet_core import Image, open_image, save_image
path = Path(sys.argv[1])
pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
save_image(path, Image(pixels, "YX"))
with open_image(path) as image:
    assert (image.shape, image.dtype) == ((1, 3, 4, 1), np.uint8)
"""


def main() -> None:
    """Try every version."""
    uv, wheel = sys.argv[1], Path(sys.argv[2]).resolve()
    failed = [version for version in VERSIONS if not starts(uv, version, wheel)]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def starts(uv: str, version: str, wheel: Path) -> bool:
    """Install a wheel for a Python, and use it; say how it went."""
    python = found(uv, version)
    if not python:
        print(f"Python {version}: not here")
        return True
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "bin" / "python"
        wanted = sorted(needed_by(wheel) - {"torch"})
        install = (uv, "pip", "install", "--python", str(own), "--only-binary", ":all:")
        for command in (
            (uv, "venv", "--clear", "--python", python, folder),
            (*install, *wanted),
            (*install, "--no-deps", str(wheel)),
            (str(own.with_name("memnet")), "--help"),
            (str(own), "-c", TRIED, str(Path(folder) / "a.tif")),
        ):
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                told = (ran.stderr or ran.stdout).strip() or "?"
                print(f"Python {version}: {' '.join(command[:3])}: {told}")
                return False
    print(f"Python {version}: starts, reads and writes")
    return True


def found(uv: str, version: str) -> str:
    """Return a Python of a version, out of the path or of pyenv, or nothing."""
    find = (uv, "python", "find", "--no-python-downloads", version)
    asked = subprocess.run(find, capture_output=True, text=True, check=False)
    pyenv = Path.home() / ".pyenv" / "versions"
    others = sorted(pyenv.glob(f"{version}.*/bin/python"))
    return asked.stdout.strip() or str(others[-1] if others else "")


if __name__ == "__main__":
    main()
