"""Pictures to run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def picture(tmp_path: Path, write_picture: Callable[..., Path]) -> Callable[..., Path]:
    """Write a picture of noise under a name."""

    def picture(name: str, *shape: int, quality: int = 75) -> Path:
        return write_picture(tmp_path / "in" / name, *shape, quality=quality)

    return picture
