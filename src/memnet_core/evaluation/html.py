"""Evaluations as one page that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from typing import TYPE_CHECKING

from memnet_core._util.sanitize import plotted, shown
from memnet_core.evaluation.report import figure, gain, what_is_scored
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.evaluation.report import Evaluation
    from memnet_core.model.card import Card

__all__ = ["as_html"]


def as_html(card: Card, evaluations: Sequence[Evaluation]) -> str:
    """Return a self-contained page: tables, gain by level, pictures with a slider.

    Parameters
    ----------
    card : Card
        Of the model.
    evaluations : sequence of Evaluation
        One for each set and level.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("memnet_core.evaluation", "."),
        autoescape=True,
        finalize=lambda value: shown(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template("page.html.j2").render(
        card=card,
        gain=gain,
        figure=figure,
        what_is_scored=what_is_scored,
        symbol=find_task(card.task).symbol,
        evaluations=evaluations,
        plot=_plot(card, evaluations),
    )


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return _uri(buffer.getvalue(), "image/png")


def _plot(card: Card, evaluations: Sequence[Evaluation]) -> str:
    """Return a picture of the gain in PSNR by level, beside the published systems."""
    from matplotlib.figure import Figure

    figure = Figure((8, 3.6), layout="constrained")
    axes = figure.subplots()
    gains: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for evaluation in evaluations:
        mean = evaluation.mean
        dataset = f"{evaluation.dataset}{' (RGB)' if evaluation.colours else ''}"
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
            *zip(*points, strict=True), style, label=plotted(label), linewidth=width
        )
    axes.set_xticks(sorted({evaluation.level for evaluation in evaluations}))
    axes.set(xlabel=find_task(card.task).symbol, ylabel="gain in PSNR (dB)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return _uri(buffer.getvalue(), "image/png")


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
