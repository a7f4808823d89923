"""The paper's three observations on its gate units (section 5), checked in words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from memnet_core._util.sanitize import listed
from memnet_core.paper.gate_norms import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from memnet_core.paper.gate_norms import GateNorms

__all__ = ["Observation", "observations"]

Verdict = Literal["holds", "holds in part", "does not hold", "cannot be told"]

_CRITICAL = 1.628
"""Two samples differ at 1 % if D exceeds this times sqrt(1/n + 1/m) (Kolmogorov)."""


@dataclass(frozen=True)
class Observation:
    """Whether a statement of the paper holds, and by which figures.

    Attributes
    ----------
    statement : str
        What the paper says.
    verdict : str
        ``holds``, ``holds in part``, ``does not hold`` or ``cannot be told``.
    figures : str
        What that rests on.
    """

    statement: str
    verdict: Verdict
    figures: str

    def __str__(self) -> str:
        return f"{self.statement}: {self.verdict}. {self.figures}"


def observations(
    norms: Mapping[str, Sequence[GateNorms]], tasks: Mapping[str, str]
) -> list[Observation]:
    """Check what the paper says of Fig. 5, for each network.

    Parameters
    ----------
    norms : mapping of str to sequence of GateNorms
        Gate units of each network, by its name.
    tasks : mapping of str to str
        What each network was trained for.
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
            statement, "cannot be told", "Name models of two tasks to compare them."
        )
    told, differing, compared = [], 0, 0
    for a, b in pairs:
        gates = list(zip(norms[a], norms[b], strict=False))
        distances = [_distance(x.norms.ravel(), y.norms.ravel()) for x, y in gates]
        beyond = [d > limit for d, limit in distances]
        differing += sum(beyond)
        compared += len(beyond)
        told.append(
            f"{a} and {b} differ at 1 % (Kolmogorov-Smirnov) in {sum(beyond)} of "
            f"{len(beyond)} blocks, by D = {_row([d for d, _ in distances])}"
        )
    return Observation(statement, _verdict(differing, compared), "; ".join(told) + ".")


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Return the distance of two distributions, and what is beyond chance."""
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
    drawn = [
        means[0] * (gates[0].norms.size / gate.norms.size) ** 0.5 for gate in gates
    ]
    figures = (
        f"Means {_row(means)}; variances {_row(variances, 4)}. (He initialisation "
        "alone gives means that fall with the root of the number of maps, here "
        f"{_row(drawn)}.)"
    )
    if len(gates) < 2:
        return Observation(statement, "cannot be told", "There is one block.")
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
            told = "The network lacks memories that could be compared."
            return Observation(statement, "cannot be told", told)
        fitting = [m for m in blocks if holds(m)]
        verdict = _verdict(len(fitting), len(blocks))
        where = f"{_numbers(fitting)} of blocks {_numbers(blocks)}"
        return Observation(statement, verdict, f"So in {where}; {figures}")

    def largest(m: int) -> bool:
        others = [bars[kind][m] for kind in (long_term, short_term)]
        return all(bars[last][m] > bar for bar in others if np.isfinite(bar))

    blocks = range(len(gates))
    both = [
        m
        for m in blocks
        if np.isfinite(bars[long_term][m]) and np.isfinite(bars[short_term][m])
    ]
    others = [
        m
        for m in blocks
        if np.isfinite(bars[long_term][m]) or np.isfinite(bars[short_term][m])
    ]
    late = [m for m in both if m >= len(gates) / 2]
    return [
        compare("The last recursion contributes most", largest, others),
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
    return listed([str(block + 1) for block in blocks]) or "none"


def _row(values: Sequence[float], digits: int = 2) -> str:
    return ", ".join(
        f"{value:.{digits}f}" if np.isfinite(value) else "none" for value in values
    )
