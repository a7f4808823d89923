"""Scores of evaluations, as text, CSV, JSON and a plot."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from memnet_core._util.sanitize import (
    escape_control_chars,
    escape_formula,
    escape_mathtext,
)
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from memnet_core.evaluation.published import Figures
    from memnet_core.model.card import Card

__all__ = [
    "Evaluation",
    "ImageScore",
    "Luminance",
    "as_csv",
    "as_json",
    "as_text",
    "draw_gains",
    "format_score",
]

_FIELDS = ("input_psnr", "input_ssim", "psnr", "ssim")


@dataclass(frozen=True)
class Luminance:
    """PSNR in dB and SSIM of a color image's luminance, degraded and restored."""

    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class ImageScore:
    """PSNR in dB and SSIM of one image, degraded and restored.

    Scores are those of a gray plane, or those over RGB, with `luminance` beside.
    """

    image: str
    level: float
    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float
    luminance: Luminance | None = None


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a folder at one level.

    Attributes
    ----------
    dataset : str
        Name of the folder.
    level : float
        JPEG quality, noise sigma or scale.
    images : tuple of ImageScore
        Scores of each image.
    published : dict of str to (float, float or None)
        PSNR and SSIM of other systems, for known sets.
    colors : str
        Mode in which colors were restored, such as ``joint``; empty for gray planes.
    """

    dataset: str
    level: float
    images: tuple[ImageScore, ...]
    published: dict[str, Figures]
    colors: str = ""

    @property
    def counted(self) -> tuple[ImageScore, ...]:
        """Images in the mean: those of finite PSNR before and after, or else all.

        A blank image that is not changed has an infinite PSNR.
        """
        rows = tuple(
            row
            for row in self.images
            if math.isfinite(row.input_psnr) and math.isfinite(row.psnr)
        )
        return rows or self.images

    @property
    def mean(self) -> ImageScore:
        """Means over the `counted` images."""
        luminances = [row.luminance for row in self.counted if row.luminance]
        return ImageScore(
            "mean",
            self.level,
            *_means(self.counted),
            luminance=Luminance(*_means(luminances)) if luminances else None,
        )


def _means(rows: Sequence[ImageScore | Luminance]) -> tuple[float, float, float, float]:
    columns = [[getattr(row, field) for row in rows] for field in _FIELDS]
    a, b, c, d = (sum(column) / len(column) for column in columns)
    return a, b, c, d


def as_text(card: Card, evaluation: Evaluation) -> str:
    """Format a table of each image, the mean, and the published scores."""
    label = find_task(card.task).label(evaluation.level)
    title = f"{escape_control_chars(evaluation.dataset)}, {label}: {card.name}"
    width = max(
        24, *(len(escape_control_chars(row.image)) + 2 for row in evaluation.images)
    )
    header = f"{'image':<{width}}{'input':<18}{'restored':<18}gain"
    if evaluation.colors:
        title += f", RGB, colors restored: {evaluation.colors}"
        header += f"    {'luminance input':<18}{'restored':<18}gain"
    lines = [title, header]
    for row in (*evaluation.images, evaluation.mean):
        line = f"{escape_control_chars(row.image):<{width}}{_columns(row)}"
        if row.luminance:
            line = f"{line:<{width + 44}}{_columns(row.luminance)}"
        lines.append(line)
    if left_out := len(evaluation.images) - len(evaluation.counted):
        lines.append(
            f"(mean without {left_out} of {len(evaluation.images)} images that are "
            "perfect before or after, such as blank ones)"
        )
    for system, (psnr, ssim) in evaluation.published.items():
        name = f"{system} (published)"
        difference = _gain(psnr, evaluation.mean.input_psnr)
        lines.append(f"{name:<{width}}{'':<18}{_cell(psnr, ssim):<18}{difference}")
    return "\n".join(lines)


def as_csv(evaluations: Sequence[Evaluation]) -> str:
    """Format one line for each image and level, and one for each mean.

    The columns of luminance are empty for gray planes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    luminance_fields = [f"luminance_{field}" for field in _FIELDS]
    writer.writerow(
        ["dataset", "level", "image", *_FIELDS, "colors", *luminance_fields]
    )
    for evaluation in evaluations:
        for row in (*evaluation.images, evaluation.mean):
            names = [
                escape_formula(evaluation.dataset),
                f"{row.level:g}",
                escape_formula(row.image),
            ]
            values = [getattr(row, field) for field in _FIELDS]
            luminance = [getattr(row.luminance, field, "") for field in _FIELDS]
            writer.writerow([*names, *values, evaluation.colors, *luminance])
    return text.getvalue()


def as_json(card: Card, evaluations: Sequence[Evaluation]) -> str:
    """Format all scores as JSON; an infinite PSNR becomes null."""
    rows = [
        {
            "dataset": evaluation.dataset,
            "level": evaluation.level,
            "colors": evaluation.colors or None,
            "images": [asdict(row) for row in evaluation.images],
            "published": evaluation.published,
            "mean": {
                field: value
                for field, value in asdict(evaluation.mean).items()
                if field in (*_FIELDS, "luminance")
            },
        }
        for evaluation in evaluations
    ]
    model = {"name": card.name, "task": card.task, "sha256": card.sha256}
    return json.dumps(_finite({"model": model, "evaluations": rows}), indent=2)


def draw_gains(card: Card, evaluations: Sequence[Evaluation]) -> Figure:
    """Plot the gain in PSNR by level, with the published systems dashed."""
    from matplotlib.figure import Figure

    drawing = Figure((8, 3.6), layout="constrained")
    axes = drawing.subplots()
    gains: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for evaluation in evaluations:
        mean = evaluation.mean
        dataset = f"{evaluation.dataset}{' (RGB)' if evaluation.colors else ''}"
        own = f"{card.name}, {dataset}"
        gains[own].append((evaluation.level, mean.psnr - mean.input_psnr))
        for system, (psnr, _) in evaluation.published.items():
            if round(psnr - mean.input_psnr, 2) > 0.01:
                label = f"{system}, {dataset} (published)"
                gains[label].append((evaluation.level, psnr - mean.input_psnr))
    for label, points in gains.items():
        style = "o--" if label.endswith("(published)") else "o-"
        width = 1.0 if label.endswith("(published)") else 2.5
        axes.plot(
            *zip(*points, strict=True),
            style,
            label=escape_mathtext(label),
            linewidth=width,
        )
    axes.set_xticks(sorted({evaluation.level for evaluation in evaluations}))
    axes.set(xlabel=find_task(card.task).symbol, ylabel="gain in PSNR (dB)")
    axes.grid(alpha=0.3)
    drawing.legend(loc="outside right upper", fontsize="small")
    return drawing


def _columns(row: ImageScore | Luminance) -> str:
    before, after = _cell(row.input_psnr, row.input_ssim), _cell(row.psnr, row.ssim)
    return f"{before:<18}{after:<18}{_gain(row.psnr, row.input_psnr)}"


def _cell(psnr: float, ssim: float | None) -> str:
    return f"{format_score(psnr, 2)} / {format_score(ssim, 4)}"


def format_score(value: float | None, digits: int) -> str:
    """Format a score with so many decimals, or a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def _gain(psnr: float, before: float) -> str:
    # Two perfect images gain nothing: inf - inf is NaN.
    difference = 0.0 if psnr == before else psnr - before
    return f"{round(difference, 2) + 0.0:+.2f}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
