"""Plots of training and of scores, in the colors of the theme."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from napari.utils.theme import get_theme
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from memnet_core.errors import MemnetError
from napari_memnet.jobs.worker import Work
from napari_memnet.scores import scores_along, stack_of
from napari_memnet.widgets.run_bar import StartButton

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from memnet_core.training.events import TrainingProgress, Validated

__all__ = ["Colors", "Curves", "ScorePlot", "colors_of", "paint"]


class Colors(NamedTuple):
    """Of what is behind a plot and of what is drawn on it, as ``#rrggbb``."""

    face: str
    ink: str


def colors_of(theme: str) -> Colors:
    """Return the colors of a theme, by its name in napari."""
    found = get_theme(theme)
    return Colors(found.background.as_hex(), found.text.as_hex())


def paint(figure: Figure, colors: Colors) -> None:
    """Give all of a figure but its lines and images the colors of a theme."""
    face, ink = colors
    figure.set_facecolor(face)
    for axes in figure.axes:
        axes.set_facecolor(face)
        axes.tick_params(colors=ink, which="both")
        inked = [axes.xaxis.label, axes.yaxis.label, axes.title]
        if legend := axes.get_legend():
            legend.get_frame().set_facecolor(face)
            inked += legend.get_texts()
        for text in inked:
            text.set_color(ink)
        for spine in axes.spines.values():
            spine.set_edgecolor(ink)


_BASELINE = "baseline"


