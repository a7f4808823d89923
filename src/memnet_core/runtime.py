"""What has to be settled in a process before PyTorch is loaded."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["ENVIRONMENT", "prepare_process"]

ENVIRONMENT = {
    # Threads of PyTorch that wait for one another sleep. Otherwise they spin, and take
    # the very processors away that the others, or other programs, need: on a machine
    # with other work, two threads were ten times slower than one.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Huge pages make large feature maps cheaper to write for the first time.
    "THP_MEM_ALLOC_ENABLE": "1",
}


def prepare_process(
    environment: MutableMapping[str, str] = os.environ,
) -> bool:
    """Set what PyTorch reads when it is loaded, unless the user has set it.

    Parameters
    ----------
    environment : mapping
        Where to set it: this process, or the environment of one to be started.

    Returns
    -------
    bool
        Whether it takes effect here: PyTorch has not been loaded yet.
    """
    for name, value in ENVIRONMENT.items():
        environment.setdefault(name, value)
    return "torch" not in sys.modules
