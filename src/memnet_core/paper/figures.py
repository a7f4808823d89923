"""Figures and CSV files of `memnet analyze`."""

from __future__ import annotations

import csv
import io
from contextlib import ExitStack
from dataclasses import astuple, fields
from typing import TYPE_CHECKING

import numpy as np

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._util.sanitize import escape_control_chars, escape_mathtext
from memnet_core.paper.gate_norms import KINDS
from memnet_core.paper.predictions import SIDE, Prediction, decibels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memnet_core.evaluation.residual_noise import Residual
    from memnet_core.paper.gate_norms import GateNorms
    from memnet_core.paper.predictions import Comparison

__all__ = [
    "bars_csv",
    "draw_gates",
    "draw_predictions",
    "draw_residuals",
    "draw_spectra",
    "gates_csv",
    "predictions_csv",
    "save",
    "spectra_csv",
]


_COLORS = dict(zip(KINDS, ("tab:blue", "tab:orange", "tab:red"), strict=True))


def draw_gates(norms: Mapping[str, Sequence[GateNorms]]) -> Figure:
    """Draw norms of feature maps, and bars: a row for each network (Fig. 5).

    `norms` maps titles of networks to their gate units.
    """
    from matplotlib.figure import Figure

    columns = max(len(gates) for gates in norms.values()) + 1
    figure = Figure((2.6 * columns + 1, 2.8 * len(norms)), layout="constrained")
    grid = figure.subplots(len(norms), columns, squeeze=False)
    for row, (title, gates) in zip(grid, norms.items(), strict=True):
        for axes, gate in zip(row, gates, strict=False):
            _draw_gate(axes, gate)
        row[0].set_ylabel(f"{escape_mathtext(title)}\nnorm / largest")
        for axes in row[len(gates) : -1]:
            axes.set_axis_off()
        _draw_bars(row[-1], gates)
    return figure


def _draw_gate(axes: Axes, gate: GateNorms) -> None:
    channels = gate.norms.shape[1]
    for number, (norms, kind) in enumerate(zip(gate.norms, gate.kinds, strict=True)):
        index = np.arange(channels) + number * channels + 1
        axes.plot(index, norms, color=_COLORS[kind], linewidth=0.6)
        axes.hlines(norms.mean(), index[0], index[-1], color="black", linewidth=1)
    middles = (np.arange(len(gate.memories)) + 0.5) * channels
    axes.set_xticks(middles, gate.memories, fontsize="small")
    axes.set(title=f"gate unit {gate.block}", ylim=(0, 1.05))
    axes.set_xlim(1, gate.norms.size)


def _draw_bars(axes: Axes, gates: Sequence[GateNorms]) -> None:
    blocks = np.arange(len(gates)) + 1
    for number, kind in enumerate(KINDS):
        axes.bar(
            blocks + 0.27 * (number - 1),
            [gate.bar(kind) for gate in gates],
            width=0.25,
            color=_COLORS[kind],
            label=kind,
        )
    axes.set_xticks(blocks)
    axes.set(title="mean norm by block", xlabel="memory block")
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize="x-small")