class Curves(FigureCanvasQTAgg):
    """Loss and PSNR over time, and a patch before and after, in colors of a theme.

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
        """Take the colors of a theme from now on."""
        self._colors = colors_of(theme)
        self._paint()

    def clear(self) -> None:
        """Begin with empty axes."""
        self._points = []
        self._draw_loss()
        for axes in (self._gain, *self._patches):
            axes.clear()
            axes.set_axis_off()
        self._paint()

    def add_loss(self, event: TrainingProgress) -> None:
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
        """Give all that is drawn the colors of the theme."""
        paint(self.figure, self._colors)
        for line in self._gain.get_lines():
            if line.get_label() == f"_{_BASELINE}":
                line.set_color(self._colors.ink)
        self.draw_idle()  # type: ignore[no-untyped-call]


def _label(axes: Axes, quantity: str) -> None:
    axes.set_xlabel("minutes", fontsize=8)
    axes.set_ylabel(quantity, fontsize=8)
    axes.tick_params(labelsize=7, which="both")


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Image
    from napari.viewer import Viewer
    from qtpy.QtGui import QWheelEvent

    from napari_memnet.scores import Scores, Stack

    Asked = Callable[[], tuple[Image, Sequence[Image]] | None]

_START, _STOP = "Score every slice", "Stop scoring"
_NAMES = ("before", "after")
_COLORS = ("#e08214", "#3a8fd9")
"""Orange and blue, which also the color-blind tell apart, on dark and on light."""

_HEIGHT = 260


class _Canvas(FigureCanvasQTAgg):
    """A figure over which the wheel scrolls the dock that it is in."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class ScorePlot(QWidget):  # type: ignore[misc]
    """PSNR and SSIM over the slices, before and after; a click goes to a slice.

    Parameters
    ----------
    viewer : Viewer
        Its sliders and its theme are followed.
    asked : callable
        Returns the clean image and the layers before and after, or None.
    tell : callable
        Is told why there are no scores.

    Attributes
    ----------
    ended : Signal
        All slices are scored, or it was stopped.
    """

    ended = Signal()

    def __init__(
        self, viewer: Viewer, asked: Asked, tell: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._asked = asked
        self._tell = tell
        self._work: Work | None = None
        self._stack: Stack | None = None
        self._reference: Image | None = None
        self.found: dict[int, tuple[Scores | None, ...]] = {}
        self.button = StartButton(_START)
        self.button.setToolTip("PSNR and SSIM of each slice, against the clean image.")
        self.button.clicked.connect(self._on_click)
        self.figure = Figure((4, 3), layout="constrained")
        self.canvas = _Canvas(self.figure)  # type: ignore[no-untyped-call]
        self.canvas.setMinimumHeight(_HEIGHT)
        self.canvas.setAccessibleName("PSNR and SSIM of every slice")
        self.canvas.mpl_connect("button_press_event", self._on_press)
        self._axes = self.figure.subplots(2, 1, sharex=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.canvas)
        self.canvas.hide()
        viewer.dims.events.current_step.connect(self._mark)
        viewer.events.theme.connect(self._draw)

    @property
    def is_running(self) -> bool:
        """Whether slices are being scored."""
        return self._work is not None

    def clear(self) -> None:
        """Forget scores of layers that are not compared any more."""
        self._stop()
        self._stack, self._reference, self.found = None, None, {}
        self.canvas.hide()

    def close_down(self) -> None:
        """Stop, and let go of the viewer."""
        self._stop()
        self._viewer.dims.events.current_step.disconnect(self._mark)
        self._viewer.events.theme.disconnect(self._draw)

    def _on_click(self) -> None:
        if self._work is not None:
            self._stop()
            return
        asked = self._asked()
        if asked is None:
            self._tell("Choose the layers, and a clean image to score them against.")
            return
        reference, layers = asked
        try:
            self._stack = stack_of(self._viewer, reference, layers)
        except MemnetError as error:
            self._tell(str(error))
            return
        self.found, self._reference = {}, reference
        self._work = Work(
            scores_along(self._stack),
            "MemNet: scores",
            fraction=partial(_fraction, len(self._stack.places)),
            parent=self,
        )
        self._work.yielded.connect(self._on_scored)
        self._work.ended.connect(partial(self._on_ended, self._work))
        self.button.setText(_STOP)
        self.canvas.show()
        self._draw()

    def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _on_scored(self, event: tuple[int, tuple[Scores | None, ...]]) -> None:
        if self._stack is None:
            return
        position, found = event
        self.found[position] = found
        self._draw()

    def _on_ended(self, work: Work) -> None:
        if self._work is work:
            self._work = None
            self.button.setText(_START)
            self.ended.emit()

    def _draw(self, event: Any = None) -> None:
        if self._stack is None:
            return
        colors = colors_of(str(self._viewer.theme))
        for axes, title, value in zip(
            self._axes, ("PSNR, dB", "SSIM"), ("psnr", "ssim"), strict=True
        ):
            axes.clear()
            axes.set_ylabel(title, fontsize=8)
            axes.tick_params(labelsize=7)
            for number, (name, color) in enumerate(zip(_NAMES, _COLORS, strict=True)):
                points = [
                    (position, _finite(getattr(scored, value)))
                    for position, found in sorted(self.found.items())
                    if (scored := found[number]) is not None
                ]
                x, y = zip(*points, strict=True) if points else ((), ())
                axes.plot(x, y, ".-", color=color, label=name)
            axes.set_xlim(-0.5, len(self._stack.places) - 0.5)
        self._axes[1].set_xlabel(self._axis_name(), fontsize=8)
        self._axes[0].legend(fontsize=7, edgecolor=colors.ink, loc="best")
        paint(self.figure, colors)
        ink = colors.ink
        self._lines = [axes.axvline(0, color=ink, lw=0.8) for axes in self._axes]
        self._mark()

    def _axis_name(self) -> str:
        assert self._stack is not None
        assert self._reference is not None
        label = str(self._reference.axis_labels[self._stack.axis])
        return "slice" if label.lstrip("-").isdigit() else label

    def _mark(self, event: Any = None) -> None:
        """Draw where the slider is."""
        if self._stack is None or self._reference is None:
            return
        point = self._reference.world_to_data(self._viewer.dims.point)
        for line in self._lines:
            line.set_xdata([point[self._stack.axis]] * 2)
        self.canvas.draw_idle()  # type: ignore[no-untyped-call]

    def _on_press(self, event: Any) -> None:
        """Go to the slice that was clicked."""
        if self._stack is None or self._reference is None or event.xdata is None:
            return
        last = len(self._stack.places) - 1
        index = list(self._reference.world_to_data(self._viewer.dims.point))
        index[self._stack.axis] = min(max(round(event.xdata), 0), last)
        world = self._reference.data_to_world(index)
        axis = self._stack.axis + self._viewer.dims.ndim - self._reference.ndim
        self._viewer.dims.set_point(axis, world[self._stack.axis])


def _fraction(count: int, event: tuple[int, Any]) -> float:
    return (event[0] + 1) / count


def _finite(value: float) -> float:
    """Return a score that can be drawn; that of equal planes cannot."""
    return value if math.isfinite(value) else math.nan
