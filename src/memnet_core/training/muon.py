"""Muon: momentum whose matrices are made orthogonal, for the weights of convolutions.

K. Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024; the
step is scaled as in J. Liu et al., *Muon is scalable for LLM training*, 2025, so that
one learning rate serves it and AdamW.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Muon", "orthogonalized"]

# The quintic whose iteration moves all singular values of a matrix close to 1.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_UPDATE_RMS = 0.2
"""Root mean square of AdamW's usual update, which Muon's is scaled to."""


class Muon(torch.optim.AdamW):
    """Muon for convolutions' weights, AdamW for all other parameters.

    `torch.optim.Muon` takes matrices (2-D parameters) only, hence our own.

    Parameters
    ----------
    params : iterable
        Parameters or groups of them; those with four axes are taken for convolutions,
        unless their group says ``orthogonal`` False, as suits the first and the last
        layer of a network.
    lr : float
        Learning rate of both.
    momentum : float
        Of Muon, in Nesterov's form.
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
        """Take a step; the gradients of convolutions' weights are consumed."""
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
            # AdamW looks for a step count in every state that it loads.
            state["step"] = torch.tensor(0.0)
        gradient = weight.grad
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        matrix = gradient.lerp(momentum, group["momentum"]).flatten(1)
        rows, columns = matrix.shape
        rate = group["lr"] * _UPDATE_RMS * math.sqrt(max(rows, columns))
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(orthogonalized(matrix).view(weight.shape), alpha=rate)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return a matrix of the same singular vectors, all singular values close to 1.

    Parameters
    ----------
    matrix : Tensor
        Shape (rows, columns), of any scale.
    """
    a, b, c = _NEWTON_SCHULZ
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-12)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.T if is_tall else x
    return orthogonal
