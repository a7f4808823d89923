"""Contribution of each memory to the gate units (Fig. 5 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from memnet_core._util.sanitize import join_limited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from memnet_core.model.network import MemNet

__all__ = ["KINDS", "GateNorms", "Observation", "gate_norms", "observations"]


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
        Inputs of the gate unit, in order: ``B0`` …, ``H1`` ….
    norms : ndarray of float, shape (memories, channels)
        v_m^l = sqrt(Σ_i W(1, 1, l, i)²) of every feature map l, in [0, 1].
    scale : float
        The network's largest norm.
    """

    block: int
    memories: tuple[str, ...]
    norms: NDArray[np.float64]
    scale: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """The one of `KINDS` of each memory."""
        long_term, short_term, last = KINDS
        recursions = [
            long_term if name.startswith("B") else short_term for name in self.memories
        ]
        return (*recursions[:-1], last)

    def of_kind(self, kind: str) -> NDArray[np.float64]:
        """Return the norms of all feature maps of one of `KINDS`, possibly none."""
        chosen = np.array([each == kind for each in self.kinds])
        norms: NDArray[np.float64] = self.norms[chosen].ravel()
        return norms

    def bar(self, kind: str) -> float:
        """Return the mean norm of one of `KINDS`, or NaN without such maps."""
        norms = self.of_kind(kind)
        return float(norms.mean()) if norms.size else float("nan")


def gate_norms(model: MemNet) -> list[GateNorms]:
    """Return the norms of the weights of all gate units, block by block.

    The paper normalizes the norms to [0, 1] without saying by what; here it is by the
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


Verdict = Literal["holds", "holds in part", "does not hold", "undecided"]

_CRITICAL = 1.628
"""Two samples differ at 1 % if D exceeds this times sqrt(1/n + 1/m) (Kolmogorov)."""


@dataclass(frozen=True)
class Observation:
    """A statement of the paper, whether it holds, and the figures for that."""

    statement: str
    verdict: Verdict
    figures: str

    def __str__(self) -> str:
        return f"{self.statement}: {self.verdict}. {self.figures}"


def observations(
    norms: Mapping[str, Sequence[GateNorms]], tasks: Mapping[str, str]
) -> list[Observation]:
    """Check the paper's statements on Fig. 5 for each network.

    Parameters
    ----------
    norms : mapping of str to sequence of GateNorms
        Gate units of each network, by its name.
    tasks : mapping of str to str
        Task of each network.
    """
    found = [_tasks_differ(norms, tasks)]
    for name, gates in norms.items():
        prefix = f"{name}: " if len(norms) > 1 else ""
        found += [
            Observation(prefix + o.statement, o.verdict, o.figures)
            for o in (_shrinking(gates), *_contributions(gates))
        ]
    return found


def _tasks_differ(
    norms: Mapping[str, Sequence[GateNorms]], tasks: Mapping[str, str]
) -> Observation:
    """Compare the norms of networks for different tasks, block by block."""
    statement = "Different tasks have different distributions of norms"
    pairs = [(a, b) for a, b in combinations(norms, 2) if tasks[a] != tasks[b]]
    if not pairs:
        return Observation(
            statement, "undecided", "Name models of two tasks to compare them."
        )
    sentences, differing, compared = [], 0, 0
    for a, b in pairs:
        gates = list(zip(norms[a], norms[b], strict=False))
        distances = [_distance(x.norms.ravel(), y.norms.ravel()) for x, y in gates]
        beyond = [d > limit for d, limit in distances]
        differing += sum(beyond)
        compared += len(beyond)
        sentences.append(
            f"{a} and {b} differ at 1 % (Kolmogorov-Smirnov) in {sum(beyond)} of "
            f"{len(beyond)} blocks, by D = {_row([d for d, _ in distances])}"
        )
    figures = "; ".join(sentences) + "."
    return Observation(statement, _verdict(differing, compared), figures)


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Return the distance of two distributions, and the threshold of significance."""
    values = np.concatenate([a, b])
    shares = [
        np.searchsorted(np.sort(each), values, side="right") / each.size
        for each in (a, b)
    ]
    limit = _CRITICAL * float(np.sqrt(1 / a.size + 1 / b.size))
    return float(np.abs(shares[0] - shares[1]).max()), limit


def _shrinking(gates: Sequence[GateNorms]) -> Observation:
    statement = "Mean and variance of the norms shrink with the number of the block"
    means = [float(gate.norms.mean()) for gate in gates]
    variances = [float(gate.norms.var()) for gate in gates]
    initial = [
        means[0] * (gates[0].norms.size / gate.norms.size) ** 0.5 for gate in gates
    ]
    figures = (
        f"Means {_row(means)}; variances {_row(variances, 4)}. (He initialization "
        "alone gives means that fall with the root of the number of maps, here "
        f"{_row(initial)}.)"
    )
    if len(gates) < 2:
        return Observation(statement, "undecided", "There is one block.")
    falling = [
        later < earlier
        for row in (means, variances)
        for earlier, later in pairwise(row)
    ]
    return Observation(statement, _verdict(sum(falling), len(falling)), figures)


def _contributions(gates: Sequence[GateNorms]) -> list[Observation]:
    """Compare the three kinds of memories, as far as the network has them."""
    long_term, short_term, last = KINDS
    bars = {kind: [gate.bar(kind) for gate in gates] for kind in KINDS}
    figures = "; ".join(f"{kind} {_row(bars[kind])}" for kind in KINDS) + "."

    def compare(
        statement: str, holds: Callable[[int], bool], blocks: Sequence[int]
    ) -> Observation:
        if not blocks:
            reason = "The network lacks memories that could be compared."
            return Observation(statement, "undecided", reason)
        fitting = [m for m in blocks if holds(m)]
        verdict = _verdict(len(fitting), len(blocks))
        where = f"{_numbers(fitting)} of blocks {_numbers(blocks)}"
        return Observation(statement, verdict, f"So in {where}; {figures}")

    def largest(m: int) -> bool:
        others = [bars[kind][m] for kind in (long_term, short_term)]
        return all(bars[last][m] > bar for bar in others if np.isfinite(bar))

    blocks = range(len(gates))
    finite = np.isfinite([bars[long_term], bars[short_term]])
    some = [m for m in blocks if finite[:, m].any()]
    late = [m for m in blocks if finite[:, m].all() and m >= len(gates) / 2]
    return [
        compare("The last recursion contributes most", largest, some),
        compare(
            "Long-term memories matter more in late blocks than the first recursions",
            lambda m: bars[long_term][m] > bars[short_term][m],
            late,
        ),
    ]


def _verdict(fitting: int, cases: int) -> Verdict:
    if fitting == cases:
        return "holds"
    return "holds in part" if 2 * fitting > cases else "does not hold"


def _numbers(blocks: Sequence[int]) -> str:
    return join_limited([str(block + 1) for block in blocks]) or "none"


def _row(values: Sequence[float], digits: int = 2) -> str:
    return ", ".join(
        f"{value:.{digits}f}" if np.isfinite(value) else "none" for value in values
    )
