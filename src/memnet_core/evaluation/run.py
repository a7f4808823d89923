"""Evaluate a model on a folder, in gray or in color: baselines first, then results."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import EvaluationError, ImageError, LevelError, SettingRef
from memnet_core.evaluation.protocol import (
    color_scores,
    degraded_input,
    noise,
    reference,
    scores,
    smallest_side,
)
from memnet_core.evaluation.published import input_scores, known_set, published
from memnet_core.evaluation.report import Evaluation, ImageScore, Luminance
from memnet_core.image_ops.resize import imresize
from memnet_core.inference.engine import prepare
from memnet_core.inference.runner import restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_image
from memnet_core.sources.protocols import ArraySink, ArraySource
from memnet_core.tasks import find_task
from memnet_core.tasks.deblock import jpeg_file
from memnet_core.training.data.clean_images import read_clean_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from memnet_core.evaluation.published import Figures
    from memnet_core.inference.engine import Engine
    from memnet_core.inference.settings import Channels
    from memnet_core.model.card import Card
    from memnet_core.model.registry import Entry
    from memnet_core.tasks import Task

__all__ = [
    "Sample",
    "color_sample",
    "default_levels",
    "evaluate",
    "evaluate_colors",
    "has_colors",
    "restored_colors",
    "restored_plane",
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


@dataclass(frozen=True)
class _Gray:
    """Score gray planes by the paper's protocol: the plain output of the network."""

    task: Task
    engine: Engine
    seed: int
    colors = False

    def sample(self, plane: NDArray[Any], level: float, number: int) -> Sample:
        """Degrade a clean plane; `number` seeds its noise."""
        clean = reference(plane, self.task, level)
        degraded = degraded_input(
            clean, self.task, level, seed=self.seed, number=number
        )
        return Sample(clean, degraded)

    def restored(self, sample: Sample, level: float) -> tuple[NDArray[Any], str]:
        """Return pixels in [0, 255], and the mode in which colors were restored."""
        value = self.task.level_map_value(level)
        return restored_plane(self.engine, sample.degraded, value), ""

    def scores(
        self, clean: NDArray[Any], image: NDArray[Any], level: float
    ) -> tuple[tuple[float, float], ...]:
        """Return PSNR and SSIM; for colors, a second pair for their luminance."""
        return (scores(clean, image, self.task, level),)


@dataclass(frozen=True)
class _Colors:
    """Score all three channels, and luminance; methods are as in `_Gray`."""

    task: Task
    settings: RestoreOptions
    seed: int
    colors = True

    def sample(self, plane: NDArray[Any], level: float, number: int) -> Sample:
        return color_sample(plane, self.task, level, seed=self.seed, number=number)

    def restored(self, sample: Sample, level: float) -> tuple[NDArray[Any], str]:
        return restored_colors(sample, replace(self.settings, level=level))

    def scores(
        self, clean: NDArray[Any], image: NDArray[Any], level: float
    ) -> tuple[tuple[float, float], ...]:
        return color_scores(clean, image, self.task, level)


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
    yield from _scored(_Gray(find_task(card.task), engine, seed), card, folder, levels)


def has_colors(folder: Path) -> bool:
    """Whether any clean image of a folder has colors; raises as `read_clean_images`."""
    planes = read_clean_images(folder, full_range=True, colors=True)
    return any(bool(np.any(plane[..., :1] != plane)) for _, plane in planes)


