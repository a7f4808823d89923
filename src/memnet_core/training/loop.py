"""The training loop: a generator of events that any front end can drive and stop."""

from __future__ import annotations

import copy
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from memnet_core.atomic import replaced_when_complete
from memnet_core.checkpoint import load_model
from memnet_core.degradations import jpeg
from memnet_core.errors import TrainingError
from memnet_core.metrics import psnr
from memnet_core.network import MemNet, Prediction
from memnet_core.training.data import Sampler, read_luminance_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from memnet_core.training.config import TrainingConfig

__all__ = ["Finished", "Progress", "Trainer", "Validated", "memnet_loss"]

_VALIDATION_SIDE = 256
_VALIDATION_IMAGES = 10


@dataclass(frozen=True)
class Progress:
    """Where a run stands: mean training loss since the last report, speed, schedule."""

    step: int
    minutes: float
    fraction: float
    loss: float
    learning_rate: float
    pixels_per_second: float


@dataclass(frozen=True)
class Validated:
    """Mean PSNR in dB of degraded and restored validation images, by level."""

    step: int
    minutes: float
    input_psnr: dict[float, float]
    psnr: dict[float, float]


@dataclass(frozen=True)
class Finished:
    """The averaged network, BatchNorm recalibrated, in evaluation mode."""

    model: MemNet
    steps: int
    megapixels: float
    minutes: float


class Trainer:
    """One training run, from the beginning or from where an earlier sitting ended.

    Parameters
    ----------
    config : TrainingConfig
        The run; ``config.out`` has to exist.

    Raises
    ------
    TrainingError
        If the data or the saved state does not serve.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self._sampler = Sampler(config)
        self._validation = _validation_pairs(config)
        torch.manual_seed(config.seed)
        self._model = _initial_model(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = AveragedModel(
            self._model,
            multi_avg_fn=_moving_average(config.average_decay),
        )
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(self._model, config.weight_decay),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
        )
        self._step = 0
        self._pixels = 0
        self._seconds = 0.0
        self._norm_frozen = False
        self._state_file = config.out / "last.pt"
        if self._state_file.exists():
            self._load_state()

    @property
    def images(self) -> int:
        """Number of training images."""
        return self._sampler.images

    def run(self) -> Generator[Progress | Validated | Finished, None, None]:
        """Train until the schedule ends; closing the generator saves the state."""
        report = _Meter()
        next_validation = self._seconds + self.config.validate_every
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="memnet-sampler") as pool:
                ahead = pool.submit(self._sampler.batch, *self._request(self._step))
                while self._fraction < 1:
                    started = time.monotonic()
                    degraded, clean = ahead.result()
                    ahead = pool.submit(
                        self._sampler.batch, *self._request(self._step + 1)
                    )
                    loss = self._train_step(degraded, clean)
                    spent = time.monotonic() - started
                    self._seconds += spent
                    report.add(loss, clean.numel(), spent)
                    if report.seconds >= self.config.report_every:
                        yield self._progress(report)
                        report = _Meter()
                    if self._validation and self._seconds >= next_validation:
                        next_validation += self.config.validate_every
                        self._save_state()
                        yield self._validate(self.averaged_model())
            model = self.averaged_model()
            if self._validation:
                yield self._validate(model)
            yield Finished(
                model,
                self._step,
                self._pixels / 1e6,
                self._seconds / 60,
            )
        finally:
            self._save_state()

    def averaged_model(self) -> MemNet:
        """Return a copy of the averaged network, its BatchNorm statistics renewed."""
        model: MemNet = copy.deepcopy(self._average.module)  # type: ignore[assignment]
        for name, buffer in model.named_buffers():
            buffer.copy_(self._model.get_buffer(name))
        if not self._norm_frozen:
            self._recalibrate(model)
        return model.eval()

    @property
    def _fraction(self) -> float:
        return min(self._seconds / (60 * self.config.minutes), 1.0)

    def _request(self, step: int) -> tuple[int, int, int]:
        phase = self.config.phase(self._fraction)
        return step, phase.patch, phase.batch

    def _learning_rate(self) -> float:
        """One cosine to zero, after a linear warm-up."""
        warmup = min((self._step + 1) / (self.config.warmup_steps + 1), 1.0)
        cosine = 0.5 * (1 + math.cos(math.pi * self._fraction))
        return self.config.learning_rate * warmup * cosine

    def _train_step(self, degraded: Tensor, clean: Tensor) -> float:
        if not self._norm_frozen and self._fraction >= self.config.freeze_norm_from:
            self._recalibrate(self._model)
            self._norm_frozen = True
        self._model.train()
        if self._norm_frozen:
            for norm in _norms(self._model):
                norm.eval()
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate()
        squared = self._fraction >= self.config.squared_error_from
        loss = memnet_loss(self._model(degraded), clean, squared=squared)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is no longer finite at step {self._step}; "
                "start again with a lower learning rate."
            )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._model.parameters(), self.config.clip_norm)
        self._optimizer.step()
        self._average.update_parameters(self._model)
        self._step += 1
        self._pixels += clean.numel()
        return value

    @torch.no_grad()
    def _recalibrate(self, model: MemNet) -> None:
        """Replace BatchNorm's running statistics by plain means over fresh batches."""
        norms = _norms(model)
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        model.train()
        phase = self.config.phases[-1]
        for batch in range(self.config.recalibration_batches):
            degraded, _ = self._sampler.batch(2**40 + batch, phase.patch, phase.batch)
            model(degraded)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    @torch.no_grad()
    def _validate(self, model: MemNet) -> Validated:
        before: dict[float, float] = {}
        after: dict[float, float] = {}
        for level, pairs in self._validation.items():
            before[level] = sum(psnr(c, d) for d, c in pairs) / len(pairs)
            after[level] = sum(
                psnr(c, 255 * model(_plane(d)).output[0, 0]) for d, c in pairs
            ) / len(pairs)
        return Validated(self._step, self._seconds / 60, before, after)

    def _progress(self, report: _Meter) -> Progress:
        return Progress(
            step=self._step,
            minutes=self._seconds / 60,
            fraction=self._fraction,
            loss=report.loss / report.steps,
            learning_rate=self._learning_rate(),
            pixels_per_second=report.pixels / report.seconds,
        )

    def _save_state(self) -> None:
        state = {
            "config": self.config.model_dump_json(),
            "model": self._model.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "pixels": self._pixels,
            "seconds": self._seconds,
            "norm_frozen": self._norm_frozen,
        }
        with replaced_when_complete(self._state_file) as temporary:
            torch.save(state, temporary)

    def _load_state(self) -> None:
        try:
            state: dict[str, Any] = torch.load(self._state_file, weights_only=True)
        except Exception as error:
            raise TrainingError(
                f"{self._state_file} is not the state of a run ({error}); "
                "choose another output folder."
            ) from error
        if state["config"] != self.config.model_dump_json():
            raise TrainingError(
                f"{self.config.out} holds a run with other settings; choose another "
                "output folder, or repeat the settings in its config.json."
            )
        self._model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._step = state["step"]
        self._pixels = state["pixels"]
        self._seconds = state["seconds"]
        self._norm_frozen = state["norm_frozen"]


