from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from memnet_core.training.recipes import config_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig

SIDE = 96


def smooth(rng: np.random.Generator, channels: int | None = None) -> Image.Image:
    """A smooth random picture."""
    shape = (6, 6) if channels is None else (6, 6, channels)
    small = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
    return small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


@pytest.fixture
def clean_images(tmp_path: Path) -> Path:
    """A folder with three smooth random pictures, one of them in color."""
    folder = tmp_path / "clean"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index, channels in enumerate((None, None, 3)):
        smooth(rng, channels).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def paired_images(tmp_path: Path) -> tuple[Path, Path]:
    """Folders with pictures that are darker by 40 in the first one."""
    low, high = tmp_path / "low", tmp_path / "high"
    low.mkdir()
    high.mkdir()
    rng = np.random.default_rng(1)
    for index in range(2):
        picture = np.asarray(smooth(rng)).clip(40)
        Image.fromarray(picture).save(high / f"{index}.png")
        Image.fromarray(picture - 40).save(low / f"{index}.png")
    return low, high


@pytest.fixture
def make_config(clean_images: Path, tmp_path: Path) -> Callable[..., TrainingConfig]:
    """Return a function that configures a short run of a tiny network."""

    def make(**changes: Any) -> TrainingConfig:
        settings: dict[str, Any] = {
            "data": [clean_images],
            "out": tmp_path / "run",
            "steps": 6,
            "architecture": {
                "memory_blocks": 2,
                "recursions": 1,
                "channels": 4,
                "unshuffle": 1,
            },
            "phases": [{"until": 1, "patch": 16, "batch": 2}],
            "recalibration_batches": 3,
            "warmup_steps": 2,
            "validations": 1,
        }
        config = config_from({**settings, **changes})
        config.out.mkdir(exist_ok=True)
        return config

    return make
