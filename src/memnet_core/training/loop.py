"""Training loop: a generator of events that any front end can drive and stop."""

from __future__ import annotations

import copy
import math
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from memnet_core._util.devices import is_reduced, select_device
from memnet_core.errors import TrainingError
from memnet_core.model.card import CurvePoint
from memnet_core.model.checkpoint import load_model
from memnet_core.model.network import MemNet
from memnet_core.model.registry import find_model
from memnet_core.training import distributed
from memnet_core.training.checkpoint import (
    STATE_FILE,
    RunIdentity,
    read_state,
    write_state,
)
from memnet_core.training.data.gpu_sampler import sampler_on
from memnet_core.training.data.images import training_images, validation_images
from memnet_core.training.data.sampler import GridPatches
from memnet_core.training.distributed import norms, recalibrate, synchronize
from memnet_core.training.events import (
    Event,
    Finished,
    StepDone,
    TrainingProgress,
    Validated,
)
from memnet_core.training.finetune import expand_model
from memnet_core.training.losses import (
    RunningMean,
    charbonnier,
    half_mse,
    half_sse,
    log_squared_error,
    memnet_loss,
)
from memnet_core.training.optim import (
    backpropagate,
    clip_gradients,
    diverged,
    ema_update,
    learning_rate,
    make_optimizer,
)
from memnet_core.training.validation import RESERVED_STEPS, Validation, weight_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from memnet_core.model.network import Prediction
    from memnet_core.training.config import TrainingConfig

    Error = Callable[[Tensor, Tensor], Tensor]

__all__ = ["STATE_FILE", "Trainer"]

_LOGGED_ERRORS: dict[str, Error] = {
    "charbonnier": charbonnier,
    "euclidean": half_sse,
    "log": log_squared_error,
}


_OF_ANOTHER_TASK = 0.1
"""Factor on weights of the level where a run starts from a model of another task: JPEG
of q 10, 0.46 on its scale, errs by as much as noise of σ 12, 0.047 on that of noise. At
ten times the noise that there is, a network blurs all, and its ReLUs die unlearning it.
"""


