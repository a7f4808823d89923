"""Memory that the command needs, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

if TYPE_CHECKING:
    from pathlib import Path

# The peak that getrusage tells is at least that of the process that started this one.
_MEASURED = """
import sys
from pathlib import Path
from memnet_core.cli import main
try:
    main(sys.argv[1:])
finally:
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.slow
@pytest.mark.parametrize("side", [1024, 2048])
def test_memory_of_the_command_is_bounded_at_any_size(
    tmp_path: Path, side: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    tifffile.imwrite(tmp_path / "in.tif", pixels)
    options = ["--task", "denoise", "--sigma", "20", "--precision", "float32"]
    command = ["restore", *options, str(tmp_path / "in.tif"), str(tmp_path / "out.tif")]
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURED, *command],
        check=True,
        capture_output=True,
        text=True,
    )
    assert tifffile.imread(tmp_path / "out.tif").shape == (side, side)
    mebibytes = int(ended.stdout.split()[-1])
    assert 100 < mebibytes < 500
