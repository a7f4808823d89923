"""Pictures of a training run: loss, gain, and a validation patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure

from napari_memnet.widgets.plot_theme import colours_of, paint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from memnet_core.training.events import Progress, Validated

__all__ = ["Curves"]

_BASELINE = "baseline"


class Curves(FigureCanvasQTAgg):
    """Loss and PSNR over time, and a patch before and after, in colours of a theme.

    Parameters
    ----------
    theme : str
        Name of napari's theme.
    """

    def __init__(self, theme: str) -> None:
        figure = Figure((4, 5), layout="constrained")
        super().__init__(figure)  # type: ignore[no-untyped-call]
        grid = figure.add_gridspec(3, 3, height_ratios=(1, 1, 1.1))
        self._loss = figure.add_subplot(grid[0, :])
        self._gain = figure.add_subplot(grid[1, :])
        self._patches = [figure.add_subplot(grid[2, i]) for i in range(3)]
        self.setMinimumHeight(380)
        self.setAccessibleName("Loss, gain in PSNR, and a patch")
        self._points: list[tuple[float, float]] = []
        self.follow(theme)
        self.clear()

    def follow(self, theme: str) -> None:
        """Take the colours of a theme from now on."""
        self._colours = colours_of(theme)
        self._paint()

    def clear(self) -> None:
        """Begin with empty axes."""
        self._points = []
        self._draw_loss()
        for axes in (self._gain, *self._patches):
            axes.clear()
            axes.set_axis_off()
        self._paint()

    def add_loss(self, event: Progress) -> None:
        """Add a report."""
        self._points.append((event.minutes, event.loss))
        self._draw_loss()
        self._paint()

    def add_validation(self, event: Validated) -> None:
        """Add a validation: the gain of every level, and the first patch."""
        axes = self._gain
        axes.clear()
        axes.set_axis_on()
        _label(axes, "PSNR gain, dB")
        for level in event.psnr:
            points = [(p.minutes, p.psnr[level]) for p in event.curve]
            minutes, values = zip(*points, strict=True)
            before = event.input_psnr[level]
            axes.plot(minutes, [v - before for v in values], "o-", label=level)
        axes.axhline(0, linewidth=0.5, label=f"_{_BASELINE}")
        axes.legend(fontsize=7)
        if event.examples:
            example = event.examples[0]
            planes = (example.degraded, example.restored, example.clean)
            for axes, title, plane in zip(
                self._patches, ("before", "after", "clean"), planes, strict=True
            ):
                axes.clear()
                axes.set_axis_off()
                shown = plane.clip(0, 255).round().astype("uint8")
                axes.imshow(shown, cmap="gray", vmin=0, vmax=255)
                axes.set_title(title, fontsize=8)
        self._paint()

    def _draw_loss(self) -> None:
        self._loss.clear()
        _label(self._loss, "loss")
        if self._points:
            self._loss.semilogy(*zip(*self._points, strict=True), ".-")

    def _paint(self) -> None:
        """Give all that is drawn the colours of the theme."""
        paint(self.figure, self._colours)
        for line in self._gain.get_lines():
            if line.get_label() == f"_{_BASELINE}":
                line.set_color(self._colours.ink)
        self.draw_idle()  # type: ignore[no-untyped-call]


def _label(axes: Axes, quantity: str) -> None:
    axes.set_xlabel("minutes", fontsize=8)
    axes.set_ylabel(quantity, fontsize=8)
    axes.tick_params(labelsize=7, which="both")
