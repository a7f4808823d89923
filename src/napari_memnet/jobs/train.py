"""Training from the viewer: the command's recipe as one generator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from memnet_core.errors import MemnetError, TrainingError, UsageError
from memnet_core.tasks import Levels, find_task

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from memnet_core.model.registry import Entry
    from memnet_core.training.events import Validated
    from napari_memnet.layers.source import LayerSource

__all__ = [
    "NOTHING",
    "TrainingRequest",
    "add_best",
    "fraction_of",
    "gain_of",
    "has_its_model_installed",
    "longer",
    "megapixels",
    "name_of_run",
    "runs_folder",
    "runs_in",
    "train",
    "write_layers",
    "write_pair",
]


_HELD_OUT = 8
"""Every 8th plane is held out for validation."""


def megapixels(layers: Sequence[LayerSource]) -> float:
    """Return the size of layers in megapixels."""
    return sum(math.prod(planes.shape[:3]) for planes in layers) / 1e6


def write_layers(folder: Path, layers: Sequence[LayerSource]) -> Path:
    """Write layers as TIFF files into a new folder and return it."""
    for number, planes in enumerate(layers):
        _write(folder / f"{number:03}.tif", _pixels(planes))
    return folder


def write_pair(
    folder: Path, noisy: LayerSource, partner: LayerSource, *, both_noisy: bool
) -> list[tuple[Path, Path]]:
    """Write two layers as pairs of TIFFs, from which ``--pairs`` learns.

    Parameters
    ----------
    folder : Path
        Where; it is made.
    noisy, partner : LayerSource
        The noisy layer, and the clean one of the same, or one more noisy one.
    both_noisy : bool
        Whether each is learned from the other.

    Returns
    -------
    list of (Path, Path)
        Folders of degraded images and their partners; where there are planes enough,
        a second pair of folders to validate on.

    Raises
    ------
    UsageError
        If the layers differ in shape.
    """
    if noisy.shape != partner.shape:
        sizes = (" × ".join(map(str, each.region.shape)) for each in (noisy, partner))
        raise UsageError(
            f"The two layers have {' and '.join(sizes)} pixels; pairs are of one shape."
        )
    stacks = _pixels(noisy), _pixels(partner)
    orders = [stacks, stacks[::-1]] if both_noisy else [stacks]
    count = len(stacks[0])
    is_held = np.arange(count) % _HELD_OUT == _HELD_OUT - 1
    parts = {"learn": ~is_held, "validate": is_held}
    folders = []
    for name, chosen in parts.items():
        if not chosen.any():
            continue
        pair = folder / f"{name} from", folder / f"{name} to"
        for number, order in enumerate(orders):
            for place, stack in zip(pair, order, strict=True):
                _write(place / f"{number:03}.tif", stack[chosen])
        folders.append(pair)
    return folders


def _pixels(planes: LayerSource) -> NDArray[np.generic]:
    """Return all planes, of shape (N, H, W, S)."""
    whole = planes.region.slices[-2:]
    return np.stack([planes.read(n, *whole) for n in range(planes.shape[0])])


def _write(path: Path, pixels: NDArray[np.generic]) -> None:
    from memnet_core._util.atomic_write import make_folder
    from memnet_core.io import Image, save_image

    make_folder(path.parent)
    save_image(path, Image(pixels, "ZYXS"))


NOTHING = ""
"""Start value of a run with random weights."""


def runs_folder() -> Path:
    """Return the default folder of training runs."""
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
    start : str, optional
        Name of the model to start from, `NOTHING`, or None for the one that ships where
        data are few and the recipe is ``fast``.
    minutes : float
        How long; of `run`, how much longer.
    data : Path, optional
        Folder of clean images.
    pairs : (Path, Path), optional
        Instead: folders of degraded and clean images of the same names, or of noisy
        ones of the same.
    layers : sequence of LayerSource
        Instead: planes of clean layers.
    pair : (LayerSource, LayerSource), optional
        Instead: planes of a noisy layer and of its partner.
    both_noisy : bool
        Whether the partner is noisy as well.
    run : Path, optional
        Instead: the folder of a run that is made longer; it has its own settings.
    replaces : bool
        Whether the model takes the place of the one of its name.
    validation : Path, optional
        Folder of clean images to validate on.
    level : float
        That of pairs, where a model is for one level.
    device : str
        ``auto`` or the name of a device.
    """

    name: str
    out: Path
    task: str = ""
    recipe: str = "fast"
    start: str | None = None
    minutes: float
    data: Path | None = None
    pairs: tuple[Path, Path] | None = None
    layers: Sequence[LayerSource] = ()
    pair: tuple[LayerSource, LayerSource] | None = None
    both_noisy: bool = False
    run: Path | None = None
    replaces: bool = False
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
        A notice where a model is started from, then as
        `memnet_core.training.loop.Trainer.run`.

    Raises
    ------
    MemnetError
        If the data, the settings or the name do not serve.
    """
    from memnet_core.model.registry import installed
    from memnet_core.progress import Notice
    from memnet_core.training.loop import Trainer
    from memnet_core.training.recipes import config_from, write_config
    from memnet_core.training.runner import train_session

    if request.run:
        yield from longer(request.run, request.minutes, request.device)
        return
    if request.name in {entry.card.name for entry in installed()[0]}:
        raise UsageError(
            f"There is already a model {request.name!r}; choose another name, or train "
            "its run for longer."
        )
    config = config_from(_settings(request))
    if config.start:
        few = "The images are few: t" if request.start is None else "T"
        yield Notice(f"{few}raining goes on from the model {config.start!r}.")
    trainer = Trainer(config, request.device)
    write_config(config)
    yield from train_session(trainer)


def gain_of(event: Validated) -> float:
    """Return the mean gain in PSNR over all levels, in dB."""
    gains = [event.psnr[level] - event.input_psnr[level] for level in event.psnr]
    return sum(gains) / len(gains)


def add_best(request: TrainingRequest) -> Entry:
    """Install the best model of a run.

    Raises
    ------
    ModelError
        If there is none, or the name is taken.
    """
    from memnet_core.model.registry import add_model

    file = request.out / f"{request.name}.safetensors"
    return add_model(file, replace=request.replaces)


def fraction_of(event: Any) -> float | None:
    """Return the completed fraction of a run after an event, or None."""
    return getattr(event, "fraction", None)


def _settings(request: TrainingRequest) -> dict[str, Any]:
    """Return the settings of a run, and write layers where training reads images.

    Raises
    ------
    MemnetError
        If there is nothing to train on, or it does not serve.
    """
    settings: dict[str, Any] = {
        "recipe": request.recipe,
        "task": request.task,
        "out": request.out,
        "name": request.name,
        "minutes": request.minutes,
        "validations": max(6, round(request.minutes / 5)),
        **_images(request),
    }
    if "pairs" in settings:
        task = find_task(request.task)
        if task.field.offered:
            task.check(request.level)
            settings["levels"] = Levels.listed(request.level)
    elif request.validation:
        settings["validation"] = (request.validation,)
    if _is_tuned(request):
        settings["recipe"] = "tune"
        settings["start"] = request.start or _model_for(request)
    return settings


def _model_for(request: TrainingRequest) -> str:
    """Return the shipped model to start from, for color where all layers have it."""
    from memnet_core.training.finetune import start_card

    layers = request.pair or request.layers
    colors = bool(layers) and all(planes.rgb for planes in layers)
    return start_card(None, request.task, channels=3 if colors else 1).name


def _images(request: TrainingRequest) -> dict[str, Any]:
    """Return the training data as settings of a run."""
    if request.pairs:
        return {"pairs": request.pairs}
    if request.pair:
        folder = request.out / "layers"
        written = write_pair(folder, *request.pair, both_noisy=request.both_noisy)
        return dict(zip(("pairs", "validation_pairs"), written, strict=False))
    if request.layers:
        folder = write_layers(request.out / "layers", request.layers)
        return {"data": (folder,), "value_range": "percentile"}
    if request.data:
        return {"data": (request.data,)}
    raise TrainingError(
        "There is nothing to train on; choose a folder, pairs or layers."
    )


def _is_tuned(request: TrainingRequest) -> bool:
    """Whether training starts from a model: a chosen one, or if images are few."""
    from memnet_core.model.registry import installed
    from memnet_core.training.finetune import FEW_MEGAPIXELS, is_small_dataset

    if request.start is not None:
        return request.start != NOTHING
    ships = any(e.is_shipped and e.card.task == request.task for e in installed()[0])
    if request.recipe != "fast" or not ships:
        return False
    if layers := request.pair or request.layers:
        return megapixels(layers) <= FEW_MEGAPIXELS
    return is_small_dataset(filter(None, [request.data, *(request.pairs or ())]))


def runs_in(folder: Path) -> list[Path]:
    """List the runs below a folder, sorted by name."""
    from memnet_core.training.recipes import CONFIG_FILE

    return sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))


def name_of_run(out: Path) -> str:
    """Return the name of the model of a run.

    Raises
    ------
    TrainingError
        If its settings cannot be read.
    """
    from memnet_core.training.recipes import CONFIG_FILE, read_settings

    return str(read_settings(out / CONFIG_FILE).get("name", out.name))


def longer(out: Path, minutes: float, device: str) -> Generator[Any, None, None]:
    """Continue a training run for some more minutes.

    Parameters
    ----------
    out : Path
        Folder of the run.
    minutes : float
        How much longer.
    device : str
        ``auto`` or the name of a device.

    Yields
    ------
    Event
        As `memnet_core.training.loop.Trainer.run`.

    Raises
    ------
    MemnetError
        If there is no run, it was not trained by the clock, or its images are not those
        of before.
    """
    from memnet_core.training.loop import Trainer
    from memnet_core.training.recipes import config_of_run, write_config
    from memnet_core.training.runner import train_session

    before = config_of_run(out)
    if before.minutes is None:
        raise TrainingError(
            f"The run in {out} counts steps, not minutes; make it longer with "
            "'memnet train --resume'."
        )
    total = before.minutes + minutes
    count = max(before.validation_count, round(total / 5))
    longest = config_of_run(out, minutes=total)
    config = longest.model_copy(update={"validations": count})
    trainer = Trainer(config, device)
    write_config(config)
    yield from train_session(trainer)


def has_its_model_installed(out: Path, name: str) -> bool:
    """Whether the installed model of this name is the one that the run wrote."""
    from memnet_core.model.checkpoint import read_card
    from memnet_core.model.registry import own_model

    try:
        written = read_card(out / f"{name}.safetensors")
        return own_model(name).card.sha256 == written.sha256
    except MemnetError:
        return False
