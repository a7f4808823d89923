"""Fixtures for the restore widget and its preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_memnet.widgets.restore import RestoreWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


@pytest.fixture
def noise() -> Callable[..., NDArray[np.uint8]]:
    """Make pixels of a shape; they depend on the shape alone."""

    def noise(*shape: int) -> NDArray[np.uint8]:
        return np.random.default_rng(0).integers(0, 255, shape, np.uint8)

    return noise


@pytest.fixture
def widget(models: None, viewer: Any, dock: Any, wait: Any) -> Iterator[RestoreWidget]:
    """Dock the widget and wait until it can be used; its preview is off."""
    widget = dock(RestoreWidget(viewer))
    widget.live.value = False
    wait(lambda: widget.form.is_ready)
    yield widget
    widget.close()
    wait(lambda: widget.run.work is None and not widget.preview.is_running)
