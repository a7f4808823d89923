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

pytest.importorskip("resource", reason="the system has to tell the peak of a process")

_MEASURED = """
import resource, sys
from memnet_core.cli import main
try:
    main(sys.argv[1:])
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak // (1024**2 if sys.platform == "darwin" else 1024))
"""


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
