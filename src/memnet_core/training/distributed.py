"""Training on several processes: ranks, and BatchNorm over the whole batch."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memnet_core.model.network import MemNet

__all__ = [
    "SyncedBatchNorm",
    "broadcast_from_first",
    "is_first",
    "joined_processes",
    "local_device",
    "norms",
    "rank",
    "recalibrate",
    "synchronize",
    "world",
]


@contextmanager
def joined_processes() -> Iterator[None]:
    """Initialize the process group if torchrun started this process."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Return the rank of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process (rank 0) writes files."""
    return rank() == 0


def broadcast_from_first(value: float, device: torch.device) -> float:
    """Return the value of the first process, in every process."""
    if world() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float32, device=device)
    distributed.broadcast(shared, 0)
    return float(shared)


def local_device(name: str) -> str:
    """Return the device of this process: under torchrun its own GPU, if any."""
    if world() > 1 and name == "auto" and torch.cuda.is_available():
        return f"cuda:{torch.cuda.current_device()}"
    return name


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the BatchNorm layers of a network."""
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


@torch.no_grad()
def recalibrate(model: MemNet, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by plain means over batches of degraded patches.

    Running statistics lag behind in training, and belong to the current weights rather
    than the averaged ones. Does nothing for a network without BatchNorm.
    """
    layers = norms(model)
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative mean instead of an exponential one
    model.train()
    for degraded in batches:
        model(degraded)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


class SyncedBatchNorm(nn.BatchNorm2d):
    """BatchNorm with statistics over the batches of all processes.

    Unlike `torch.nn.SyncBatchNorm` it also works on CPUs. Without gradients, as in
    `recalibrate`, every process has the whole batch and computes alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W); in training mode all processes take part."""
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        # Sums over a whole batch overflow float16 and lose digits in bfloat16.
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        count = x.numel() // x.shape[1] * torch.distributed.get_world_size()
        mean = _sum_over_processes(x.sum((0, 2, 3))) / count
        centered = x - mean[:, None, None]
        variance = _sum_over_processes(centered.square().sum((0, 2, 3))) / count
        self._track(mean.detach(), variance.detach() * count / max(count - 1, 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centered * scale[:, None, None] + self.bias[:, None, None]

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class _SumOverProcesses(torch.autograd.Function):
    # torch.distributed.nn.functional.all_reduce does the same, but is deprecated.
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduced(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _all_reduced(gradients[0])


def _all_reduced(x: Tensor) -> Tensor:
    summed = x.clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(summed)
    return summed


def _sum_over_processes(x: Tensor) -> Tensor:
    summed: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return summed


def synchronize(model: nn.Module) -> None:
    """Make the BatchNorm layers of a network share statistics between processes.

    Parameters and their names stay as they are.
    """
    for norm in norms(model):
        norm.__class__ = SyncedBatchNorm
