"""Export as TorchScript: PyTorch's own files, for C++ and other programs."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.export.module import ExportableMemNet

__all__ = ["run_torchscript", "write_torchscript"]


def write_torchscript(
    network: ExportableMemNet, path: Path, about: dict[str, str] | None = None
) -> None:
    """Write a network as TorchScript.

    Parameters
    ----------
    network : ExportableMemNet
        The network.
    path : Path
        Where to write.
    about : dict of str to str, optional
        What the file tells of itself, under ``memnet.json`` among its extra files.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    side = 8 * network.architecture.unshuffle
    example = torch.zeros(1, network.architecture.image_channels, side, side)
    buffer = io.BytesIO()  # else its folders would be called as the temporary file is
    with _without_warnings(), torch.inference_mode():
        traced = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]
        torch.jit.save(
            traced, buffer, _extra_files={"memnet.json": json.dumps(about or {})}
        )
    path.write_bytes(buffer.getvalue())


def run_torchscript(path: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what PyTorch makes of planes by a file of TorchScript."""
    with _without_warnings(), torch.inference_mode():
        network = torch.jit.load(path)  # type: ignore[no-untyped-call]
        restored: NDArray[np.float32] = network(torch.from_numpy(x)).numpy()
    return restored


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep quiet that TorchScript is deprecated in favor of torch.export.

    The programs that these files are for (ilastik, deepImageJ, C++) do not read others.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
        yield