def evaluate_colors(
    entry: Entry,
    folder: Path,
    levels: Sequence[float] | None = None,
    *,
    channels: Channels | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Iterator[Evaluation]:
    """Score a model on color images, restored as `memnet batch` restores files.

    Images are degraded by JPEG with 4:2:0 chroma, by noise on all three channels, or
    by bicubic downscaling.

    Parameters
    ----------
    entry : Entry
        The model, from `memnet_core.model.registry.find_model`.
    folder : Path
        Clean images; gray ones count as three equal channels.
    levels : sequence of float, optional
        Levels to score; by default `default_levels`.
    channels, device : str, optional
        See `memnet_core.inference.settings.RestoreOptions`.
    seed : int
        Seed of the noise.

    Yields
    ------
    Evaluation
        Scores at one level.

    Raises
    ------
    LevelError, ImageError, EvaluationError
        As `evaluate`.
    UsageError
        If the model does not restore these channels.
    """
    settings = RestoreOptions(
        task=entry.card.task,
        model=str(entry.path.absolute()),
        channels=channels,
        device=device,
    )
    scoring = _Colors(find_task(settings.task), settings, seed)
    yield from _scored(scoring, entry.card, folder, levels)


def _scored(
    scoring: _Gray | _Colors, card: Card, folder: Path, levels: Sequence[float] | None
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
    # Baselines come first: a set that is not the published one is refused before
    # minutes are spent on restoring it. Noise is drawn again, to save memory.
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
            folder.name, level, tuple(images), tables.get(level, {}), ", ".join(modes)
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
    # BSD200 is scored at half its size in the paper.
    height, width = plane.shape
    half = imresize(plane.astype(np.float64), ((height + 1) // 2, (width + 1) // 2))
    return np.clip(np.floor(half + 0.5), 0, 255).astype(np.uint8)


def _samples(
    scoring: _Gray | _Colors, planes: list[tuple[str, NDArray[Any]]], level: float
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


def color_sample(
    plane: NDArray[Any], task: Task, level: float, *, seed: int, number: int
) -> Sample:
    """Degrade a color image.

    Parameters
    ----------
    plane : ndarray, shape (H, W, 3)
        Clean pixels in [0, 255].
    task, level
        Kind and level of the degradation.
    seed, number : int
        Seed of the noise; see `memnet_core.evaluation.protocol.noise`.

    Returns
    -------
    Sample
        Its source holds a JPEG file (uint8, with its coding), or float32 that may
        leave [0, 255].
    """
    clean = reference(plane, task, level)
    if task.undoes_jpeg:
        source = _jpeg_source(clean, round(level))
    else:
        pixels = task.ground_truth(clean, level, noise(level, seed=seed, number=number))
        source = ArraySource(pixels[None].astype(np.float32))
    degraded = source.stack[0].astype(np.float64)
    if task.scale(level) > 1:
        degraded = imresize(degraded, clean.shape[:2])
    return Sample(clean, degraded, source)


def restored_colors(
    sample: Sample, settings: RestoreOptions
) -> tuple[NDArray[np.float64], str]:
    """Restore the source of a sample as every entry point does.

    Parameters
    ----------
    sample : Sample
        Sample with a source.
    settings : RestoreOptions
        Settings; the range is 0 to 255.

    Returns
    -------
    ndarray of float64, shape (H, W, 3)
        Pixels in [0, 255]: whole numbers of a JPEG, else neither clipped nor rounded.
    str
        Mode in which colors were restored, see `RestorePlan.colors`.

    Raises
    ------
    ValueError
        If the sample has no source.
    MemnetError
        If it cannot be restored.
    """
    if sample.source is None:
        raise ValueError("The sample has no source.")
    settings = replace(settings, value_range=(0.0, 255.0), clean=False)
    prepared = prepare(sample.source, settings)
    shape = prepared.result_shape(sample.source.shape)
    result = np.empty(shape, sample.source.dtype)
    for _ in restore(sample.source, ArraySink(result), prepared):
        pass
    return result[0].astype(np.float64), prepared.decision.colors


def _jpeg_source(clean: NDArray[Any], quality: int) -> ArraySource:
    """Write a JPEG file with 4:2:0 chroma and read it back, with its coding."""
    pixels = np.clip(np.rint(clean), 0, 255).astype(np.uint8)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "degraded.jpg"
            path.write_bytes(jpeg_file(pixels, quality))
            with open_image(path) as image:
                rows, columns = (slice(0, side) for side in image.shape[1:3])
                stack = np.array(image.read(0, rows, columns))[None]
                return ArraySource(stack, image.jpeg_tables, image.jpeg_coding)
    except OSError as error:
        raise EvaluationError(
            f"A JPEG of {pixels.shape[0]}×{pixels.shape[1]} px cannot be written to "
            f"the temporary folder ({error}); make room there, or point TMPDIR "
            "elsewhere."
        ) from error


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
