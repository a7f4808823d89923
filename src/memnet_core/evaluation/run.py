"""Evaluate a model on a folder: baselines first, then restored images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from memnet_core.errors import EvaluationError, ImageError, LevelError, SettingRef
from memnet_core.evaluation.protocol import (
    degraded_input,
    reference,
    scores,
    smallest_side,
)
from memnet_core.evaluation.published import input_scores, known_set, published
from memnet_core.evaluation.report import Evaluation, ImageScore, Luminance
from memnet_core.image_ops.resize import imresize
from memnet_core.tasks import find_task
from memnet_core.training.data.clean_images import read_clean_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from memnet_core.evaluation.published import Figures
    from memnet_core.inference.engine import Engine
    from memnet_core.model.card import Card
    from memnet_core.sources.protocols import ArraySource
    from memnet_core.tasks import Task

__all__ = [
    "Sample",
    "Scoring",
    "default_levels",
    "evaluate",
    "restored_plane",
    "scored",
]


@dataclass(frozen=True)
class Sample:
    """A clean image and its degraded version.

    Attributes
    ----------
    clean : ndarray, shape (H, W) or (H, W, 3)
        Reference in [0, 255].
    degraded : ndarray of float64, of the same shape
        Baseline on the same scale, not clipped; for super-resolution, enlarged.
    source : ArraySource, optional
        Color input of the restoration, as a file holds it.
    """

    clean: NDArray[Any]
    degraded: NDArray[np.float64]
    source: ArraySource | None = None


class Scoring(Protocol):
    """How images are degraded, restored and scored: as gray planes or in color."""

    @property
    def task(self) -> Task:
        """Task of the model."""

    @property
    def colors(self) -> bool:
        """Whether planes are read and scored in color."""

    def sample(self, plane: NDArray[Any], level: float, number: int) -> Sample:
        """Degrade a clean plane; `number` seeds its noise."""

    def restored(self, sample: Sample, level: float) -> tuple[NDArray[Any], str]:
        """Return pixels in [0, 255], and the mode in which colors were restored."""

    def scores(
        self, clean: NDArray[Any], image: NDArray[Any], level: float
    ) -> tuple[tuple[float, float], ...]:
        """Return PSNR and SSIM; for colors, a second pair for their luminance."""


@dataclass(frozen=True)
class _Gray:
    """Score gray planes by the paper's protocol: the plain output of the network."""

    task: Task
    engine: Engine
    seed: int
    colors = False

    def sample(self, plane: NDArray[Any], level: float, number: int) -> Sample:
        clean = reference(plane, self.task, level)
        degraded = degraded_input(
            clean, self.task, level, seed=self.seed, number=number
        )
        return Sample(clean, degraded)

    def restored(self, sample: Sample, level: float) -> tuple[NDArray[Any], str]:
        value = self.task.level_map_value(level)
        return restored_plane(self.engine, sample.degraded, value), ""

    def scores(
        self, clean: NDArray[Any], image: NDArray[Any], level: float
    ) -> tuple[tuple[float, float], ...]:
        return (scores(clean, image, self.task, level),)


def default_levels(
    card: Card, folder: Path, *, colors: bool = False
) -> tuple[float, ...]:
    """Return the levels to score: published ones, the task's standard, or all."""
    task = find_task(card.task)
    tables = _published(folder, task, colors)
    for levels in (tuple(tables), task.standard_levels):
        if covered := tuple(level for level in levels if card.levels.covers(level)):
            return covered
    return card.levels.values


def evaluate(
    engine: Engine,
    card: Card,
    folder: Path,
    levels: Sequence[float] | None = None,
    *,
    seed: int = 0,
) -> Iterator[Evaluation]:
    """Score a model on gray planes by the paper's protocol, level by level.

    Parameters
    ----------
    engine : Engine
        The model on a device.
    card : Card
        Card of the model.
    folder : Path
        Clean images.
    levels : sequence of float, optional
        Levels to score; by default `default_levels`.
    seed : int
        Seed of the noise.

    Yields
    ------
    Evaluation
        Scores at one level.

    Raises
    ------
    LevelError
        If the model does not cover a level.
    ImageError
        If an image cannot be read, or is too small to be scored.
    EvaluationError
        If a known set is not the published one; raised before anything is restored.
    """
    yield from scored(_Gray(find_task(card.task), engine, seed), card, folder, levels)


def scored(
    scoring: Scoring, card: Card, folder: Path, levels: Sequence[float] | None
) -> Iterator[Evaluation]:
    """Score a model in gray or in color; see `evaluate`."""
    folder = Path(os.path.abspath(folder))
    task, colors = scoring.task, scoring.colors
    tables = _published(folder, task, colors)
    if levels is None:
        levels = default_levels(card, folder, colors=colors)
    _check_levels(card, task, levels)
    planes = _planes(folder, task, colors)
    _check_sides(folder, planes, task, levels)
    known = known_set(folder.name)
    expected = input_scores(task.table, known.name, colors=colors) if known else {}
    checked = [level for level in levels if level in expected] or [*expected][:1]
    baselines = {
        level: [
            scoring.scores(sample.clean, sample.degraded, level)
            for sample in _samples(scoring, planes, level)
        ]
        for level in {*levels, *checked}
    }
    for level in checked:
        measured = [first for first, *_ in baselines[level]]
        _check_baseline(folder, task, level, measured, expected[level])
    for level in levels:
        images: list[ImageScore] = []
        modes: dict[str, None] = {}
        for (name, _), before, sample in zip(
            planes, baselines[level], _samples(scoring, planes, level), strict=True
        ):
            restored, mode = scoring.restored(sample, level)
            after = scoring.scores(sample.clean, restored, level)
            images.append(_image_score(name, level, before, after))
            modes[mode] = None
        yield Evaluation(
            folder.name,
            level,
            tuple(images),
            tables.get(level, {}),
            ", ".join(modes),
        )