def draw_residuals(rows: Mapping[str, Residual]) -> Figure:
    """Draw input, result, residual and its autocorrelation, one row per title."""
    from matplotlib.figure import Figure

    figure = Figure((10, 2.7 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 4, squeeze=False)
    for line, (title, row) in zip(grid, rows.items(), strict=True):
        low, high = np.percentile(row.after, (1, 99.8))
        gray = {"cmap": "gray", "interpolation": "nearest"}
        for axes, plane in zip(line, (row.before, row.after), strict=False):
            axes.imshow(plane, vmin=low, vmax=max(high, low + 1e-9), **gray)
        line[2].imshow(row.removed, vmin=-3, vmax=3, **gray)
        reach = len(row.correlation) // 2 + 0.5
        extent = (-reach, reach, reach, -reach)
        drawn = line[3].imshow(
            row.correlation, vmin=-0.3, vmax=0.3, cmap="RdBu_r", extent=extent
        )
        figure.colorbar(drawn, ax=line[3], shrink=0.8)
        for axes in line[:3]:
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(escape_mathtext(title), fontsize="small")
    titles = ("before", "after", "removed, −3 to 3 σ", "correlation by pixels apart")
    for axes, text in zip(grid[0], titles, strict=True):
        axes.set_title(text, fontsize="medium")
    return figure


def draw_spectra(comparison: Comparison) -> Figure:
    """Draw crops (a row for each network), spectra and their differences (Fig. 4)."""
    from matplotlib.figure import Figure

    rows, common = comparison.rows, comparison.common
    columns = max(len(pictures) for pictures in rows.values()) + len(common)
    height = 2.6 * len(rows) + 3.8
    figure = Figure((max(2.5 * columns, 9), height), layout="constrained")
    upper, lower = figure.subfigures(
        2, 1, squeeze=False, height_ratios=[height - 3.8, 3.8]
    )[:, 0]
    grid = upper.subplots(len(rows), columns, squeeze=False)
    for row, (name, pictures) in zip(grid, rows.items(), strict=True):
        for axes in row:
            axes.set_axis_off()
        for axes, picture in zip(row, [*common, *pictures], strict=False):
            shown = np.clip(np.rint(picture.crop), 0, 255).astype(np.uint8)
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            shared = any(picture is each for each in common)
            title = picture.title if shared else f"{name} {picture.title}"
            axes.set_title(escape_mathtext(title), fontsize="small")
    densities, differences = lower.subplots(1, 2)
    named = [(picture.title.split(",")[0], picture.spectrum) for picture in common]
    named += [
        (f"{name} {picture.title.split(',')[0]}", picture.spectrum)
        for name, pictures in rows.items()
        for picture in pictures
    ]
    # Without the first circle, which holds the mean alone.
    for label, spectrum in named:
        densities.semilogy(
            spectrum.frequency[1:],
            spectrum.power[1:],
            label=escape_mathtext(label),
            linewidth=1,
        )
    for label, first, second in comparison.pairs:
        differences.plot(
            first.frequency[1:],
            decibels(first.power, second.power)[1:],
            label=escape_mathtext(label),
            linewidth=1,
        )
    densities.set(xlabel="cycles per pixel", ylabel="power on the circle")
    differences.set(xlabel="cycles per pixel", ylabel="difference (dB)")
    differences.axhline(0, color="black", linewidth=0.5)
    for axes in (densities, differences):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    return figure


def draw_predictions(
    found: Mapping[str, Sequence[Prediction]], title: str, systems: Mapping[str, float]
) -> Figure:
    """Draw PSNR against weights and multiply-adds, colored by seconds (Fig. 6).

    Parameters
    ----------
    found : mapping of str to sequence of Prediction
        Predictions of each network, by its name.
    title : str
        Names the images and the level.
    systems : mapping of str to float
        Published PSNR in dB of other systems, drawn as lines.
    """
    from matplotlib.figure import Figure

    figure = Figure((11, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    seconds = [p.seconds for predictions in found.values() for p in predictions]
    lowest = min(p.input_psnr for predictions in found.values() for p in predictions)
    for axes, (label, factor, cost) in zip(
        panels,
        (
            ("thousand convolution weights", 1e3, "weights"),
            ("thousand multiply-adds per pixel", 1e3, "multiply_adds"),
        ),
        strict=True,
    ):
        for name, predictions in found.items():
            costs = [getattr(each, cost) / factor for each in predictions]
            psnr = [each.psnr for each in predictions]
            axes.plot(costs, psnr, "-", color="gray", linewidth=0.8, zorder=1)
            points = axes.scatter(
                costs,
                psnr,
                c=[each.seconds for each in predictions],
                vmin=min(seconds),
                vmax=max(seconds),
                cmap="viridis",
                s=50,
                zorder=2,
            )
            _name_points(axes, predictions, costs, name if len(found) > 1 else "")
        _draw_systems(axes, systems, lowest)
        axes.set_xlabel(label)
        axes.margins(0.12)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("PSNR (dB)")
    figure.suptitle(escape_mathtext(title))
    figure.colorbar(points, ax=panels, label=f"seconds for {SIDE}×{SIDE} pixels")
    return figure


def _draw_systems(axes: Axes, systems: Mapping[str, float], lowest: float) -> None:
    """Draw scores of other methods, except the unrestored input."""
    better = {name: psnr for name, psnr in systems.items() if psnr > lowest + 0.05}
    for number, (name, psnr) in enumerate(better.items()):
        axes.axhline(psnr, color="tab:red", linewidth=0.6, linestyle=":")
        axes.annotate(
            escape_mathtext(name),
            (0.99 - 0.14 * (number % 3), psnr),  # side by side where lines are close
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize="x-small",
            color="tab:red",
        )


def _name_points(
    axes: Axes, predictions: Sequence[Prediction], costs: Sequence[float], name: str
) -> None:
    for each, cost in zip(predictions, costs, strict=True):
        fused = each.name == "y"
        axes.annotate(
            escape_mathtext(f"{name} {each.name}".strip()),
            (cost, each.psnr),
            (0, 9 if fused else -15),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure to `stem` with ``.png`` and ``.svg`` appended, both or none."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    with ExitStack() as stack:
        for path in paths:
            temporary = stack.enter_context(replaced_when_complete(path))
            figure.savefig(temporary, format=path.suffix[1:], dpi=130)
    return paths


def gates_csv(norms: Mapping[str, Sequence[GateNorms]]) -> str:
    """Format a line for each feature map of each gate unit."""
    return _csv(
        ("model", "block", "map", "memory", "kind", "norm", "normalized"),
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
    """Format a line for each gate unit: mean normalized norms by kind, and of all."""
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


def spectra_csv(comparison: Comparison) -> str:
    """Format a line for each circle of each image."""
    return _csv(
        ("model", "image", "frequency", "power"),
        (
            (model, image, frequency, power)
            for (model, image), spectrum in comparison.spectra.items()
            for frequency, power in zip(
                spectrum.frequency.tolist(), spectrum.power.tolist(), strict=True
            )
        ),
    )


def predictions_csv(found: Mapping[str, Sequence[Prediction]]) -> str:
    """Format a line for each prediction of each network."""
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
        writer.writerow(
            [escape_control_chars(c) if isinstance(c, str) else c for c in row]
        )
    return text.getvalue()
