"""Removing what JPEG compression left: blocks, ringing, lost detail."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from memnet_core.errors import LevelError
from memnet_core.jpeg.coding import (
    _WELL_FITTING,
    chroma_table,
    estimate_quality,
    luminance_table,
)
from memnet_core.tasks.base import LevelField, LevelFound, Levels, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.jpeg.traces import EarlierJpeg
    from memnet_core.tasks.base import Tables

__all__ = ["Deblock", "draw_whole_chroma", "jpeg", "jpeg_file"]


_UNIT = 16
"""Pixels after which JPEG repeats: blocks of 8×8 samples, of chroma every other one."""

_SMOOTHED = 2
"""Pixels that the chroma of one block reaches into the next when it is enlarged."""

_WHOLE_CHROMA_SHARE = 0.25
"""Of color JPEGs to learn from, those that keep all samples of chroma."""


class Deblock(Task):
    """Removing JPEG blocks; a level is a quality on libjpeg's scale of 1 to 100."""

    name = "deblock"
    title = "Remove JPEG blocks"
    result = "deblocked"
    quantity = "JPEG quality"
    symbol = "q"
    option = "q"
    help = "JPEG quality 1-100.  [default: auto, read from the JPEG file]"
    bounds = (1, 100)
    whole = True
    undoes_jpeg = True
    mildest = 95
    field = LevelField(
        label="JPEG quality",
        value=10,
        low=1,
        high=100,
        tooltip="As programs that write JPEG call it; lower is smaller and worse.",
    )
    recipe_levels: ClassVar = {
        "fast": Levels.between(5, 75),
        "paper": Levels.listed(10, 20),
        "pairs": Levels.between(1, 100),
    }
    validation_levels = (10, 20, 40)
    standard_levels = (10, 20)
    table = 5

    def level_map_value(self, level: float) -> float:
        """Return log(1 + s)/log(51), s being libjpeg's factor of the steps.

        Quality 50 has the factor 1, quality 1 has 50.
        """
        factor = 50 / level if level < 50 else 2 - level / 50
        return math.log(1 + factor) / math.log(51)

    def accepts_nearest(self, level: float, nearest: float) -> bool:
        """Accept it beyond q 5 and q 98; see `Task.accepts_nearest`.

        A network for q 5 and up gains 1.7 to 1.9 dB on Set5 of q 1 to 4, and at q 99
        and 100 some 0.6 dB, most of it in chroma that was subsampled (``python
        benchmarks/jpegs.py --ends``).
        """
        return level < nearest <= 5 or 98 <= nearest < level

    def at_strength(self, level: float, strength: float) -> float:
        """Return the quality of so much stronger compression; see `Task.at_strength`.

        It is no whole number.
        """
        factor = math.pow(51, strength * self.level_map_value(level)) - 1
        return 50 / factor if factor > 1 else 50 * (2 - factor)

    def estimate(
        self, jpeg_tables: Tables, earlier: EarlierJpeg | None = None
    ) -> LevelFound:
        """Find the quality of the coarsest compression; see `Task.estimate`."""
        if earlier and not jpeg_tables:
            return LevelFound(earlier.quality, str(earlier))
        if not jpeg_tables:
            raise LevelError(
                "There are no JPEG quantization tables to read the quality from; "
                "give it as a number."
            )
        found = estimate_quality(jpeg_tables[0])
        remark = f"q {found.quality} by its quantization table"
        if found.misfit > _WELL_FITTING:
            remark += f" (nearest: steps differ by {found.misfit:.0%})"
        if earlier and earlier.quality < found.quality:
            return LevelFound(earlier.quality, f"{earlier}, then {remark}")
        return LevelFound(found.quality, remark)

    def degrade(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Compress as JPEG, which rounds and clips; see `Task.degrade`."""
        pixels = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
        is_whole = plane.ndim == 3 and draw_whole_chroma(rng)
        compressed = jpeg(pixels, round(level), subsampled=not is_whole)
        return compressed.astype(np.float64)

    def period(self, level: float) -> int:
        """Return after how many pixels the blocks of all components begin anew."""
        return _UNIT

    def receptive_margin(self, level: float) -> int:
        """Return how far enlarged chroma reaches."""
        return _SMOOTHED

    def draw_level(self, levels: Levels, rng: np.random.Generator) -> float:
        """Draw a whole quality, from a range on a log scale."""
        return float(round(super().draw_level(levels, rng)))


def draw_whole_chroma(rng: np.random.Generator) -> bool:
    """Draw whether a color JPEG to learn from keeps all samples of chroma."""
    return bool(rng.random() < _WHOLE_CHROMA_SHARE)


def jpeg(
    pixels: NDArray[np.uint8],
    quality: int,
    *,
    subsampled: bool = True,
    chroma_quality: int | None = None,
) -> NDArray[np.uint8]:
    """Compress and decompress as baseline JPEG (libjpeg, islow DCT).

    Parameters
    ----------
    pixels, quality, subsampled, chroma_quality
        As for `jpeg_file`.
    """
    from PIL import Image

    file = io.BytesIO(
        jpeg_file(pixels, quality, subsampled=subsampled, chroma_quality=chroma_quality)
    )
    with Image.open(file) as image:
        return np.asarray(image)


def jpeg_file(
    pixels: NDArray[np.uint8],
    quality: int,
    *,
    subsampled: bool = True,
    chroma_quality: int | None = None,
) -> bytes:
    """Return pixels as the content of a baseline JPEG file.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W) or (H, W, 3)
        Gray or RGB pixels; 8×8 blocks begin at the upper left corner.
    quality : int
        Quality 1 to 100 on the scale of libjpeg and MATLAB's ``imwrite``.
    subsampled : bool
        Whether the chroma of colors keeps one sample of 2×2 (4:2:0), as most do.
    chroma_quality : int, optional
        Quality of the table for chroma; `quality` by default.
    """
    from PIL import Image

    buffer = io.BytesIO()
    chroma = "4:2:0" if subsampled else "4:4:4"
    if chroma_quality in (None, quality):
        settings: dict[str, Any] = {"quality": quality}
    else:
        tables = luminance_table(quality), chroma_table(chroma_quality)
        settings = {"qtables": [table.tolist() for table in tables]}
    Image.fromarray(pixels).save(buffer, "JPEG", subsampling=chroma, **settings)
    return buffer.getvalue()
