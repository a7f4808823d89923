"""The recipe ``noise``: train the network that reads noise.

It is no task of restoration: what is learned is a map of σ, and no level is chosen.
"""

from __future__ import annotations

import copy
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from memnet_core._util.atomic_write import remove_abandoned
from memnet_core._util.devices import describe_hardware, select_device
from memnet_core.errors import TrainingError
from memnet_core.model.card import TrainingSummary
from memnet_core.noise.file import load_noise_network, save_noise_network
from memnet_core.noise.network import NONE, NoiseNetwork
from memnet_core.progress import Notice
from memnet_core.training.data.clean_images import read_clean_images
from memnet_core.training.data.noise_samples import NoiseSamples
from memnet_core.training.events import Finished, StepDone, TrainingProgress
from memnet_core.training.losses import RunningMean
from memnet_core.training.optim import Muon, backpropagate, ema_update

if TYPE_CHECKING:
    from collections.abc import Generator

    from memnet_core.training.events import Event

__all__ = ["NoiseRecipe", "NoiseTrainer", "noise_loss"]

_PHASES = ((0.7, 64, 24), (1.0, 128, 6))
"""Fraction of the run until which patches of a side are learned from, and how many make
a batch. Larger ones show cells whose surroundings are known on all sides."""

_SMALLEST = 160
"""Pixels along the shorter side of a picture, so that larger patches can be reduced."""

_WARMUP = 60
"""Steps in which the learning rate rises."""

_LONGEST_WARMUP = 0.05
"""Part of the run in which it does at most."""

_WEIGHT_DECAY = 1e-3
_ADAMW_SHARE = 0.2
"""AdamW's part of the learning rate, for biases and the last layer."""

_AVERAGE_DECAY = 0.998
_REPORT_EVERY = 15.0
_SAVE_EVERY = 120.0
"""Seconds."""

_UNSEEN = 2**40
"""Number of the first batch that is never learned from, but checked on."""

_CHECKED_BATCHES = 12


@dataclass(frozen=True)
class NoiseRecipe:
    """A run.

    Attributes
    ----------
    data : tuple of Path
        Folders with clean pictures.
    out : Path
        Folder for the model.
    name, license : str
        For the card of the model.
    minutes, steps
        How long the run takes; one of them. With `minutes` the schedule follows the
        clock, and the run cannot be repeated bit by bit.
    seed : int
        Determines weights and samples.
    learning_rate : float
        Its greatest value, from which it falls in proportion.
    start : str, optional
        Model file to go on from.
    """

    data: tuple[Path, ...]
    out: Path
    name: str
    license: str = ""
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    learning_rate: float = 5e-3
    start: str | None = None

    @property
    def file(self) -> Path:
        """The model file."""
        return self.out / f"{self.name}.safetensors"


def noise_loss(read: Tensor, true: Tensor) -> Tensor:
    """Return |log σ̂ − log σ| averaged over cells, plus that of the patches' means.

    The absolute error has no liking for the brightest: where a cell can be a texture or
    noise, the likelier is learned, not what lies between.

    Parameters
    ----------
    read, true : Tensor, shape (N, 1, h, w)
        log(σ + `NONE`) of cells.
    """
    cells = (read - true).abs().mean()
    means = (read - true).mean((1, 2, 3)).abs().mean()
    return cells + means


