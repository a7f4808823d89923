"""Evaluation of a model on a folder: baselines first, then what is restored."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.bicubic import imresize
from memnet_core.clean_images import read_clean_images
from memnet_core.errors import EvaluationError, ImageError, LevelError
from memnet_core.evaluation.protocol import (
    degraded_input,
    reference,
    scores,
    smallest_side,
)
from memnet_core.evaluation.published import input_scores, known_set, published
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from memnet_core.model.file import Card
    from memnet_core.restoration.stream import Engine
    from memnet_core.tasks import Task

__all__ = [
    "Crop",
    "Evaluation",
    "ImageScore",
    "default_levels",
    "evaluate",
    "restored_plane",
]

_CROPS = 3
_CROP_SIDE = 256


@dataclass(frozen=True)
class ImageScore:
    """PSNR in dB and SSIM of one image, degraded and restored."""

    image: str
    level: float
    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Crop:
    """The centre of an image, degraded and restored, uint8 of shape (H, W)."""

    image: str
    degraded: NDArray[np.uint8]
    restored: NDArray[np.uint8]


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a folder at one level.

    Attributes
    ----------
    dataset : str
        Name of the folder.
    level : float
        Quality, deviation or scale.
    images : tuple of ImageScore
        One for each plane.
    published : dict of str to (float, float)
        PSNR and SSIM of other systems, for known sets.
    crops : tuple of Crop
        Centres of the first images.
    """

    dataset: str
    level: float
    images: tuple[ImageScore, ...]
    published: dict[str, tuple[float, float]]
    crops: tuple[Crop, ...]

    @property
    def counted(self) -> tuple[ImageScore, ...]:
        """The images that means are over: those with a PSNR before and after.

        A blank image that is not changed at all has none; where all are like that, they
        are counted.
        """
        rows = tuple(
            row
            for row in self.images
            if math.isfinite(row.input_psnr) and math.isfinite(row.psnr)
        )
        return rows or self.images

    @property
    def mean(self) -> ImageScore:
        """Means over the images that are counted."""
        names = ("input_psnr", "input_ssim", "psnr", "ssim")
        rows = self.counted
        means = {
            name: sum(getattr(r, name) for r in rows) / len(rows) for name in names
        }
        return ImageScore("mean", self.level, **means)


def default_levels(card: Card, folder: Path) -> tuple[float, ...]:
    """Return the levels to score a model at: published, standard, or its own."""
    task = find_task(card.task)
    known = known_set(folder.name)
    tables = published(task.table, known.name) if known else {}
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
    """Score a model by the paper's protocol, level by level.

    Parameters
    ----------
    engine : Engine
        The model on a device.
    card : Card
        What the model says of itself.
    folder : Path
        Clean images.
    levels : sequence of float, optional
        Those of `default_levels` by default.
    seed : int
        Determines the noise.

    Yields
    ------
    Evaluation
        For each level.

    Raises
    ------
    LevelError
        If the model does not cover a level.
    ImageError
        If an image cannot be read, or is too small to be scored.
    EvaluationError
        If a known set is not the published one; nothing is restored then.
    """
    folder = Path(os.path.abspath(folder))
    chosen = default_levels(card, folder) if levels is None else levels
    task = find_task(card.task)
    _check_levels(card, task, chosen)
    planes = _planes(folder, task)
    _check_sides(folder, planes, task, chosen)
    known = known_set(folder.name)
    expected = input_scores(task.table, known.name) if known else {}
    checked = [level for level in chosen if level in expected] or [*expected][:1]
    baselines = {
        level: [
            scores(clean, degraded, task, level)
            for clean, degraded in _inputs(planes, task, level, seed)
        ]
        for level in {*chosen, *checked}
    }
    for level in checked:
        _check_baseline(folder, task, level, baselines[level], expected[level])
    tables = published(task.table, known.name) if known else {}
    for level in chosen:
        images: list[ImageScore] = []
        crops: list[Crop] = []
        inputs = _inputs(planes, task, level, seed)
        for (name, _), before, (clean, degraded) in zip(
            planes, baselines[level], inputs, strict=True
        ):
            restored = restored_plane(engine, degraded, task.map_value(level))
            after = scores(clean, restored, task, level)
            images.append(ImageScore(name, level, *before, *after))
            if len(crops) < _CROPS:
                crops.append(Crop(name, _centre(degraded), _centre(restored)))
        yield Evaluation(
            folder.name, level, tuple(images), tables.get(level, {}), tuple(crops)
        )


def _centre(plane: NDArray[Any]) -> NDArray[np.uint8]:
    top, left = (max(side - _CROP_SIDE, 0) // 2 for side in plane.shape)
    cropped = plane[top : top + _CROP_SIDE, left : left + _CROP_SIDE]
    pixels: NDArray[np.uint8] = np.clip(np.rint(cropped), 0, 255).astype(np.uint8)
    return pixels


def _planes(folder: Path, task: Task) -> list[tuple[str, NDArray[Any]]]:
    planes = read_clean_images(folder, full_range=task.full_range)
    known = known_set(folder.name)
    if known is None or not published(task.table, known.name):
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


def _inputs(
    planes: list[tuple[str, NDArray[Any]]], task: Task, level: float, seed: int
) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    for number, (_, plane) in enumerate(planes):
        clean = reference(plane, task, level)
        yield clean, degraded_input(clean, task, level, seed=seed, number=number)


def restored_plane(
    engine: Engine, degraded: NDArray[np.float64], level: float
) -> NDArray[np.float32]:
    """Return what an engine makes of one plane.

    Parameters
    ----------
    engine : Engine
        The model; one for colour sees a gray picture.
    degraded : ndarray, shape (H, W)
        Pixels in [0, 255].
    level : float
        Value of the level's plane, see `memnet_core.tasks.Task.map_value`.

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
            raise LevelError(
                f"The model {card.name!r} covers {task.symbol} "
                f"{card.levels}, not {level:g}; choose other --levels."
            )
        task.check(level)


def _check_sides(
    folder: Path,
    planes: list[tuple[str, NDArray[Any]]],
    task: Task,
    levels: Iterable[float],
) -> None:
    """Refuse images on which SSIM is not defined."""
    needed, level = max((smallest_side(task, level), level) for level in levels)
    for name, plane in planes:
        if min(plane.shape) < needed:
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
    expected: tuple[float, float],
) -> None:
    """Refuse a known set whose degraded images do not score as they have to."""
    found = np.mean(rows, axis=0)
    if np.any(np.abs(found - expected) > task.slack):
        raise EvaluationError(
            f"The degraded images of {folder} at {task.label(level)} score "
            f"{found[0]:.2f} dB (SSIM {found[1]:.4f}), not {expected[0]:.2f} dB as "
            f"published (SSIM {expected[1]:.4f}): these are other images; rename the "
            "folder to score it as a set of your own."
        )
