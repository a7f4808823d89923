"""BatchNorm in training: recalibrated, frozen, or shared by several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memnet_core.model.network import MemNet

__all__ = ["SyncedBatchNorm", "norms", "recalibrate", "synchronize"]


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the normalizations of a network."""
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


@torch.no_grad()
def recalibrate(model: MemNet, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by plain means over batches of degraded patches.

    The running statistics that training leaves behind lag, and they belong to other
    weights than the averaged ones. Nothing is computed for a network without BatchNorm.
    """
    if not norms(model):
        return
    momenta = [norm.momentum for norm in norms(model)]
    for norm in norms(model):
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    for degraded in batches:
        model(degraded)
    for norm, momentum in zip(norms(model), momenta, strict=True):
        norm.momentum = momentum


class SyncedBatchNorm(nn.BatchNorm2d):
    """BatchNorm with the statistics of the batches of all processes.

    Unlike `torch.nn.SyncBatchNorm` it also works between CPUs. Where no gradients are
    taken, as in `recalibrate`, every process has the whole batch, and shares nothing.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize; in training mode every process has to take part."""
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
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
    """Make the normalizations of a network share statistics between processes.

    Parameters and names stay as they are.
    """
    for norm in norms(model):
        norm.__class__ = SyncedBatchNorm
