"""What an evaluation finds: scores of images, their means, pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.evaluation.published import Figures

__all__ = ["Crop", "Evaluation", "ImageScore", "Luminance"]


@dataclass(frozen=True)
class Luminance:
    """PSNR in dB and SSIM of the luminance of colours, degraded and restored."""

    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class ImageScore:
    """PSNR in dB and SSIM of one image, degraded and restored.

    They are those of a gray plane, or of all three colours. Then `luminance` has those
    of their luminance.
    """

    image: str
    level: float
    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float
    luminance: Luminance | None = None


@dataclass(frozen=True)
class Crop:
    """The centre of an image, degraded and restored: uint8, (H, W) or (H, W, 3)."""

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
    published : dict of str to (float, float or None)
        PSNR and SSIM of other systems, for known sets.
    crops : tuple of Crop
        Centres of the first images.
    colours : str
        How colours were restored, where they are scored, such as ``joint``; nothing for
        gray planes.
    """

    dataset: str
    level: float
    images: tuple[ImageScore, ...]
    published: dict[str, Figures]
    crops: tuple[Crop, ...]
    colours: str = ""

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
        luminances = [row.luminance for row in self.counted if row.luminance]
        return ImageScore(
            "mean",
            self.level,
            *_means(self.counted),
            luminance=Luminance(*_means(luminances)) if luminances else None,
        )


def _means(rows: Iterable[ImageScore | Luminance]) -> tuple[float, float, float, float]:
    values = [(row.input_psnr, row.input_ssim, row.psnr, row.ssim) for row in rows]
    before, similarity, after, restored = (
        sum(column) / len(column) for column in zip(*values, strict=True)
    )
    return before, similarity, after, restored
