"""A model for other programs: written, opened again by them, and compared with ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import ModelError
from memnet_core.export.bioimage_io import sample_input, validated, write_package
from memnet_core.export.module import (
    ExportableMemNet,
    run_torchscript,
    write_torchscript,
)
from memnet_core.export.onnx import run_onnx, write_onnx
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.model.card import Card
    from memnet_core.model.network import MemNet

    Run = Callable[[Path, NDArray[np.float32]], NDArray[np.float32] | None]

__all__ = ["FORMATS", "TOLERANCE", "export"]

FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "bioimageio": ".zip"}
"""Export formats and their file suffixes."""

TOLERANCE = 1e-5
"""How far another program's result may be from ours, in values of [0, 1]."""


def export(
    model: MemNet,
    card: Card,
    kind: str,
    path: Path,
    *,
    level: float | None = None,
    authors: Sequence[str] = (),
) -> str:
    """Write a model for other programs, and compare it with ours where they are there.

    Parameters
    ----------
    model : MemNet
        The network.
    card : Card
        What its file says of it.
    kind : str
        One of `FORMATS`.
    path : Path
        Where to write; what is there is replaced.
    level : float, optional
        The level of degradation, for a network that has to be told.
    authors : sequence of str
        Who made the model, for a package of the BioImage Model Zoo.

    Returns
    -------
    str
        How the file was checked, in one sentence.

    Raises
    ------
    UsageError
        If a package is missing, or the level is missing or too much.
    LevelError
        If there is no such level.
    ModelError
        If the file cannot be written, or does not compute what our network does.
    """
    task = find_task(card.task)
    if level is not None:
        task.check(level)
    plane = None if level is None else task.level_map_value(level)
    network = ExportableMemNet(model, plane)
    about = {"memnet": card.model_dump_json()}
    if level is not None:
        about["level"] = f"{level:g}"

    def ours(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return _restored(model, plane, x)

    try:
        # What was there before stays until the new file has passed.
        with replaced_when_complete(path) as temporary:
            if kind == "bioimageio":
                write_package(network, card, temporary, about, ours, authors)
                return validated(temporary)
            if kind == "onnx":
                write_onnx(network, temporary, about)
                return _compared("ONNX Runtime", run_onnx, temporary, card, ours)
            write_torchscript(network, temporary, about)
            return _compared("TorchScript", run_torchscript, temporary, card, ours)
    except OSError as error:
        raise ModelError(f"Cannot write {path}: {error.strerror}.") from error


def _compared(
    program: str,
    run: Run,
    path: Path,
    card: Card,
    ours: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> str:
    """Compare the output of another runtime with ours, for images of two sizes."""
    worst = 0.0
    unshuffle = card.architecture.unshuffle
    for height, width in ((48, 80), (36, 24)):
        x = sample_input(card, (height * unshuffle, width * unshuffle))
        x /= np.float32(255)
        found = run(path, x)
        if found is None:
            return f"Not compared with ours: {program} is not installed."
        worst = max(worst, float(np.abs(np.subtract(found, ours(x))).max()))
    if not worst <= TOLERANCE:
        raise ModelError(
            f"What {program} computes differs from our network by {worst:.1e} of the "
            f"range, more than {TOLERANCE:.0e}; nothing was exported."
        )
    return f"{program} differs from our network by {worst:.1e} of the range at most."


def _restored(
    model: MemNet, plane: float | None, x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Run our training form of the network on planes in [0, 1]."""
    planes = torch.from_numpy(x)
    if plane is not None:
        planes = torch.cat([planes, torch.full_like(planes[:, :1], plane)], 1)
    with torch.inference_mode():
        restored: NDArray[np.float32] = model(planes).output.numpy()
    return restored
