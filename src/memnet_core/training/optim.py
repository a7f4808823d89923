"""Optimizer, learning rate, clipping and moving average of a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from memnet_core.errors import SettingRef, TrainingError
from memnet_core.training.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.model.network import MemNet

__all__ = [
    "Optimization",
    "clip_gradients",
    "diverged",
    "ema_update",
    "learning_rate",
    "make_optimizer",
]

_LONGEST_WARMUP = 0.05

_ADAMW_SHARE = 0.1
"""AdamW's part of Muon's learning rate, for what Muon does not move. With BatchNorm
that includes the first and the last convolution: moved as fast as the others, ReconNet
grows and the units before it die where the change to learn is small."""


class Optimization(Protocol):
    """How weights are changed; `memnet_core.training.config` says what is what."""

    @property
    def optimizer(self) -> str:
        """``muon``, ``adamw`` or ``sgd``."""

    @property
    def learning_rate(self) -> float:
        """That of the schedule's height."""

    @property
    def weight_decay(self) -> float:
        """Of convolutions' weights."""

    @property
    def schedule(self) -> str:
        """``cosine``, ``linear`` or ``steps``."""

    @property
    def decay_epochs(self) -> int:
        """Epochs of a step."""

    @property
    def warmup_steps(self) -> int:
        """Steps in which the rate rises."""

    @property
    def clip_norm(self) -> float | None:
        """Largest norm of the gradients."""

    @property
    def clip_theta(self) -> float | None:
        """Largest gradient times rate."""


def make_optimizer(config: Optimization, model: MemNet) -> torch.optim.Optimizer:
    """Return the optimizer; it decays the weights of convolutions and nothing else.

    Groups of parameters hold by what share of the learning rate they move. Muon moves
    the convolutions of the memory blocks and, in a network without BatchNorm, those of
    FENet and ReconNet; AdamW moves the rest.
    """
    named = dict(model.named_parameters())
    inner = [n for n, p in named.items() if p.ndim == 4 and n.startswith("blocks.")]
    outer = [n for n, p in named.items() if p.ndim == 4 and n not in inner]
    rest = [n for n, p in named.items() if p.ndim < 4]
    share = _ADAMW_SHARE if config.optimizer == "muon" else 1.0
    plain = not model.architecture.batch_norm
    groups = [
        {
            "params": [named[name] for name in names],
            "weight_decay": decay,
            "share": 1.0 if orthogonal else share,
            "orthogonal": orthogonal,
        }
        for names, decay, orthogonal in (
            (inner, config.weight_decay, True),
            (outer, config.weight_decay, plain),
            (rest, 0.0, False),
        )
    ]
    if config.optimizer == "muon":
        return Muon(groups, config.learning_rate)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99))


def learning_rate(
    config: Optimization, step: int, fraction: float, epoch: int
) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    config : Optimization
        Schedule and warm-up.
    step, epoch : int
        Number of the step and of its epoch, from 0.
    fraction : float
        Part of the run that is over.
    """
    warmup = (step + 1) / (config.warmup_steps + 1)
    warmup = min(max(warmup, fraction / _LONGEST_WARMUP), 1.0)
    if config.schedule == "steps":
        decay: float = 0.1 ** (epoch // config.decay_epochs)
    elif config.schedule == "linear":
        decay = 1 - fraction
    else:
        decay = 0.5 * (1 + math.cos(math.pi * fraction))
    return config.learning_rate * warmup * decay


def clip_gradients(config: Optimization, model: nn.Module, rate: float) -> None:
    """Limit the gradients, by their norm or to ±θ/rate each (adjustable clipping).

    Raises
    ------
    TrainingError
        If one is not finite; the weights are still good.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if not math.isfinite(norm):
        raise diverged("The gradients are no longer finite")
    if config.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(model.parameters(), config.clip_norm, norm)
    if config.clip_theta is not None:
        nn.utils.clip_grad_value_(model.parameters(), config.clip_theta / rate)


def diverged(what: str) -> TrainingError:
    """Return the error that ends a run in which something is no longer finite."""
    rate = SettingRef("learning_rate")
    return TrainingError(
        f"{what}; start again with a lower learning rate ({rate}).", settings=[rate]
    )


def ema_update(decay: float) -> Callable[[Any, Any, Any], None]:
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
