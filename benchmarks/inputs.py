"""What benchmarks/quality.py measures: images, levels, and how they are scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peer_networks import SHARED

from memnet_core.evaluation.protocol import (
    color_scores,
    degraded_input,
    reference,
    scores,
)
from memnet_core.evaluation.run import Sample, color_sample
from memnet_core.image_ops.color import rgb2ycbcr_luminance
from memnet_core.tasks import TASKS
from memnet_core.training.data.clean_images import read_clean_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.tasks import Task

__all__ = ["BENCHMARKS", "Benchmark"]

BENCH = SHARED / "data" / "bench"
SEED = 0


@dataclass(frozen=True)
class Benchmark:
    """A task on a set of images; pictures show the middle level.

    Attributes
    ----------
    title : str
        What tables and pictures call it.
    task : Task
        What is restored.
    folder : str
        Folder of the clean images.
    levels : tuple of int
        What is scored.
    middle : int
        The level of pictures.
    input_name : str
        What the degraded images are called.
    colors : bool
        Whether colors are degraded, restored and scored.
    reads_colors : bool
        Whether colors are read, for systems that see them, and luminance is scored.
    """

    title: str
    task: Task
    folder: str
    levels: tuple[int, ...]
    middle: int
    input_name: str
    colors: bool = False
    reads_colors: bool = False

    @property
    def dataset(self) -> str:
        """What cards call the set: its folder and, for colors, what is scored."""
        return f"{self.folder} (RGB)" if self.colors else self.folder

    def planes(self) -> list[NDArray[Any]]:
        """Return the clean images, (H, W) or (H, W, 3)."""
        images = read_clean_images(
            BENCH / self.folder,
            full_range=self.task.full_range,
            colors=self.colors or self.reads_colors,
        )
        return [plane for _, plane in images]

    def sample(self, plane: NDArray[Any], level: int, number: int = 0) -> Sample:
        """Degrade a clean image of `planes`."""
        task = self.task
        if self.colors:
            return color_sample(plane, task, level, seed=SEED, number=number)
        source = None
        if self.reads_colors:
            small = color_sample(plane, task, level, seed=SEED, number=number)
            source, plane = small.source, rgb2ycbcr_luminance(plane)
        clean = reference(plane, task, level)
        degraded = degraded_input(clean, task, level, seed=SEED, number=number)
        return Sample(clean, degraded, source)

    def scores(
        self, sample: Sample, image: NDArray[Any], level: int
    ) -> tuple[float, float]:
        """Return PSNR in dB and SSIM of an image."""
        if self.colors:
            return color_scores(sample.clean, image, self.task, level)[0]
        return scores(sample.clean, image, self.task, level)


BENCHMARKS: dict[str, Benchmark] = {
    "deblock": Benchmark(
        "JPEG deblocking", TASKS["deblock"], "classic5", (5, 10, 20, 40), 20, "JPEG"
    ),
    "denoise": Benchmark(
        "Denoising", TASKS["denoise"], "S14", (30, 50, 70), 50, "Noisy"
    ),
    "sr": Benchmark(
        "Super-resolution",
        TASKS["sr"],
        "Set5",
        (2, 3, 4),
        3,
        "Bicubic",
        reads_colors=True,
    ),
    "deblock-color": Benchmark(
        "JPEGs in color",
        TASKS["deblock"],
        "Set5",
        (10, 20, 40),
        20,
        "JPEG",
        colors=True,
    ),
    "denoise-color": Benchmark(
        "Denoising in color",
        TASKS["denoise"],
        "Set5",
        (30, 50, 70),
        50,
        "Noisy",
        colors=True,
    ),
}
"""By what PEERS calls them."""
