"""Training from the viewer: the command's recipe as one generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from memnet_core.errors import TrainingError, UsageError
from memnet_core.tasks import Levels, find_task

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from memnet_core.model.zoo import Entry
    from memnet_core.training.events import Validated
    from napari_memnet.layers import LayerPlanes

__all__ = [
    "TrainingRequest",
    "add_best",
    "fraction_of",
    "gain_of",
    "runs_folder",
    "train",
]


def runs_folder() -> Path:
    """Return where runs are kept if no other folder is chosen."""
    return Path(platformdirs.user_data_dir("napari-memnet")) / "runs"


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What to train, on what, and for how long.

    Attributes
    ----------
    name : str
        Name of the model.
    out : Path
        Folder of the run.
    task : str
        What to learn.
    recipe : str
        ``fast`` or ``paper``.
    minutes : float
        How long.
    data : Path, optional
        Folder of clean images.
    pairs : (Path, Path), optional
        Instead: folders of degraded and clean images of the same names.
    layers : sequence of (str, LayerPlanes)
        Instead: names and planes of clean layers.
    validation : Path, optional
        Folder of clean images to validate on.
    level : float
        That of pairs, where a model is for one level.
    device : str
        ``auto`` or the name of a device.
    """

    name: str
    out: Path
    task: str
    recipe: str = "fast"
    minutes: float
    data: Path | None = None
    pairs: tuple[Path, Path] | None = None
    layers: Sequence[tuple[str, LayerPlanes]] = ()
    validation: Path | None = None
    level: float = 2
    device: str = "auto"


def train(request: TrainingRequest) -> Generator[Any, None, None]:
    """Train a model; closing the generator saves the run.

    Parameters
    ----------
    request : TrainingRequest
        What to train; a run of the same settings in the same folder is resumed.

    Yields
    ------
    Event
        As `memnet_core.training.loop.Trainer.run`.

    Raises
    ------
    MemnetError
        If the data, the settings or the name do not serve.
    """
    from memnet_core.model.zoo import installed
    from memnet_core.training.loop import Trainer
    from memnet_core.training.recipes import config_from, write_config
    from memnet_core.training.session import sitting

    if request.name in {entry.card.name for entry in installed()[0]}:
        raise UsageError(
            f"There is already a model {request.name!r}; choose another name."
        )
    config = config_from(_settings(request))
    write_config(config)
    yield from sitting(Trainer(config, request.device))


def gain_of(event: Validated) -> float:
    """Return by how many dB images are better than before, on average."""
    gains = [event.psnr[level] - event.input_psnr[level] for level in event.psnr]
    return sum(gains) / len(gains)


def add_best(request: TrainingRequest) -> Entry:
    """Install the best model of a run.

    Raises
    ------
    ModelError
        If there is none.
    """
    from memnet_core.model.zoo import add_model

    return add_model(request.out / f"{request.name}.safetensors")


def fraction_of(event: Any) -> float | None:
    """Return how much of a run is over after an event."""
    return getattr(event, "fraction", None)


def _settings(request: TrainingRequest) -> dict[str, Any]:
    """Return the settings of a run, and write layers where training reads images.

    Raises
    ------
    TrainingError
        If there is nothing to train on.
    """
    settings: dict[str, Any] = {
        "recipe": request.recipe,
        "task": request.task,
        "out": request.out,
        "name": request.name,
        "minutes": request.minutes,
        "validations": max(6, round(request.minutes / 5)),
    }
    if request.pairs:
        settings["pairs"] = request.pairs
        task = find_task(request.task)
        if task.field.offered:
            task.check(request.level)
            settings["levels"] = Levels.listed(request.level)
        return settings
    if request.layers:
        settings |= {"data": (_written(request),), "value_range": "percentile"}
    elif request.data:
        settings["data"] = (request.data,)
    else:
        raise TrainingError(
            "There is nothing to train on; choose a folder, pairs or layers."
        )
    if request.validation:
        settings["validation"] = (request.validation,)
    return settings


def _written(request: TrainingRequest) -> Path:
    """Write layers as TIFFs into the folder of the run, and return where they are."""
    import numpy as np

    from memnet_core.batch.folders import make_folder
    from memnet_core.io import Image, save_image

    folder = request.out / "layers"
    make_folder(folder)
    for number, (_, planes) in enumerate(request.layers):
        whole = planes.region.slices[-2:]
        stack = np.stack([planes.read(n, *whole) for n in range(planes.shape[0])])
        save_image(folder / f"{number:03}.tif", Image(stack, "ZYXS"))
    return folder
