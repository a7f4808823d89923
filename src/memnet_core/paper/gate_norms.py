"""How much each memory contributes to the gate units (Fig. 5 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from memnet_core.model.network import MemNet

__all__ = ["KINDS", "GateNorms", "gate_norms"]

KINDS = ("long-term", "short-term", "last recursion")
"""Memories by origin: B_0 … B_{m-1}, H^1 … H^{R-1}, and H^R."""


@dataclass(frozen=True)
class GateNorms:
    """Norms of the weights of one gate unit, divided by the network's largest.

    Attributes
    ----------
    block : int
        Memory block m = 1..M.
    memories : tuple of str
        What enters the gate unit, in order: ``B0`` …, ``H1`` ….
    norms : ndarray of float, shape (memories, channels)
        v_m^l = sqrt(Σ_i W(1, 1, l, i)²) of every feature map l, in [0, 1].
    scale : float
        What they were divided by.
    """

    block: int
    memories: tuple[str, ...]
    norms: NDArray[np.float64]
    scale: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of `KINDS` each memory is of."""
        long_term, short_term, last = KINDS
        recursions = [
            long_term if name.startswith("B") else short_term for name in self.memories
        ]
        return (*recursions[:-1], last)

    def of_kind(self, kind: str) -> NDArray[np.float64]:
        """Return the norms of all feature maps of one of `KINDS`; there may be none."""
        chosen = np.array([each == kind for each in self.kinds])
        norms: NDArray[np.float64] = self.norms[chosen].ravel()
        return norms

    def bar(self, kind: str) -> float:
        """Return the mean norm of one of `KINDS`, or NaN where there is no such map."""
        norms = self.of_kind(kind)
        return float(norms.mean()) if norms.size else float("nan")


def gate_norms(model: MemNet) -> list[GateNorms]:
    """Return the norms of the weights of all gate units, block by block.

    Parameters
    ----------
    model : MemNet
        The trained network.

    Notes
    -----
    The paper normalises the norms to [0, 1] without saying by what; here it is by the
    largest norm of the network, so that blocks can be compared with each other.
    """
    raw = list(_raw(model))
    scale = max(float(norms.max()) for _, norms in raw) or 1.0
    return [
        GateNorms(block, memories, norms / scale, scale)
        for block, (memories, norms) in enumerate(raw, start=1)
    ]


def _raw(model: MemNet) -> Iterator[tuple[tuple[str, ...], NDArray[np.float64]]]:
    architecture = model.architecture
    recursions = range(1, architecture.recursions + 1)
    for m, block in enumerate(model.blocks):
        long_term = range(m + 1) if architecture.long_term else ()
        short_term = recursions if architecture.short_term else recursions[-1:]
        names = (*(f"B{k}" for k in long_term), *(f"H{r}" for r in short_term))
        weight = block.get_submodule("gate.conv").get_parameter("weight")
        norms = weight.detach().double().cpu().square().sum((0, 2, 3)).sqrt()
        yield names, norms.numpy().reshape(len(names), -1)
