"""Pictures of a training run: loss, gain, and a validation patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from memnet_core.training.events import Progress, Validated

__all__ = ["Curves"]

_FACE, _INK = "#262930", "#d6d6d6"


class Curves(FigureCanvasQTAgg):
    """Loss and PSNR over time, and a patch before and after."""

    def __init__(self) -> None:
        figure = Figure((4, 5), layout="constrained", facecolor=_FACE)
        super().__init__(figure)  # type: ignore[no-untyped-call]
        grid = figure.add_gridspec(3, 3, height_ratios=(1, 1, 1.1))
        self._loss = figure.add_subplot(grid[0, :])
        self._gain = figure.add_subplot(grid[1, :])
        self._patches = [figure.add_subplot(grid[2, i]) for i in range(3)]
        self.setMinimumHeight(380)
        self.clear()

    def clear(self) -> None:
        """Begin with empty axes."""
        self._points: list[tuple[float, float]] = []
        self._draw_loss()
        for axes in (self._gain, *self._patches):
            axes.clear()
            axes.set_axis_off()
        self.draw_idle()  # type: ignore[no-untyped-call]

    def add_loss(self, event: Progress) -> None:
        """Add a report."""
        self._points.append((event.minutes, event.loss))
        self._draw_loss()
        self.draw_idle()  # type: ignore[no-untyped-call]

    def add_validation(self, event: Validated) -> None:
        """Add a validation: the gain of every level, and the first patch."""
        axes = self._gain
        axes.clear()
        axes.set_axis_on()
        _style(axes, "minutes", "PSNR gain, dB")
        for level in event.psnr:
            points = [(p.minutes, p.psnr[level]) for p in event.curve]
            minutes, values = zip(*points, strict=True)
            before = event.input_psnr[level]
            axes.plot(minutes, [v - before for v in values], "o-", label=level)
        axes.axhline(0, color=_INK, linewidth=0.5)
        axes.legend(fontsize=7)
        if event.examples:
            example = event.examples[0]
            planes = (example.degraded, example.restored, example.clean)
            for axes, title, plane in zip(
                self._patches, ("before", "after", "clean"), planes, strict=True
            ):
                axes.clear()
                axes.set_axis_off()
                axes.imshow(plane, cmap="gray", vmin=0, vmax=255)
                axes.set_title(title, color=_INK, fontsize=8)
        self.draw_idle()  # type: ignore[no-untyped-call]

    def _draw_loss(self) -> None:
        self._loss.clear()
        _style(self._loss, "minutes", "loss")
        if self._points:
            self._loss.semilogy(*zip(*self._points, strict=True), ".-")


def _style(axes: object, x: str, y: str) -> None:
    """Make axes legible on napari's dark ground."""
    axes.set_facecolor(_FACE)  # type: ignore[attr-defined]
    axes.set_xlabel(x, color=_INK, fontsize=8)  # type: ignore[attr-defined]
    axes.set_ylabel(y, color=_INK, fontsize=8)  # type: ignore[attr-defined]
    axes.tick_params(colors=_INK, labelsize=7, which="both")  # type: ignore[attr-defined]