def memnet_loss(prediction: Prediction, clean: Tensor, *, squared: bool) -> Tensor:
    """Return the loss of eq. 12 with α = 1/(M + 1), averaged over pixels.

    Parameters
    ----------
    prediction : Prediction
        What the network made of the degraded planes, shape (N, 1, H, W).
    clean : Tensor
        The clean planes, of the same shape.
    squared : bool
        Half the squared error, as in the paper, or else Charbonnier's smooth absolute
        error, which learns faster at first.
    """

    def error(y: Tensor) -> Tensor:
        difference = y - clean
        if squared:
            return 0.5 * difference.square().mean()
        return (difference.square() + 1e-6).sqrt().mean()

    if not prediction.intermediate:
        return error(prediction.output)
    blocks = len(prediction.intermediate)
    alpha = 1 / (blocks + 1)
    supervised = torch.stack([error(y) for y in prediction.intermediate]).sum()
    return alpha * error(prediction.output) + (1 - alpha) / blocks * supervised


def _moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Return an exponential average that forgets its first steps sooner.

    Otherwise a run that is not much longer than 1/(1 - decay) steps would end with an
    average of mostly untrained weights.
    """

    @torch.no_grad()
    def update(averages: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        steps = int(count)
        weight = 1 - min(decay, (1 + steps) / (10 + steps))
        for average, parameter in zip(averages, current, strict=True):
            average.lerp_(parameter, weight)

    return update


@dataclass
class _Meter:
    """Sums between two reports."""

    steps: int = 0
    loss: float = 0.0
    pixels: int = 0
    seconds: float = 0.0

    def add(self, loss: float, pixels: int, seconds: float) -> None:
        self.steps += 1
        self.loss += loss
        self.pixels += pixels
        self.seconds += seconds


def _initial_model(config: TrainingConfig) -> MemNet:
    if config.start is None:
        return MemNet(config.architecture)
    model, card = load_model(config.start)
    if card.architecture != config.architecture:
        raise TrainingError(
            f"{config.start} has another architecture than the run; "
            "start from a model of the same shape."
        )
    return model


def _norms(model: MemNet) -> list[nn.BatchNorm2d]:
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def _parameter_groups(model: MemNet, weight_decay: float) -> list[dict[str, Any]]:
    """Decay the weights of convolutions; leave biases, norms and fusion alone."""
    kernels = [p for p in model.parameters() if p.ndim == 4]
    others = [p for p in model.parameters() if p.ndim < 4]
    return [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _validation_pairs(config: TrainingConfig) -> dict[float, list[tuple[Any, Any]]]:
    """Return (degraded, clean) centre crops of the validation images, by level."""
    if config.validation is None:
        return {}
    planes = read_luminance_folder(config.validation)[:_VALIDATION_IMAGES]
    clean = [_centre(plane) for plane in planes]
    levels = [q for q in (10.0, 20.0, 40.0) if config.levels.covers(q)]
    return {q: [(jpeg(plane, int(q)), plane) for plane in clean] for q in levels}


def _centre(plane: Any) -> Any:
    top, left = (max(side - _VALIDATION_SIDE, 0) // 2 for side in plane.shape)
    return plane[top : top + _VALIDATION_SIDE, left : left + _VALIDATION_SIDE].copy()


def _plane(plane: Any) -> Tensor:
    return torch.from_numpy(plane.copy())[None, None].float().div_(255)