class Trainer:
    """A training run, started or resumed from its saved state.

    In runs of given steps or epochs, every sample and so every weight follows from the
    configuration, on one kind of CPU bit by bit, however often the run is interrupted.

    Parameters
    ----------
    config : TrainingConfig
        The run; ``config.out`` has to exist.
    device : str
        ``auto`` or one of `memnet_core._util.devices.available_devices`.

    Attributes
    ----------
    images : int
        Number of training planes.
    remark : str
        Names images that are too small, and what keeps a resumed run from being
        reproduced bit by bit; may be empty.

    Raises
    ------
    MemnetError
        If the data, the device or the saved state cannot be used.
    """

    def __init__(self, config: TrainingConfig, device: str = "auto") -> None:
        self.config = config
        self._device = select_device(distributed.local_device(device))
        self._is_reduced = is_reduced(config.precision, self._device)
        if uneven := [p.batch for p in config.phases if p.batch % distributed.world()]:
            raise TrainingError(
                f"A batch of {uneven[0]} patches cannot be shared evenly by "
                f"{distributed.world()} processes; change their number or the phases."
            )
        images = training_images(config)
        self._sampler = sampler_on(self._device, config, images)
        self.images = self._sampler.images
        unseen = validation_images(config) or images
        self._validation = Validation(config, unseen, self._device)
        self._logged_error = _LOGGED_ERRORS[config.loss]
        if config.loss == "log":
            self._logged_error = partial(log_squared_error, floor=config.loss_floor)
        self._origin = RunIdentity(config, images, unseen)
        self._state_file = config.out / STATE_FILE
        resumes = self._state_file.exists()
        torch.manual_seed(config.seed)
        self._model = (
            MemNet(config.architecture) if resumes else _initial_model(config)
        ).to(
            self._device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        )
        self._model.checkpointing = config.activation_checkpointing
        self._average = AveragedModel(
            self._model, multi_avg_fn=ema_update(config.average_decay)
        )
        self._optimizer = make_optimizer(config, self._model)
        self._step = 0
        self._pixels = 0
        self._seconds = 0.0
        self._has_norms = bool(norms(self._model))
        self._norm_frozen = config.tunes and self._has_norms
        # -1: a model that is trained already is validated before the first step.
        self._validations = -1 if config.tunes else 0
        self._best = -math.inf
        self._curve: list[CurvePoint] = []
        self._updating = False
        remarks = [self._sampler.remark]
        if unseen is not images:
            remarks.append(self._validation.remark)
        if resumes:
            remarks.append(self._load_state())
        self.remark = " ".join(filter(None, remarks))
        self._forward: nn.Module = self._model
        if distributed.world() > 1:
            synchronize(self._model)
            self._forward = DistributedDataParallel(self._model)
        if config.compile:
            self._forward = torch.compile(self._forward)  # type: ignore[assignment]

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self._step

    def run(self, stop_at: int | None = None) -> Generator[Event, None, None]:
        """Train until the schedule ends; closing the generator saves the state.

        Parameters
        ----------
        stop_at : int, optional
            Step at which to pause, without a change to the schedule.

        Yields
        ------
        Event
            `StepDone` after every step, and the others when they are due. Only the
            first of several processes validates.

        Raises
        ------
        TrainingError
            If the loss or the gradients are no longer finite.
        """
        pause = math.inf if stop_at is None else stop_at
        reported, validated = RunningMean(), RunningMean()
        saved = clock = time.monotonic()
        try:
            # The next batch is sampled while the network trains on this one.
            with ThreadPoolExecutor(1, thread_name_prefix="memnet-sampler") as pool:
                ahead = pool.submit(self._batch, self._step)
                while True:
                    if self._validation_due():
                        yield self._validated(validated.loss)
                        validated = RunningMean()
                        clock = time.monotonic()
                    if self._fraction(self._step) >= 1 or self._step >= pause:
                        break
                    degraded, clean = ahead.result()
                    ahead = pool.submit(self._batch, self._step + 1)
                    loss = self._train_step(degraded, clean)
                    now = time.monotonic()
                    self._advance(now - clock)
                    for mean in (reported, validated):
                        mean.add(loss, clean, now - clock)
                    clock = now
                    yield StepDone(self._step)
                    if reported.seconds >= self.config.report_every:
                        yield self._progress(reported)
                        reported = RunningMean()
                    if now - saved >= self.config.save_every:
                        self._save_state()
                        saved = now
            if self._fraction(self._step) >= 1:
                yield Finished(self._step, self._seconds / 60, self._pixels / 1e6)
        finally:
            if not self._updating:  # an interrupt may come between two assignments
                self._save_state()

    def averaged_model(self) -> MemNet:
        """Return a copy of the averaged network with recalibrated BatchNorm."""
        model: MemNet = copy.deepcopy(self._average.module)  # type: ignore[assignment]
        for name, buffer in model.named_buffers():
            buffer.copy_(self._model.get_buffer(name))
        if not self._norm_frozen:
            recalibrate(model, self._recalibration_batches())
        return model.eval()

    def _fraction(self, step: int) -> float:
        """Return the completed fraction of the schedule before a step."""
        if self.config.minutes is not None:
            return min(self._seconds / (60 * self.config.minutes), 1.0)
        return min(step / self._total_steps, 1.0)

    @property
    def _total_steps(self) -> int:
        if self.config.epochs is not None:
            return self.config.epochs * self._steps_per_epoch
        assert self.config.steps is not None
        return self.config.steps

    @property
    def _steps_per_epoch(self) -> int:
        sampler = self._sampler
        return sampler.steps_per_epoch if isinstance(sampler, GridPatches) else 1

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return this process's share of the batch of a step."""
        phase = self.config.phase(self._fraction(step))
        share = phase.batch // distributed.world()
        first = distributed.rank() * share
        return self._sampler.batch(step, phase.patch, range(first, first + share))

    def _train_step(self, degraded: Tensor, clean: Tensor) -> float:
        fraction = self._fraction(self._step)
        late = fraction >= self.config.freeze_norm_from
        if self._has_norms and late and not self._norm_frozen:
            self._fix_norm()
        self._model.train()
        if self._norm_frozen:
            for norm in norms(self._model):
                norm.eval()
        epoch = self._step // self._steps_per_epoch
        rate = learning_rate(self.config, self._step, fraction, epoch)
        clean = clean.to(self._device)
        # Frozen statistics were taken in float32, and do not follow bfloat16 features.
        reduced = self._is_reduced and not self._norm_frozen
        with torch.autocast(self._device.type, torch.bfloat16, enabled=reduced):
            prediction = self._forward(degraded.to(self._device))
        error = self._error(fraction)
        loss = self._loss(prediction, clean, error)
        backpropagate(self._optimizer, loss, rate, self._step)
        clip_gradients(self.config, self._model, rate)
        self._updating = True
        self._optimizer.step()
        self._average.update_parameters(self._model)
        self._step += 1
        self._pixels += clean[:, 0].numel() * distributed.world()
        self._updating = False
        # The log keeps one error function, so that its curve has no step.
        if error is self._logged_error:
            return float(loss.detach())
        with torch.no_grad():
            return float(self._loss(prediction, clean, self._logged_error))

    def _fix_norm(self) -> None:
        """Continue from the averaged weights, and freeze statistics computed for them.

        Statistics of the last weights do not fit averages over a thousand steps.
        """
        self._model.load_state_dict(self._average.module.state_dict())
        recalibrate(self._model, self._recalibration_batches())
        self._norm_frozen = True

    def _loss(self, prediction: Prediction, clean: Tensor, error: Error) -> Tensor:
        return memnet_loss(prediction, clean, error, self.config.alpha)

    def _error(self, fraction: float) -> Error:
        late = fraction >= self.config.squared_error_from
        changes = self.config.loss == "charbonnier"
        return half_mse if changes and late else self._logged_error

    def _advance(self, seconds: float) -> None:
        self._seconds = distributed.broadcast_from_first(
            self._seconds + seconds, self._device
        )

    def _recalibration_batches(self) -> Iterator[Tensor]:
        phase = self.config.phases[-1]
        for number in range(self.config.recalibration_batches):
            step = RESERVED_STEPS + number
            degraded, _ = self._sampler.batch(step, phase.patch, range(phase.batch))
            yield degraded.to(self._device)

    def _validation_due(self) -> bool:
        due = int(self._fraction(self._step) * self.config.validation_count)
        is_due = due > self._validations and distributed.is_first()
        self._validations = max(due, self._validations)
        return is_due

    def _validated(self, training_loss: float) -> Validated:
        model = self.averaged_model()
        psnr, examples, predictions = self._validation.restored(model)
        if not all(value > -math.inf for value in psnr.values()):
            raise diverged(f"The weights are no longer finite at step {self._step}")
        mean = sum(psnr.values()) / len(psnr)
        is_best = mean > self._best
        self._best = max(mean, self._best)
        minutes, megapixels = self._seconds / 60, self._pixels / 1e6
        self._curve.append(
            CurvePoint(minutes=minutes, megapixels=megapixels, psnr=psnr)
        )
        return Validated(
            step=self._step,
            minutes=minutes,
            megapixels=megapixels,
            training_loss=training_loss,
            evaluation_loss=self._validation.loss(model, self._logged_error),
            input_psnr=self._validation.input_psnr,
            psnr=psnr,
            examples=examples,
            model=model,
            is_best=is_best,
            curve=tuple(self._curve),
            watch=predictions | weight_sizes(model),
        )

    def _progress(self, mean: RunningMean) -> TrainingProgress:
        fraction = self._fraction(self._step)
        if self.config.minutes is not None:
            left = self.config.minutes - self._seconds / 60
        else:
            left = (self._total_steps - self._step) * mean.seconds / mean.steps / 60
        return TrainingProgress(
            step=self._step,
            minutes=self._seconds / 60,
            minutes_left=max(left, 0.0),
            fraction=fraction,
            loss=mean.loss,
            learning_rate=self._optimizer.param_groups[0]["lr"],
            patches_per_second=mean.patches / mean.seconds,
            pixels_per_second=mean.pixels / mean.seconds,
        )

    def _save_state(self) -> None:
        if not distributed.is_first():
            return
        state = {
            **self._origin.as_state(),
            "model": self._model.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "pixels": self._pixels,
            "seconds": self._seconds,
            "norm_frozen": self._norm_frozen,
            "validations": self._validations,
            "best": self._best,
            "curve": [point.model_dump() for point in self._curve],
        }
        write_state(self._state_file, state)

    def _load_state(self) -> str:
        """Restore the saved state; return a remark, see `RunIdentity.check`."""
        # Optimizers count steps on the CPU, where reading the count waits for no GPU.
        state = read_state(self._state_file, torch.device("cpu"))
        remark = self._origin.check(state)
        try:
            self._model.load_state_dict(state["model"])
            self._average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._curve = [CurvePoint(**point) for point in state["curve"]]
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise TrainingError(
                f"{self._state_file} does not fit the network of the run; restore it "
                "from a copy, or choose another output folder."
            ) from error
        self._step = state["step"]
        self._pixels = state["pixels"]
        self._seconds = state["seconds"]
        fraction = self._fraction(self._step)
        # A run that was extended may be back where statistics are not frozen yet.
        is_late = fraction >= self.config.freeze_norm_from
        self._norm_frozen = state["norm_frozen"] and is_late
        done = int(fraction * self.config.validation_count)
        self._validations = min(state["validations"], done)
        self._best = state["best"]
        return remark


def _initial_model(config: TrainingConfig) -> MemNet:
    if config.start is None:
        return MemNet(config.architecture)
    model, card = load_model(find_model(config.start).path)
    larger = expand_model(model, config.architecture)
    if card.task != config.task and config.architecture.level_map:
        image = config.architecture.image_channels * config.architecture.unshuffle**2
        with torch.no_grad():
            larger.fenet.weight[:, image:] *= _OF_ANOTHER_TASK
    return larger
