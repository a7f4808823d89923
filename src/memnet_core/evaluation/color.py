"""Evaluation on color images, restored as `memnet_core.restore` does by default."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import EvaluationError
from memnet_core.evaluation.protocol import color_scores, noise, reference
from memnet_core.evaluation.run import Sample, scored
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
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from memnet_core.evaluation.report import Evaluation
    from memnet_core.inference.settings import Channels
    from memnet_core.model.registry import Entry
    from memnet_core.tasks import Task

__all__ = ["color_sample", "evaluate_colors", "has_colors", "restored_colors"]


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
        Levels to score; by default `memnet_core.evaluation.run.default_levels`.
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
        As `memnet_core.evaluation.run.evaluate`.
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
    yield from scored(scoring, entry.card, folder, levels)


@dataclass(frozen=True)
class _Colors:
    """Score all three channels, and luminance."""

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
    prepared = prepare(sample.source, replace(settings, value_range=(0.0, 255.0)))
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
