"""What `memnet analyze` finds as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, fields
from typing import TYPE_CHECKING

from memnet_core._util.sanitize import shown
from memnet_core.paper.fig6_exits import Prediction
from memnet_core.paper.gate_norms import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memnet_core.paper.gate_norms import GateNorms
    from memnet_core.paper.spectra import Spectrum

__all__ = ["bars_csv", "gates_csv", "predictions_csv", "spectra_csv"]


def gates_csv(norms: Mapping[str, Sequence[GateNorms]]) -> str:
    """Return a line for each feature map of each gate unit."""
    return _csv(
        ("model", "block", "map", "memory", "kind", "norm", "normalised"),
        (
            (
                name,
                gate.block,
                number * gate.norms.shape[1] + channel + 1,
                memory,
                kind,
                value * gate.scale,
                value,
            )
            for name, gates in norms.items()
            for gate in gates
            for number, (memory, kind) in enumerate(
                zip(gate.memories, gate.kinds, strict=True)
            )
            for channel, value in enumerate(gate.norms[number].tolist())
        ),
    )


def bars_csv(norms: Mapping[str, Sequence[GateNorms]]) -> str:
    """Return a line for each gate unit: mean normalised norms by kind, and of all."""
    return _csv(
        ("model", "block", *KINDS, "mean", "variance"),
        (
            (
                name,
                gate.block,
                *(gate.bar(kind) for kind in KINDS),
                float(gate.norms.mean()),
                float(gate.norms.var()),
            )
            for name, gates in norms.items()
            for gate in gates
        ),
    )


def spectra_csv(spectra: Mapping[tuple[str, str], Spectrum]) -> str:
    """Return a line for each circle of each image, which network and image name."""
    return _csv(
        ("model", "image", "frequency", "power"),
        (
            (model, image, frequency, power)
            for (model, image), spectrum in spectra.items()
            for frequency, power in zip(
                spectrum.frequency.tolist(), spectrum.power.tolist(), strict=True
            )
        ),
    )


def predictions_csv(found: Mapping[str, Sequence[Prediction]]) -> str:
    """Return a line for each prediction of each network."""
    return _csv(
        ("model", *(field.name for field in fields(Prediction))),
        (
            (name, *astuple(prediction))
            for name, predictions in found.items()
            for prediction in predictions
        ),
    )


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([shown(c) if isinstance(c, str) else c for c in row])
    return text.getvalue()
