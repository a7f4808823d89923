"""Environment variables to set before PyTorch is imported."""

from __future__ import annotations

import os
import sys

__all__ = ["ENVIRONMENT", "prepare_process"]

ENVIRONMENT = {
    # Threads of PyTorch that wait for one another sleep. Otherwise they spin, and take
    # the processors from the very threads they wait for where other programs run:
    # benchmarks/speed.py --loaded shows what that costs.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Huge pages make it cheaper to write large feature maps for the first time.
    "THP_MEM_ALLOC_ENABLE": "1",
}


def prepare_process() -> None:
    """Set variables that PyTorch reads on import, unless the user has set them.

    Where another program has loaded PyTorch already, as in napari, it is too late, and
    nothing is changed.
    """
    if "torch" not in sys.modules:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
