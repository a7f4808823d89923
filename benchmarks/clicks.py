"""How many clicks three common jobs take in napari's window, and what comes of them.

    xvfb-run -a -s "-screen 0 1366x768x24" python benchmarks/clicks.py

Drives a real window with the mouse and the keyboard, as one who opened an image would:
menus, lists, buttons and fields are clicked at the place where they are seen, and paths
are typed. Counted are presses of the mouse, from a window without a dock of ours; what
has to be scrolled to is counted beside. The results are compared with what noise was
added to. With the `src` of an earlier commit first in PYTHONPATH it counts what that
took; where no widget serves all layers at once, it goes through them one by one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import skimage.data
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

CHILDREN = Qt.FindChildOption.FindDirectChildrenOnly
LEFT = Qt.MouseButton.LeftButton
FILTER = ("&Layers", "Filter", "Restore (")
ONE_CLICK = ("&Layers", "Filter", "Remove noise from the selected layers")
FOLDER = ("&File", "IO Utilities", "Restore a folder")
PATIENCE = 200
"""Seconds to wait for a result."""

REACTION = 15
"""Seconds to wait for the window to show what is to be clicked."""


class Missing(Exception):
    """There is no such widget or entry of a menu, or it had not the effect it has."""


@dataclass
class Hand:
    """A hand on the mouse and on the keyboard.

    Attributes
    ----------
    window : QWidget
        The window that it works in.
    clicks, typed, scrolled : int
        What it did: presses of the mouse, texts, and widgets scrolled to.
    """

    window: QWidget
    clicks: int = 0
    typed: int = 0
    scrolled: int = 0
    steps: list[str] = field(default_factory=list)

    def click(self, widget: QWidget, at: QPoint | None = None, name: str = "") -> None:
        """Press the left button at a place of a widget, which has to be seen there."""
        self._scroll_to(widget)
        at = at or widget.rect().center()
        if isinstance(widget, QCheckBox):
            at = QPoint(8, widget.rect().center().y())
        end = time.monotonic() + REACTION
        while not is_at(widget, at):
            pause(0.1)
            if time.monotonic() > end:
                raise Missing(f"{name or widget} cannot be seen at its place")
        found = QApplication.widgetAt(widget.mapToGlobal(at))
        QTest.mouseClick(found, LEFT, pos=found.mapFromGlobal(widget.mapToGlobal(at)))
        self.clicks += 1
        self.steps.append(name)
        pause(0.3)

    def menu(self, *path: str) -> None:
        """Choose an entry of the menus, by the beginnings of the names on the way."""
        bar = self.window.menuBar()
        menu: Any = bar
        for name in path:
            action = next(
                (a for a in menu.actions() if plain(a.text()).startswith(plain(name))),
                None,
            )
            if action is None:
                raise Missing(f"no {name!r} in the menu")
            if not action.isEnabled():
                raise Missing(f"{name!r} is gray in the menu")
            self.click(menu, menu.actionGeometry(action).center(), plain(name))
            if name != path[-1]:
                menu = action.menu()
                until(menu.isVisible)
                pause(0.5)

    def button(self, text: str) -> None:
        """Press the button that says something."""
        self.click(self.find(QPushButton, lambda b: b.text() == text), name=text)

    def choose(self, label: str, text: str) -> None:
        """Choose an entry of the list with a label."""
        box = self._beside(label, QComboBox)
        if box.currentText() == text:
            return
        self.click(box, name=label)
        view = box.view()
        row = box.findText(text)
        if row < 0:
            raise Missing(f"no {text!r} in {label!r}")
        # So soon after a list was opened Qt ignores what is clicked in it.
        pause(QApplication.doubleClickInterval() / 1000)
        place = view.visualRect(view.model().index(row, 0)).center()
        self.click(view.viewport(), place, text)
        if box.currentText() != text:
            raise Missing(f"{text!r} could not be chosen in {label!r}")

    def write(self, label: str, text: str) -> None:
        """Click into the field with a label, and type."""
        line = self._beside(label, QLineEdit)
        self.click(line, name=label)
        QTest.keyClicks(line, text)
        QTest.keyClick(line, Qt.Key.Key_Tab)
        self.typed += 1
        pause(0.3)
        if line.text() != text:
            raise Missing(f"{text!r} could not be typed into {label!r}")

    def find(self, kind: type, is_it: Callable[[Any], bool]) -> Any:
        """Return the visible widget of a kind that is meant."""
        for widget in self.window.findChildren(kind):
            if widget.isVisible() and is_it(widget):
                return widget
        raise Missing(f"no {kind.__name__} of that name")

    def _beside(self, label: str, kind: type) -> Any:
        """Return the field of a kind that is beside a label."""
        text = self.find(QLabel, lambda x: x.text() == label)
        fields = [x for x in text.parentWidget().findChildren(kind) if x.isVisible()]
        if not fields:
            raise Missing(f"no field beside {label!r}")
        return fields[0]

    def _scroll_to(self, widget: QWidget) -> None:
        if not widget.visibleRegion().isEmpty():
            return
        parent = widget.parentWidget()
        while parent is not None:
            if isinstance(parent, QScrollArea):
                parent.ensureWidgetVisible(widget)
                self.scrolled += 1
                pause(0.3)
            parent = parent.parentWidget()


def is_at(widget: QWidget, at: QPoint) -> bool:
    """Whether a widget, or a part of it, is what is seen at its place."""
    found = QApplication.widgetAt(widget.mapToGlobal(at))
    return found is not None and (found is widget or widget.isAncestorOf(found))


@dataclass
class Job:
    """What a job took, and what came of it."""

    name: str
    clicks: int
    typed: int
    scrolled: int
    gain: float
    told: str
    steps: list[str]

    def __str__(self) -> str:
        return (
            f"| {self.name} | {self.clicks} | {self.typed} | {self.scrolled} | "
            f"{self.gain:+.1f} dB | {self.told} |"
        )


def main() -> None:
    jobs = []
    known = (one_slice, two_channels, two_channels_one_click, folder_of_files)
    wanted = sys.argv[1:] or [job.__name__ for job in known]
    for job in [job for job in known if job.__name__ in wanted]:
        with tempfile.TemporaryDirectory() as temporary:
            for name in ("MODELS", "SETTINGS"):
                os.environ[f"MEMNET_{name}"] = str(Path(temporary, name.lower()))
            viewer = napari.Viewer(show=True)
            viewer.window.resize(1366, 768)
            pause(1)
            try:
                jobs.append(job(viewer, Path(temporary)))
                print(jobs[-1], jobs[-1].steps, file=sys.stderr)
            except Missing as missing:
                print(f"{job.__name__}: {missing}", file=sys.stderr)
            finally:
                viewer.close()
                pause(1)
    print("| job | clicks | paths typed | scrolled | gain | it says |")
    print("|---|---|---|---|---|---|")
    for done_job in jobs:
        print(done_job)
    for done_job in jobs:
        print(f"{done_job.name}: {' › '.join(done_job.steps)}")


def one_slice(viewer: Any, folder: Path) -> Job:
    clean = picture(4, brightest=30_000)
    noisy = camera(clean)
    viewer.add_image(noisy, name="cells")
    hand = Hand(window_of(viewer))
    hand.menu(*FILTER)
    restored = run(viewer, hand, "Restore", 1)
    place = viewer.dims.current_step[0]
    gain = psnr(clean[place], restored[0].data) - psnr(clean[place], noisy[place])
    return done("one slice of a stack", hand, gain)


def two_channels(viewer: Any, folder: Path) -> Job:
    clean, noisy = add_channels(viewer)
    hand = Hand(window_of(viewer))
    hand.menu(*FILTER)
    ready(hand)
    if has(hand, QCheckBox, lambda b: "selected layers" in b.text()):
        hand.choose("restore", "whole layer")
        restored = run(viewer, hand, "Restore", 2)
    else:
        restored = []
        for name in ("bright", "dim"):
            hand.choose("layer", name)
            hand.choose("restore", "whole layer")
            restored += run(viewer, hand, "Restore", 1)
    return done("a stack of two channels", hand, gains(clean, noisy, restored))


def two_channels_one_click(viewer: Any, folder: Path) -> Job:
    clean, noisy = add_channels(viewer)
    hand = Hand(window_of(viewer))
    known = {id(layer) for layer in viewer.layers}
    hand.menu(*ONE_CLICK)
    until(lambda: len(added(viewer, known)) == 2)
    pause(1)
    gain = gains(clean, noisy, added(viewer, known))
    return done("the same from the menu", hand, gain)


def folder_of_files(viewer: Any, folder: Path) -> Job:
    source, output = folder / "images", folder / "restored"
    source.mkdir()
    clean = {f"{n}.tif": picture(1, brightest=b)[0] for n, b in enumerate((900, 4000))}
    noisy = {name: camera(pixels) for name, pixels in clean.items()}
    for name, pixels in noisy.items():
        tifffile.imwrite(source / name, pixels)
    hand = Hand(window_of(viewer))
    hand.menu(*FOLDER)
    ready(hand)
    hand.write("images in", str(source))
    hand.write("results to", str(output))
    hand.button("Restore folder")
    until(lambda: has(hand, QPushButton, lambda b: b.text() == "Restore folder"))
    found = [tifffile.imread(path) for path in sorted(output.glob("*.tif"))]
    assert all(pixels.dtype == np.uint16 for pixels in found)
    gain = np.mean(
        [
            psnr(clean[name], pixels) - psnr(clean[name], noisy[name])
            for name, pixels in zip(sorted(clean), found, strict=True)
        ]
    )
    return done("a folder of 16-bit files", hand, float(gain))


def add_channels(viewer: Any) -> tuple[list[Any], list[Any]]:
    """Add two channels as napari opens them, a bright and a dim one; both selected."""
    clean = [picture(3, brightest=30_000), picture(3, brightest=600)]
    noisy = [camera(channel) for channel in clean]
    viewer.add_image(
        np.stack(noisy),
        channel_axis=0,
        name=["bright", "dim"],
        colormap=["green", "red"],
    )
    viewer.layers.selection = set(viewer.layers)
    return clean, noisy


def run(viewer: Any, hand: Hand, button: str, count: int) -> list[Any]:
    """Press a button, wait for results, and return their layers."""
    ready(hand)
    known = {id(layer) for layer in viewer.layers}
    hand.button(button)
    until(lambda: len(added(viewer, known)) == count)
    until(lambda: has(hand, QPushButton, lambda b: b.text() == button))
    pause(1)
    return added(viewer, known)


def added(viewer: Any, known: set[int]) -> list[Any]:
    """Return the layers that were added, without previews."""
    return [
        layer
        for layer in viewer.layers
        if id(layer) not in known and "preview" not in layer.name
    ]


def ready(hand: Hand) -> None:
    """Wait until a dock of ours can be used."""
    titles = ("Restore", "Restore folder")
    until(
        lambda: has(hand, QPushButton, lambda b: b.text() in titles and b.isEnabled())
    )


def has(hand: Hand, kind: type, is_it: Callable[[Any], bool]) -> bool:
    try:
        hand.find(kind, is_it)
    except Missing:
        return False
    return True


def done(name: str, hand: Hand, gain: float) -> Job:
    labels = [x for x in hand.window.findChildren(QLabel) if x.isVisible()]
    told = [x.text() for x in labels if x.wordWrap() and is_of_run(x)]
    text = " ".join(told).replace("\u200b", "").replace("\n", " ")
    return Job(name, hand.clicks, hand.typed, hand.scrolled, gain, text, hand.steps)


def is_of_run(label: QLabel) -> bool:
    """Whether a label stands below a button that starts something."""
    parents = (label.parentWidget(), label.parentWidget().parentWidget())
    return any(
        parent and parent.findChild(QPushButton, options=CHILDREN) for parent in parents
    ) and not label.accessibleName().startswith(("About", "What the preview"))


def gains(clean: list[Any], noisy: list[Any], layers: Iterable[Any]) -> float:
    """Return the smaller gain of the two channels."""
    found = {layer.name.split(",")[0].split(" ")[0]: layer.data for layer in layers}
    pairs = zip(("bright", "dim"), clean, noisy, strict=True)
    return min(psnr(c, found[name]) - psnr(c, n) for name, c, n in pairs)


def picture(planes: int, brightest: float) -> NDArray[np.float64]:
    """Return planes of 128×128 px with structure."""
    photograph: Any = skimage.data.camera()  # type: ignore[no-untyped-call]
    small = photograph[::4, ::4].astype(np.float64)
    shifted = [np.roll(small, 9 * n, 1) for n in range(planes)]
    return np.asarray(shifted) / 255 * brightest + 100


def camera(clean: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return what a camera of 16 bits makes of it: noise of 8 % of the range."""
    noise = np.random.default_rng(0).normal(0, 0.08 * np.ptp(clean), clean.shape)
    return np.asarray((clean + noise).clip(0, 65535), np.uint16)


def psnr(clean: NDArray[Any], found: NDArray[Any]) -> float:
    """Return the PSNR over the range of the clean image, which has as many planes."""
    clean, found = clean.squeeze(), np.asarray(found, np.float64).squeeze()
    if clean.shape != found.shape:
        raise Missing(f"the result is of {found.shape}, not of {clean.shape}")
    error = found - clean
    return float(20 * np.log10(np.ptp(clean) / np.sqrt(np.mean(error**2))))


def window_of(viewer: Any) -> QWidget:
    return viewer.window._qt_window


def plain(text: str) -> str:
    return text.replace("&", "")


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end)
    # What became due while the last events were handled.
    QApplication.processEvents()


def until(condition: Callable[[], bool]) -> None:
    """Handle events until something is true, with patience."""
    end = time.monotonic() + PATIENCE
    while not condition():
        QApplication.processEvents()
        time.sleep(0.01)
        if time.monotonic() > end:
            raise TimeoutError("it takes too long")


if __name__ == "__main__":
    main()
