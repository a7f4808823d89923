"""One-click commands, as the menu calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.tasks.deblock import luminance_table
from napari_memnet import commands

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("models")


@pytest.mark.parametrize(
    ("command", "name", "factor"),
    [
        (commands.deblock, "cells deblocked", 1),
        (commands.denoise, "cells denoised", 1),
        (commands.enlarge_twice, "cells enlarged", 2),
    ],
)
def test_the_selected_layer_is_restored_into_a_new_one(
    viewer: Any, wait: Any, command: Callable[..., None], name: str, factor: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 20, 24), np.uint8)
    viewer.add_image(np.zeros((8, 8), np.uint8), name="other")
    tables = (tuple(luminance_table(30).tolist()),)
    viewer.add_image(pixels, name="cells", metadata={"memnet": {"jpeg_tables": tables}})
    command(viewer)
    wait(lambda: len(viewer.layers) == 3)
    result = viewer.layers[-1]
    assert result.name == name
    assert result.data.shape == (2, 20 * factor, 24 * factor)
    assert result.metadata["memnet"]["source"]["layer"] == "cells"


def test_a_quality_that_is_not_known_is_asked_for_in_one_sentence(
    viewer: Any, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("napari_memnet.workers.show_error", shown.append)
    viewer.add_image(np.zeros((20, 24), np.uint8), name="cells")
    commands.deblock(viewer)
    wait(lambda: bool(shown))
    assert "give it as a number" in shown[0]
    assert len(viewer.layers) == 1


def test_without_a_selected_image_it_is_one_sentence(
    viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", shown.append)
    viewer.add_points(np.zeros((2, 2)))
    commands.denoise(viewer)
    assert shown == ["Select one image layer first."]
