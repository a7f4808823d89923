"""Scores by the paper's protocol (section 4): what the tables of the field report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memnet_core.checkpoint import Score
from memnet_core.degradations import jpeg
from memnet_core.metrics import psnr, ssim
from memnet_core.training.data import read_luminance_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["deblocking_scores"]


def deblocking_scores(
    restore: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    folder: Path,
    qualities: Iterable[int],
) -> list[Score]:
    """Score JPEG deblocking on the luminance of the images in a folder.

    Parameters
    ----------
    restore : callable
        Takes and returns a plane of shape (H, W), values in [0, 1]; its result is
        neither rounded nor clipped.
    folder : Path
        Clean images.
    qualities : iterable of int
        JPEG qualities.

    Returns
    -------
    list of Score
        Means over the folder, one for each quality.
    """
    clean = read_luminance_folder(folder)
    scores = []
    for quality in qualities:
        rows = []
        for plane in clean:
            degraded = jpeg(plane, quality)
            restored = 255 * restore((degraded / 255).astype(np.float32))
            images = (degraded, restored)
            rows.append([m(plane, image) for image in images for m in (psnr, ssim)])
        input_psnr, input_ssim, output_psnr, output_ssim = np.mean(rows, axis=0)
        scores.append(
            Score(
                dataset=folder.name,
                level=quality,
                input_psnr=round(float(input_psnr), 4),
                input_ssim=round(float(input_ssim), 5),
                psnr=round(float(output_psnr), 4),
                ssim=round(float(output_ssim), 5),
            )
        )
    return scores
