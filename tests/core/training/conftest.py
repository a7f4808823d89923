from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from memnet_core.training.config import TrainingConfig, validated_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 96


@pytest.fixture
def clean_images(tmp_path: Path) -> Path:
    """A folder with three smooth random pictures, one of them in colour."""
    folder = tmp_path / "clean"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index, shape in enumerate(((6, 6), (6, 6), (6, 6, 3))):
        small = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
        large = small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        large.save(folder / f"{index}.png")
    return folder


@pytest.fixture
def make_config(clean_images: Path, tmp_path: Path) -> Callable[..., TrainingConfig]:
    """Return a function that configures a run of about a second on a tiny network."""

    def make(**changes: Any) -> TrainingConfig:
        out = tmp_path / "run"
        out.mkdir(exist_ok=True)
        settings: dict[str, Any] = {
            "data": [clean_images],
            "out": out,
            "minutes": 1 / 60,
            "architecture": {"memory_blocks": 2, "recursions": 1, "channels": 4},
            "phases": [{"until": 1, "patch": 16, "batch": 2}],
            "recalibration_batches": 3,
            "report_every": 0.2,
            "warmup_steps": 2,
        }
        return validated_config(**{**settings, **changes})

    return make
