"""One-click commands, as the menu calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.jpeg.coding import luminance_table
from napari_memnet import commands
from napari_memnet.widgets.restore_runner import one_click

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("models")


@pytest.mark.parametrize(
    ("command", "name", "factor"),
    [
        (commands.deblock, "cells deblocked q 30 by blocks", 1),
        (commands.denoise, "cells denoised σ ", 1),
        (commands.enlarge_twice, "cells enlarged × 2 by large", 2),
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
    assert result.name.startswith(name)
    assert result.data.shape == (2, 20 * factor, 24 * factor)
    assert result.metadata["memnet"]["source"]["layer"] == "cells"


def test_a_quality_that_is_not_known_is_asked_for_in_one_sentence(
    viewer: Any, wait: Any
) -> None:
    viewer.add_image(np.zeros((20, 24), np.uint8), name="cells")
    commands.deblock(viewer)
    run = one_click(viewer).run
    wait(lambda: run.work is None)
    assert "give it as a number" in run.status.text()
    assert len(viewer.layers) == 1


def test_without_a_selected_image_it_is_one_sentence(
    viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", shown.append)
    viewer.add_points(np.zeros((2, 2)))
    commands.denoise(viewer)
    assert shown == ["Select an image layer first."]


def test_all_selected_layers_are_restored_and_it_is_said_how(
    viewer: Any, wait: Any
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 20, 24), np.uint8)
    viewer.add_image(pixels, channel_axis=0, name=["red", "green"])
    viewer.layers.selection = set(viewer.layers)
    commands.denoise(viewer)
    dock = one_click(viewer)
    assert dock.what.text() == "Remove noise: red, green"
    assert dock.run.button.text() == "Cancel"
    wait(lambda: dock.run.work is None)
    names = [layer.name.split()[0] for layer in viewer.layers]
    assert names == ["red", "red", "green", "green"]
    assert "model noise" in dock.run.status.text()


def test_a_command_can_be_cancelled(
    viewer: Any, wait: Any, gate: threading.Event
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 40, 48), np.uint8)
    viewer.add_image(pixels, name="cells")
    commands.denoise(viewer)
    run = one_click(viewer).run
    wait(lambda: "model noise" in run.status.text())
    run.button.click()
    gate.set()
    wait(lambda: run.work is None)
    assert run.status.text() == "Cancelled."
    assert len(viewer.layers) == 1


def test_a_command_asks_before_it_takes_a_model_that_is_trained_for_other_levels(
    viewer: Any, wait: Any, models_folder: Path, install: Callable[..., Path]
) -> None:
    (models_folder / "noise.safetensors").unlink()
    install("strong", 50, 255, task="denoise")
    viewer.add_image(np.full((40, 48), 9, np.uint8), name="flat")
    commands.denoise(viewer)
    run = one_click(viewer).run
    wait(lambda: run.work is None)
    assert "is milder than σ 50" in run.status.text()
    assert len(viewer.layers) == 1
    run.status.accept.click()
    wait(lambda: run.work is None)
    assert len(viewer.layers) == 2
