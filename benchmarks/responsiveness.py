"""How long napari's window stands still while a stack is restored; previews' times.

    xvfb-run -a python benchmarks/responsiveness.py

Restores a stack of 20 planes of 2048×2048 px with the shipped denoising model until a
time has passed, then cancels. A timer that is due every 10 ms notes how late it comes.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_memnet.view import LARGEST_SIDE
from napari_memnet.widgets.restore import RestoreWidget

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_MS = 10


class Heartbeat:
    """Notes the longest time between two events of the event loop, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(TICK_MS)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    def reset(self) -> None:
        """Begin anew."""
        self._last = time.perf_counter()
        self.longest = 0.0


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    seconds = parser.parse_args().seconds
    viewer = napari.Viewer(show=True)
    beat = Heartbeat()
    widget = RestoreWidget(viewer)
    viewer.window.add_dock_widget(widget)
    until(lambda: widget.form.is_ready)
    print(f"longest block while PyTorch is imported: {beat.longest:.2f} s")
    previews(viewer, widget)
    rng = np.random.default_rng(0)
    stack = rng.integers(100, 4000, (20, 2048, 2048), np.uint16)
    widget.live.value = False
    viewer.add_image(stack, name="stack", contrast_limits=(100, 4000))
    widget.extent.value = "whole layer"
    until(lambda: not widget.preview.is_running)
    strips: list[float] = []
    widget.apply()
    assert widget.run.work is not None
    widget.run.work.advanced.connect(lambda *_: strips.append(time.perf_counter()))
    beat.reset()
    start = time.perf_counter()
    until(lambda: time.perf_counter() - start > seconds and len(strips) > 3)
    print(f"longest block in {seconds:g} s of restoring: {1e3 * beat.longest:.0f} ms")
    asked = time.perf_counter()
    widget.run.cancel()
    until(lambda: widget.run.work is None)
    waited = time.perf_counter() - asked
    steps = np.diff(strips)
    print(
        f"cancelled after {waited:.2f} s; {len(strips)} strips, the longest "
        f"{steps.max():.2f} s, in the mean {steps.mean():.2f} s"
    )
    viewer.close()


def previews(viewer: Any, widget: RestoreWidget) -> None:
    """Print how long a preview takes against the size of the image."""
    rng = np.random.default_rng(0)
    layer = viewer.add_image(np.zeros((64, 64), np.uint16), name="picture")
    for side in (128, 256, 512, 1024, 2048, 4096):
        layer.data = rng.integers(100, 4000, (side, side), np.uint16)
        viewer.reset_view()
        until(lambda: not widget.preview.is_running)
        start = time.perf_counter()
        widget.preview.refresh()
        until(lambda: not widget.preview.is_running)
        shown = min(side, LARGEST_SIDE)
        print(
            f"preview of {side}×{side} px ({shown}×{shown} computed at most): "
            f"{time.perf_counter() - start:.1f} s after the last change"
        )


if __name__ == "__main__":
    main()