class NoiseTrainer:
    """Trains the network of a recipe.

    Parameters
    ----------
    recipe : NoiseRecipe
        The run.
    device : str
        ``auto`` or one of `memnet_core._util.devices.available_devices`.
    command : str
        How to repeat the run, for the card.

    Attributes
    ----------
    images : int
        Number of pictures to train on.
    step : int
        Steps taken so far.

    Raises
    ------
    MemnetError
        If the pictures or the device do not serve, or a model is there already.
    """

    def __init__(
        self, recipe: NoiseRecipe, device: str = "auto", command: str = ""
    ) -> None:
        if recipe.file.exists():
            raise TrainingError(
                f"{recipe.file} exists already; choose another folder or name."
            )
        self.recipe = recipe
        self._command = command
        self._device = select_device(device)
        pictures = [
            plane
            for folder in recipe.data
            for _, plane in read_clean_images(folder, full_range=True, colors=True)
            if min(plane.shape[:2]) >= _SMALLEST
        ]
        if not pictures:
            raise TrainingError(
                f"No picture to train on has both sides of at least {_SMALLEST} px; "
                "give larger ones."
            )
        self.images = len(pictures)
        self.step = 0
        self._pixels = 0
        self._seconds = 0.0
        self._samples = NoiseSamples(pictures, recipe.seed)
        torch.manual_seed(recipe.seed)
        self._network = NoiseNetwork()
        if recipe.start:
            self._network = load_noise_network(recipe.start)[0].train()
        self._network = self._network.to(self._device)
        self._average = AveragedModel(
            self._network, multi_avg_fn=ema_update(_AVERAGE_DECAY)
        )
        self._optimizer = _optimizer(self._network, recipe.learning_rate)

    def run(self) -> Generator[Event, None, None]:
        """Train until the schedule ends; closing the generator saves the model.

        Yields
        ------
        Event
            `StepDone` after every step, and the others when they are due.

        Raises
        ------
        MemnetError
            If the loss is no longer finite, or the model cannot be written.
        """
        try:
            self.recipe.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"Cannot write to the folder {self.recipe.out}: {error.strerror}."
            ) from error
        remove_abandoned(self.recipe.out)
        meter, saved = RunningMean(), 0.0
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="memnet-sampler") as pool:
                ahead = pool.submit(self._batch, self.step)
                while self._fraction(self.step) < 1:
                    began = time.monotonic()
                    planes, maps = ahead.result()
                    ahead = pool.submit(self._batch, self.step + 1)
                    loss = self._train_step(planes, maps)
                    seconds = time.monotonic() - began
                    self._seconds += seconds
                    meter.add(loss, planes, seconds)
                    yield StepDone(self.step)
                    if meter.seconds >= _REPORT_EVERY:
                        yield self._progress(meter)
                        meter = RunningMean()
                    if self._seconds - saved >= _SAVE_EVERY:
                        yield self._checked()
                        self.save()
                        saved = self._seconds
            yield self._checked()
            yield Finished(self.step, self._seconds / 60, self._pixels / 1e6)
        finally:
            if self.step:
                self.save()

    def averaged_network(self) -> NoiseNetwork:
        """Return a copy of the averaged network."""
        network: NoiseNetwork = copy.deepcopy(self._average.module)  # type: ignore[assignment]
        return network.eval()

    def save(self) -> None:
        """Write the model file."""
        recipe = self.recipe
        save_noise_network(
            recipe.file,
            self.averaged_network(),
            name=recipe.name,
            license=recipe.license,
            training=TrainingSummary(
                data=", ".join(folder.name for folder in recipe.data),
                steps=self.step,
                megapixels=round(self._pixels / 1e6, 1),
                minutes=round(self._seconds / 60, 1),
                hardware=describe_hardware(self._device),
                command=self._command,
                started_from=Path(recipe.start).name if recipe.start else "",
            ),
        )

    def _fraction(self, step: int) -> float:
        """Return the part of the schedule that is over before a step."""
        if self.recipe.minutes is not None:
            return min(self._seconds / (60 * self.recipe.minutes), 1.0)
        assert self.recipe.steps is not None
        return min(step / self.recipe.steps, 1.0)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        over = self._fraction(step)
        _, side, count = next((p for p in _PHASES if over < p[0]), _PHASES[-1])
        return self._samples.batch(step, side, count)

    def _train_step(self, planes: Tensor, maps: Tensor) -> float:
        over = self._fraction(self.step)
        warmup = max((self.step + 1) / _WARMUP, over / _LONGEST_WARMUP)
        rate = self.recipe.learning_rate * (1 - over) * min(warmup, 1)
        read = self._network(planes.to(self._device))
        loss = noise_loss(read, maps.to(self._device))
        backpropagate(self._optimizer, loss, rate, self.step)
        self._optimizer.step()
        self._average.update_parameters(self._network)
        self.step += 1
        self._pixels += planes.numel()
        return float(loss.detach())

    def _progress(self, meter: RunningMean) -> TrainingProgress:
        if self.recipe.minutes is not None:
            left = self.recipe.minutes - self._seconds / 60
        else:
            assert self.recipe.steps is not None
            steps = self.recipe.steps - self.step
            left = steps * meter.seconds / meter.steps / 60
        return TrainingProgress(
            step=self.step,
            minutes=self._seconds / 60,
            minutes_left=max(left, 0.0),
            fraction=self._fraction(self.step),
            loss=meter.loss,
            learning_rate=self._optimizer.param_groups[0]["lr"],
            patches_per_second=meter.patches / meter.seconds,
            pixels_per_second=meter.pixels / meter.seconds,
        )

    def _checked(self) -> Notice:
        """Say how well unseen patches are read: by what factor, and what clean ones."""
        network, (_, side, count) = self.averaged_network(), _PHASES[-1]
        reads, maps = [], []
        for number in range(_CHECKED_BATCHES):
            planes, true = self._samples.batch(_UNSEEN + number, side, count)
            with torch.inference_mode():
                reads.append(network(planes.to(self._device)).cpu())
            maps.append(true)
        read, true = torch.cat(reads), torch.cat(maps)
        sigma, error = true.exp() - NONE, (read - true).abs()
        parts = [
            f"{error[(sigma >= low) & (sigma < high)].mean().exp():.2f}× for {words}"
            for low, high, words in ((5, math.inf, "σ ≥ 5"), (2, 5, "σ 2 to 5"))
        ]
        clean = read[sigma < NONE].exp().median() - NONE
        return Notice(
            f"{self._seconds / 60:6.1f} min check  cells off by {', '.join(parts)}; "
            f"clean ones read as σ {clean:.2f} in the median"
        )


def _optimizer(network: NoiseNetwork, learning_rate: float) -> Muon:
    """Return Muon for the convolutions but the last, AdamW for the rest."""
    *inner, last = (p for p in network.parameters() if p.ndim == 4)
    biases = [p for p in network.parameters() if p.ndim < 4]
    groups = [
        {"params": inner, "orthogonal": True, "share": 1.0},
        {"params": [last], "orthogonal": False, "share": _ADAMW_SHARE},
        {
            "params": biases,
            "orthogonal": False,
            "share": _ADAMW_SHARE,
            "weight_decay": 0.0,
        },
    ]
    return Muon(groups, learning_rate, weight_decay=_WEIGHT_DECAY)
