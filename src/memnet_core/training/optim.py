"""Optimizers (with Muon), learning rate schedule, gradient clipping, weight average."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from memnet_core.errors import SettingRef, TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memnet_core.model.network import MemNet

__all__ = [
    "Muon",
    "backpropagate",
    "clip_gradients",
    "diverged",
    "ema_update",
    "learning_rate",
    "make_optimizer",
    "orthogonalized",
]

_MAX_WARMUP = 0.05
"""Maximum fraction of a run spent in warm-up."""

_ADAMW_SHARE = 0.1
"""AdamW's learning rate relative to Muon's, for parameters that Muon does not update.
With BatchNorm these include the first and last convolution: at the full rate ReconNet
grows, and the units before it die if the residual to learn is small."""


class _Settings(Protocol):
    """Settings of the optimizer; see `memnet_core.training.config.TrainingConfig`."""

    @property
    def optimizer(self) -> str: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def decay_epochs(self) -> int: ...
    @property
    def warmup_steps(self) -> int: ...
    @property
    def clip_norm(self) -> float | None: ...
    @property
    def clip_theta(self) -> float | None: ...


def make_optimizer(config: _Settings, model: MemNet) -> torch.optim.Optimizer:
    """Build the optimizer; only convolution weights decay.

    The ``share`` of a parameter group multiplies its learning rate. Muon updates the
    convolutions of the memory blocks and, in a network without BatchNorm, those of
    FENet and ReconNet; AdamW updates the rest.
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


def learning_rate(config: _Settings, step: int, fraction: float, epoch: int) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    config : TrainingConfig
        Schedule and warm-up.
    step, epoch : int
        Index of the step and of its epoch, from 0.
    fraction : float
        Completed fraction of the run, in [0, 1].
    """
    warmup = (step + 1) / (config.warmup_steps + 1)
    warmup = min(max(warmup, fraction / _MAX_WARMUP), 1.0)
    if config.schedule == "steps":
        decay: float = 0.1 ** (epoch // config.decay_epochs)
    elif config.schedule == "linear":
        decay = 1 - fraction
    else:
        decay = 0.5 * (1 + math.cos(math.pi * fraction))
    return config.learning_rate * warmup * decay


def backpropagate(
    optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, step: int
) -> None:
    """Set the learning rate of a step, and compute the gradients of its loss.

    Raises
    ------
    TrainingError
        If the loss is not finite.
    """
    if not math.isfinite(float(loss.detach())):
        raise diverged(f"The loss is no longer finite at step {step}")
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]


def clip_gradients(config: _Settings, model: nn.Module, rate: float) -> None:
    """Clip the gradients by their norm, or each to ±θ/rate (adjustable clipping).

    Raises
    ------
    TrainingError
        If a gradient is not finite. The weights are still valid then.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if not math.isfinite(norm):
        raise diverged("The gradients are no longer finite")
    if config.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(model.parameters(), config.clip_norm, norm)
    if config.clip_theta is not None:
        nn.utils.clip_grad_value_(model.parameters(), config.clip_theta / rate)


def diverged(problem: str) -> TrainingError:
    """Build the error that ends a run whose loss or weights are no longer finite."""
    rate = SettingRef("learning_rate")
    return TrainingError(
        f"{problem}; start again with a lower learning rate ({rate}).", settings=[rate]
    )


def ema_update(decay: float) -> Callable[[Any, Any, Any], None]:
    """Return the update of an exponential moving average, for `AveragedModel`.

    The decay starts small: else a run not much longer than 1/(1 - decay) steps would
    end with an average of mostly untrained weights.
    """

    @torch.no_grad()
    def update(averages: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        steps = int(count)
        weight = 1 - min(decay, (1 + steps) / (10 + steps))
        for average, parameter in zip(averages, current, strict=True):
            average.lerp_(parameter, weight)

    return update


_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Jordan's quintic, whose iteration moves all singular values close to 1."""

_ITERATIONS = 5
_UPDATE_RMS = 0.2
"""Typical root mean square of AdamW's update, to which Muon's is scaled."""


class Muon(torch.optim.AdamW):
    """Muon for convolution weights, AdamW for all other parameters.

    Muon orthogonalizes the momentum of a weight: K. Jordan et al., *Muon: An optimizer
    for hidden layers in neural networks*, 2024. Its step is scaled as in J. Liu et al.,
    *Muon is scalable for LLM training*, 2025, so that it shares a learning rate with
    AdamW. `torch.optim.Muon` takes matrices (2-D parameters) only.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups. Those with four axes are updated by Muon,
        unless ``orthogonal`` of their group is False.
    lr : float
        Learning rate of both.
    momentum : float
        Nesterov momentum of Muon.
    betas, weight_decay
        As for `torch.optim.AdamW`; the decay is decoupled in both.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay)
        for group in self.param_groups:
            group.setdefault("momentum", momentum)
            group.setdefault("orthogonal", True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step; the gradients of Muon's parameters are set to None."""
        for group in self.param_groups:
            for weight in group["params"] if group["orthogonal"] else ():
                if weight.ndim == 4 and weight.grad is not None:
                    self._step_convolution(weight, group)
                    weight.grad = None
        return super().step(closure)

    def _step_convolution(self, weight: Tensor, group: dict[str, Any]) -> None:
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
            # AdamW expects a step count in every state that it loads.
            state["step"] = torch.tensor(0.0)
        gradient = weight.grad
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        matrix = gradient.lerp(momentum, group["momentum"]).flatten(1)
        rows, columns = matrix.shape
        rate = group["lr"] * _UPDATE_RMS * math.sqrt(max(rows, columns))
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(orthogonalized(matrix).view(weight.shape), alpha=rate)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Move the singular values of a matrix close to 1; keep its singular vectors."""
    a, b, c = _NEWTON_SCHULZ
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-12)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.T if is_tall else x
    return orthogonal
