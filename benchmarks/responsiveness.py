"""How long napari's window stands still while a stack is restored; previews' times.

    xvfb-run -a python benchmarks/responsiveness.py

Restores a stack of 20 planes of 2048×2048 px with the shipped denoising model until a
time has passed since its first rows, then cancels. A timer that is due every 10 ms
notes how late it comes. Two cores take about two minutes.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_memnet.layers.view import LARGEST_SIDE
from napari_memnet.widgets.restore import RestoreWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TICK_MS = 10
PATIENCE = 100
"""Seconds to wait for the first rows of the stack at most."""


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


def noisy(*shape: int) -> NDArray[np.uint16]:
    """Return planes of 12 bits with structure, and noise of about σ 15 of 255."""
    rng = np.random.default_rng(0)
    rows, columns = (np.sin(np.arange(side) / 40) for side in shape[-2:])
    picture = 2000 + 900 * rows[:, None] * columns
    noise = rng.normal(0, 150, shape)
    return np.asarray((picture + noise).clip(0, 4095), np.uint16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    seconds = parser.parse_args().seconds
    viewer = napari.Viewer(show=True)
    beat = Heartbeat()
    widget = RestoreWidget(viewer)
    viewer.window.add_dock_widget(widget)
    until(lambda: widget.form.is_ready)
    print(f"longest block while PyTorch is imported: {beat.longest:.2f} s")
    previews(viewer, widget)
    widget.live.value = False
    until(lambda: not widget.preview.is_running)
    plane = noisy(2048, 2048)
    stack = np.broadcast_to(plane, (20, *plane.shape))
    viewer.add_image(stack, name="stack", contrast_limits=(100, 4000))
    widget.extent.value = "whole layer"
    strips: list[float] = []
    widget.apply()
    assert widget.run.work is not None
    widget.run.work.advanced.connect(lambda *_: strips.append(time.perf_counter()))
    beat.reset()
    start = time.perf_counter()

    def is_over() -> bool:
        late = time.perf_counter() - start > PATIENCE
        enough = len(strips) > 3 and strips[-1] - strips[0] > seconds
        return enough or late or widget.run.work is None

    until(is_over)
    if len(strips) < 4:
        raise SystemExit(f"It came to nothing: {widget.run.status.text()}")
    print(
        f"longest block in {strips[-1] - start:.0f} s of restoring: "
        f"{1e3 * beat.longest:.0f} ms; the first rows came after "
        f"{strips[0] - start:.1f} s"
    )
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
    layer = viewer.add_image(np.zeros((64, 64), np.uint16), name="picture")
    until(lambda: not widget.preview.is_running)
    for side in (128, 512, 4096):
        pixels = noisy(side, side)
        start = time.perf_counter()
        layer.data = pixels
        viewer.reset_view()
        until(lambda: not widget.preview.is_running)
        first = time.perf_counter() - start
        start = time.perf_counter()
        widget.preview.refresh()
        until(lambda: not widget.preview.is_running)
        later = time.perf_counter() - start
        told = widget.seen.text()
        if not told.startswith("Preview of"):
            raise SystemExit(f"There is no preview: {told}")
        shown = min(side, LARGEST_SIDE)
        print(
            f"preview of {side}×{side} px ({shown}×{shown} computed at most): "
            f"{first:.1f} s after the image is there, {later:.1f} s after a change"
        )


if __name__ == "__main__":
    main()
