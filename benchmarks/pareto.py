"""The picture of benchmarks/quality.py: what each system gains, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

__all__ = ["Panel", "Point", "draw"]

COLUMNS = 3
OURS, OTHERS = "#c2410c", "#475569"

# Where a label may stand: offset in points, horizontal and vertical alignment.
PLACES = (
    ((0, 9), "center", "bottom"),
    ((0, -9), "center", "top"),
    ((9, 0), "left", "center"),
    ((-9, 0), "right", "center"),
    ((0, 24), "center", "bottom"),
    ((0, -24), "center", "top"),
)


class Point(NamedTuple):
    """One system: its cost and its gain."""

    name: str
    seconds: float
    gain: float
    is_ours: bool


class Panel(NamedTuple):
    """One task: a title, what the gain is over, and the systems."""

    title: str
    gain_label: str
    points: Sequence[Point]


def draw(panels: Sequence[Panel], path: Path, models: Iterable[str]) -> None:
    """Draw the panels, three side by side, for 500 × 500 px each.

    The file names the checksums of the models, by which a test knows whether it is
    out of date.
    """
    columns = min(len(panels), COLUMNS)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5 * columns, 5 * rows), dpi=100, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.remove()
    axes = axes[: len(panels)]
    for axis, panel in zip(axes, panels, strict=True):
        draw_points(axis, panel)
    figure.draw_without_rendering()
    for axis, panel in zip(axes, panels, strict=True):
        draw_labels(axis, panel.points)
    figure.savefig(path, metadata={"Models": " ".join(sorted(models))})


def draw_points(axis: Axes, panel: Panel) -> None:
    for point in panel.points:
        axis.scatter(
            point.seconds,
            point.gain,
            s=130 if point.is_ours else 60,
            marker="*" if point.is_ours else "o",
            color=OURS if point.is_ours else OTHERS,
            zorder=3,
        )
    seconds = [point.seconds for point in panel.points]
    gains = [point.gain for point in panel.points]
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlim(min(seconds) / 4, max(seconds) * 4)
    axis.set_ylim(min(0, *gains), max(gains) * 1.2)
    axis.set_title(panel.title, fontsize=14)
    axis.set_xlabel("CPU seconds per megapixel (log scale)", fontsize=12)
    axis.set_ylabel(panel.gain_label, fontsize=12)
    axis.tick_params(labelsize=11)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def draw_labels(axis: Axes, points: Sequence[Point]) -> None:
    """Label every point, ours first, where no other label or point is in the way."""
    taken = [axis.transData.transform((point.seconds, point.gain)) for point in points]
    labels: list[Annotation] = []
    for point in sorted(points, key=lambda point: not point.is_ours):
        for place in PLACES:
            label = annotate(axis, point, place)
            box = label.get_window_extent().padded(2)
            inside = axis.bbox.containsx(box.x0) and axis.bbox.containsx(box.x1)
            inside &= axis.bbox.containsy(box.y0) and axis.bbox.containsy(box.y1)
            others = [other.get_window_extent() for other in labels]
            if (
                inside
                and not box.count_contains(taken)
                and not box.count_overlaps(others)
            ):
                break
            label.remove()
        else:
            label = annotate(axis, point, PLACES[0])
        labels.append(label)


def annotate(
    axis: Axes, point: Point, place: tuple[tuple[int, int], str, str]
) -> Annotation:
    offset, horizontal, vertical = place
    return axis.annotate(
        point.name,
        (point.seconds, point.gain),
        offset,
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        fontsize=12,
        color=OURS if point.is_ours else OTHERS,
        fontweight="bold" if point.is_ours else "normal",
    )
