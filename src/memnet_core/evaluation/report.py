"""Evaluations as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from memnet_core._util.sanitize import shown
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memnet_core.evaluation.results import Evaluation, ImageScore, Luminance
    from memnet_core.model.checkpoint import Card

__all__ = ["as_csv", "as_json", "as_text", "figure", "gain", "what_is_scored"]

_FIELDS = ("input_psnr", "input_ssim", "psnr", "ssim")


def as_text(card: Card, evaluation: Evaluation) -> str:
    """Return a table: each image, the mean, and the published figures."""
    label = find_task(card.task).label(evaluation.level)
    title = f"{shown(evaluation.dataset)}, {label}: {card.name}"
    width = max(24, *(len(shown(row.image)) + 2 for row in evaluation.images))
    header = f"{'image':<{width}}{'input':<18}{'restored':<18}gain"
    if evaluation.colours:
        title += f", {what_is_scored(evaluation)}"
        header += f"    {'luminance input':<18}{'restored':<18}gain"
    lines = [title, header]
    for row in (*evaluation.images, evaluation.mean):
        line = f"{shown(row.image):<{width}}{_columns(row)}"
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
        difference = gain(psnr, evaluation.mean.input_psnr)
        lines.append(f"{name:<{width}}{'':<18}{_cell(psnr, ssim):<18}{difference}")
    return "\n".join(lines)


def what_is_scored(evaluation: Evaluation) -> str:
    """Return in words what scores are of, and how colours were restored."""
    if not evaluation.colours:
        return "gray"
    return f"RGB, colours restored: {evaluation.colours}"


def as_csv(evaluations: Sequence[Evaluation]) -> str:
    """Return one line for each image and level, and one for each mean.

    Colours have columns for their luminance, too, which are empty for gray planes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    beside = [f"luminance_{field}" for field in _FIELDS]
    writer.writerow(["dataset", "level", "image", *_FIELDS, "colours", *beside])
    for evaluation in evaluations:
        for row in (*evaluation.images, evaluation.mean):
            names = [shown(evaluation.dataset), f"{row.level:g}", shown(row.image)]
            values = [getattr(row, field) for field in _FIELDS]
            luminance = [getattr(row.luminance, field, "") for field in _FIELDS]
            writer.writerow([*names, *values, evaluation.colours, *luminance])
    return text.getvalue()


def as_json(card: Card, evaluations: Sequence[Evaluation]) -> str:
    """Return everything; a PSNR that is infinite becomes null."""
    rows = [
        {
            "dataset": evaluation.dataset,
            "level": evaluation.level,
            "colours": evaluation.colours or None,
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


def _columns(row: ImageScore | Luminance) -> str:
    before, after = _cell(row.input_psnr, row.input_ssim), _cell(row.psnr, row.ssim)
    return f"{before:<18}{after:<18}{gain(row.psnr, row.input_psnr)}"


def _cell(psnr: float, ssim: float | None) -> str:
    return f"{figure(psnr, 2)} / {figure(ssim, 4)}"


def figure(value: float | None, digits: int) -> str:
    """Return a score with its decimals, or a dash for one that was not published."""
    return "-" if value is None else f"{value:.{digits}f}"


def gain(psnr: float, before: float) -> str:
    """Return the difference of two PSNRs in dB, in words; zero between perfect ones."""
    difference = 0.0 if psnr == before else psnr - before
    return f"{round(difference, 2) + 0.0:+.2f}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
