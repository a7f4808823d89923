"""Wrap the first deblocking weights into a model file that `memnet train --init` takes.

Usage: python benchmarks/first_weights.py OUT.safetensors

The shipped model was trained from them; see ../shared/weights/README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import load_file

from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import save_model
from memnet_core.model.network import MemNet
from memnet_core.tasks import Levels

WEIGHTS = Path(__file__).parents[2] / "shared" / "weights"


def main(out: str) -> None:
    architecture = Architecture(memory_blocks=4, recursions=4, channels=48, unshuffle=2)
    model = MemNet(architecture)
    name = "deblock-m4r4c48u2-first"
    model.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    save_model(
        Path(out),
        model,
        name=name,
        task="deblock",
        levels=Levels(values=(5, 75), continuous=True),
        version="0",
        license="BSD-3-Clause",
    )


if __name__ == "__main__":
    main(sys.argv[1])