def _image_score(
    name: str,
    level: float,
    before: tuple[tuple[float, float], ...],
    after: tuple[tuple[float, float], ...],
) -> ImageScore:
    first, *second = [(*b, *a) for b, a in zip(before, after, strict=True)]
    luminance = Luminance(*second[0]) if second else None
    return ImageScore(name, level, *first, luminance)


def _published(
    folder: Path, task: Task, colors: bool
) -> dict[float, dict[str, Figures]]:
    known = known_set(folder.name)
    return published(task.table, known.name, colors=colors) if known else {}


def _planes(folder: Path, task: Task, colors: bool) -> list[tuple[str, NDArray[Any]]]:
    planes = read_clean_images(folder, full_range=task.full_range, colors=colors)
    known = known_set(folder.name)
    if known is None or not _published(folder, task, colors):
        return planes
    if len(planes) != known.images:
        raise EvaluationError(
            f"{folder} holds {len(planes)} images, but {known.name} has "
            f"{known.images}; complete it, or rename the folder to score it as a set "
            "of your own."
        )
    return [(n, _halved(p)) for n, p in planes] if known.halved else planes


def _halved(plane: NDArray[Any]) -> NDArray[Any]:
    height, width = plane.shape
    half = imresize(plane.astype(np.float64), ((height + 1) // 2, (width + 1) // 2))
    return np.clip(np.floor(half + 0.5), 0, 255).astype(np.uint8)


def _samples(
    scoring: Scoring, planes: list[tuple[str, NDArray[Any]]], level: float
) -> Iterator[Sample]:
    for number, (_, plane) in enumerate(planes):
        yield scoring.sample(plane, level, number)


def restored_plane(
    engine: Engine, degraded: NDArray[np.float64], level: float
) -> NDArray[np.float32]:
    """Restore one gray plane.

    Parameters
    ----------
    engine : Engine
        The model; a color model gets the plane in all channels.
    degraded : ndarray, shape (H, W)
        Pixels in [0, 255].
    level : float
        Value of the level map, see `memnet_core.tasks.Task.level_map_value`.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Restored pixels, neither clipped nor rounded.
    """
    plane = (degraded / 255).astype(np.float32)[None, None]
    planes = np.repeat(plane, engine.image_channels, axis=1)
    height, width = degraded.shape
    rows = engine.strip_rows(width)
    strips = (planes[:, :, top : top + rows] for top in range(0, height, rows))
    parts = list(engine.stream(strips, height, level))
    restored: NDArray[np.float32] = 255 * np.concatenate(parts, axis=2)[0].mean(0)
    return restored


def _check_levels(card: Card, task: Task, levels: Iterable[float]) -> None:
    for level in levels:
        if not card.levels.covers(level):
            setting = SettingRef("levels")
            raise LevelError(
                f"The model {card.name!r} covers {task.symbol} "
                f"{card.levels}, not {level:g}; choose other {setting}",
                settings=[setting],
            )
        task.check(level)


def _check_sides(
    folder: Path,
    planes: list[tuple[str, NDArray[Any]]],
    task: Task,
    levels: Iterable[float],
) -> None:
    """Raise if an image is too small for SSIM."""
    needed, level = max((smallest_side(task, level), level) for level in levels)
    for name, plane in planes:
        if min(plane.shape[:2]) < needed:
            raise ImageError(
                f"{folder / name} has {plane.shape[0]}×{plane.shape[1]} px; at "
                f"{task.label(level)} each side needs {needed} px to be "
                "scored; leave it out."
            )


def _check_baseline(
    folder: Path,
    task: Task,
    level: float,
    rows: list[tuple[float, float]],
    expected: Figures,
) -> None:
    """Raise if the degraded images of a known set do not score as published.

    A wrong image or a wrong protocol would make all comparisons meaningless.
    """
    psnr, ssim = np.mean(rows, axis=0)
    differs = abs(psnr - expected[0]) > task.slack[0]
    measured, stated = f"{psnr:.2f} dB", f"{expected[0]:.2f} dB as published"
    if expected[1] is not None:
        differs |= abs(ssim - expected[1]) > task.slack[1]
        measured += f" (SSIM {ssim:.4f})"
        stated += f" (SSIM {expected[1]:.4f})"
    if differs:
        raise EvaluationError(
            f"The degraded images of {folder} at {task.label(level)} score {measured}, "
            f"not {stated}: these are other images; rename the folder to score it as a "
            "set of your own."
        )
