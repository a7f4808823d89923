"""Export a model to another format, and compare its output with ours."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import ModelError, SettingRef, UsageError
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

    Planes = NDArray[np.float32]
    Ours = Callable[..., Planes]
    Run = Callable[..., Planes | None]
    """Runs a file on an image, and on a level plane if it takes one."""

__all__ = ["FORMATS", "TOLERANCE", "export"]

FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "bioimageio": ".zip"}
"""Export formats and their file suffixes."""

TOLERANCE = 1e-5
"""Maximum difference of another runtime's output from ours, in values of [0, 1]."""


def export(
    model: MemNet,
    card: Card,
    kind: str,
    path: Path,
    *,
    level: float | None = None,
    authors: Sequence[str] = (),
) -> str:
    """Write a model for other programs, and compare its output with ours.

    Parameters
    ----------
    model : MemNet
        The network.
    card : Card
        Card of the model.
    kind : str
        One of `FORMATS`.
    path : Path
        File to write; an existing one is replaced.
    level : float, optional
        Level to fix. Without it, a network with a level map takes the level plane as
        its second input.
    authors : sequence of str
        Authors of the model, for a package of the BioImage Model Zoo.

    Returns
    -------
    str
        Result of the comparison, or why there is none, in one sentence.

    Raises
    ------
    UsageError
        If a package is missing, a level is given to a network that takes none, or is
        missing for a package of the BioImage Model Zoo.
    LevelError
        If the task has no such level.
    ModelError
        If the file cannot be written, or its output differs from ours.
    """
    task = find_task(card.task)
    if level is not None:
        task.check(level)
    plane = None if level is None else task.level_map_value(level)
    network = ExportableMemNet(model, plane)
    if kind == "bioimageio" and card.architecture.level_map and level is None:
        setting = SettingRef("level")
        raise UsageError(
            f"A package has one input; fix the level of this model with {setting}, in "
            "a package for each level.",
            settings=[setting],
        )
    about = {"memnet": card.model_dump_json()}
    if level is not None:
        about["level"] = f"{level:g}"

    def ours(x: Planes, level_plane: Planes | None = None) -> Planes:
        return _restored(model, x, plane if level_plane is None else level_plane)

    compared = partial(_compared, card=card, ours=ours, takes_level=network.takes_level)
    try:
        # An existing file is replaced only after the new one has passed.
        with replaced_when_complete(path) as temporary:
            if kind == "bioimageio":
                write_package(network, card, temporary, about, ours, authors)
                return validated(temporary)
            if kind == "onnx":
                write_onnx(network, temporary, about)
                return compared("ONNX Runtime", run_onnx, temporary)
            write_torchscript(network, temporary, about)
            return compared("TorchScript", run_torchscript, temporary)
    except OSError as error:
        raise ModelError(f"Cannot write {path}: {error.strerror}.") from error


def _compared(
    program: str, run: Run, path: Path, *, card: Card, ours: Ours, takes_level: bool
) -> str:
    """Compare the output of another runtime with ours, for images of two sizes."""
    worst = 0.0
    unshuffle = card.architecture.unshuffle
    # The traced graph must not have the size of its example, nor be square.
    for height, width in ((48, 80), (36, 24)):
        x = sample_input(card, (height * unshuffle, width * unshuffle))
        x /= np.float32(255)
        inputs = [x, *([_level_ramp(card, x)] if takes_level else [])]
        found = run(path, *inputs)
        if found is None:
            return f"Not compared with ours: {program} is not installed."
        worst = max(worst, float(np.abs(np.subtract(found, ours(*inputs))).max()))
    if not worst <= TOLERANCE:
        raise ModelError(
            f"The output of {program} differs from our network by {worst:.1e} of the "
            f"range, more than {TOLERANCE:.0e}; nothing was exported."
        )
    return f"{program} differs from our network by {worst:.1e} of the range at most."


def _level_ramp(card: Card, x: Planes) -> Planes:
    """Return level planes for an image that run over all levels of the model."""
    task, (weakest, *_, strongest) = find_task(card.task), card.levels.values
    ramp = np.linspace(
        task.level_map_value(weakest),
        task.level_map_value(strongest),
        x.shape[3],
        dtype=np.float32,
    )
    return np.tile(ramp, (1, card.architecture.level_planes, x.shape[2], 1))


def _restored(model: MemNet, x: Planes, level: Planes | float | None) -> Planes:
    """Run the training form of the network on planes in [0, 1]."""
    planes = torch.from_numpy(x)
    if level is not None:
        size = len(x), model.architecture.level_planes, *x.shape[2:]
        planes = torch.cat([planes, torch.as_tensor(level).expand(size)], 1)
    with torch.inference_mode():
        restored: Planes = model(planes).output.numpy()
    return restored
