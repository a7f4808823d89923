"""Draw the pictures of the plugin's guide in a real window: make screenshots.

    xvfb-run -a -s "-screen 0 1366x768x24" python docs/make_screenshots.py --all FOLDER

draws every widget instead, as it is on a small screen, in both themes, to be looked at.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import npe2
import numpy as np
import skimage.data
from PIL import Image
from qtpy.QtWidgets import QApplication, QPushButton

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent
REPOSITORY = DOCS.parent
WIDTH, HEIGHT = 1250, 850
SMALL_SCREEN = (1366, 768)
PLUGIN = "napari-memnet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--all", metavar="FOLDER", type=Path, help="every widget, in both themes"
    )
    folder = parser.parse_args().all
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["MEMNET_MODELS"] = str(Path(temporary, "models"))
        os.environ["MEMNET_SETTINGS"] = str(Path(temporary, "settings"))
        viewer = napari.Viewer(show=True)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            every_widget(viewer, folder)
        else:
            viewer.window.resize(WIDTH, HEIGHT)
            restore(viewer)
            compare(viewer)
            enlarge(viewer)
            batch(viewer, Path(temporary))
            train(viewer, Path(temporary))
            adapt(viewer)
        viewer.close()


def every_widget(viewer: Any, folder: Path) -> None:
    """Draw each widget of the manifest, its folds open in a second picture."""
    viewer.window.resize(*SMALL_SCREEN)
    viewer.open_sample(PLUGIN, "noisy_stack")
    manifest = npe2.PluginManager.instance().get_manifest(PLUGIN)
    for title in [each.display_name for each in manifest.contributions.widgets or ()]:
        dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, title)
        settle(widget)
        in_both_themes(viewer, folder, title)
        for fold in folds(widget):
            fold.click()
        in_both_themes(viewer, folder, f"{title} open")
        bar = widget.area.verticalScrollBar()
        if bar.maximum():
            bar.setValue(bar.maximum())
            in_both_themes(viewer, folder, f"{title} end")
        viewer.window.remove_dock_widget(dock)
        pause()


def folds(widget: Any) -> list[QPushButton]:
    """Return the buttons that unfold what seldom needs a change."""
    buttons = widget.findChildren(QPushButton)
    return [b for b in buttons if b.isCheckable() and b.isVisible()]


def settle(widget: Any) -> None:
    """Wait until a widget has what it begins with."""
    form = getattr(widget, "form", None)
    until(lambda: getattr(form, "is_ready", True))
    preview = getattr(widget, "preview", None)
    until(lambda: preview is None or not preview.is_running)


def in_both_themes(viewer: Any, folder: Path, name: str) -> None:
    for theme in ("dark", "light"):
        viewer.theme = theme
        pause(1)
        path = folder / f"{name.replace(' ', '-').lower()}-{theme}.png"
        viewer.window.screenshot(str(path), canvas_only=False, flash=False)
        with Image.open(path) as picture:
            lost = picture.width > SMALL_SCREEN[0] or picture.height > SMALL_SCREEN[1]
            size = f"{picture.width}×{picture.height}"
        print(path, f"{size}: too large for the screen" if lost else size)


def restore(viewer: Any) -> None:
    viewer.open_sample(PLUGIN, "noisy_stack")
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Restore")
    until(lambda: widget.form.is_ready and not widget.preview.is_running)
    shoot(viewer, "plugin-restore")
    widget.extent.value = "whole layer"
    widget.apply()
    until(lambda: widget.run.bar.value() > 300)
    shoot(viewer, "plugin-progress")
    until(lambda: widget.run.work is None)
    viewer.window.remove_dock_widget(dock)


def compare(viewer: Any) -> None:
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Compare")
    widget.split.value = True
    viewer.scene.camera.zoom *= 1.6
    shoot(viewer, "plugin-compare")
    viewer.window.remove_dock_widget(dock)
    clear(viewer)


def enlarge(viewer: Any) -> None:
    viewer.open_sample(PLUGIN, "small_image")
    viewer.reset_view()
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Restore")
    until(lambda: widget.form.is_ready)
    widget.form.task.value = "sr"
    widget.form.levels["sr"].value = 3
    viewer.scene.camera.zoom *= 2
    until(lambda: not widget.preview.is_running)
    shoot(viewer, "plugin-enlarge")
    viewer.window.remove_dock_widget(dock)
    clear(viewer)


def batch(viewer: Any, folder: Path) -> None:
    viewer.open_sample(PLUGIN, "jpeg_q10")
    viewer.reset_view()
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Restore a folder")
    until(lambda: widget.form.is_ready)
    widget.form.task.value = "deblock"
    widget.folder.value = REPOSITORY / "examples"
    widget.output.value = folder / "restored"
    widget.start()
    until(lambda: widget.run.work is None)
    shoot(viewer, "plugin-batch")
    viewer.window.remove_dock_widget(dock)


def train(viewer: Any, folder: Path) -> None:
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Train a model")
    widget.form.data.value = clean_pictures(folder / "clean")
    widget.form.out.value = folder
    widget.form.minutes.value = 3
    widget.start()
    until(lambda: widget.run.work is None)
    shoot(viewer, "plugin-train")
    viewer.window.remove_dock_widget(dock)


def adapt(viewer: Any) -> None:
    photograph: Any = skimage.data.camera()  # type: ignore[no-untyped-call]
    still = photograph[100:212, 160:272] / 255 * 20
    frames = 100 + 2 * np.random.default_rng(0).poisson(still, (6, *still.shape))
    layer = viewer.add_image(frames.astype(np.uint16), name="dim camera")
    viewer.reset_view()
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Adapt to a layer")
    widget.layer.value = layer
    widget.start()
    until(lambda: widget.run.work is None)
    shoot(viewer, "plugin-adapt")
    viewer.window.remove_dock_widget(dock)
    clear(viewer)


def clean_pictures(folder: Path) -> Path:
    """Write scikit-image's pictures, which are free of rights."""
    folder.mkdir()
    for name in ("astronaut", "camera", "chelsea", "coffee"):
        picture = Image.fromarray(getattr(skimage.data, name)())
        picture.save(folder / f"{name}.png")
    return folder


def clear(viewer: Any) -> None:
    """Remove the layers one by one: software renderers crash on all at once."""
    for layer in list(viewer.layers):
        viewer.layers.remove(layer)
        pause()


def pause(seconds: float = 0.5) -> None:
    """Let the window draw itself."""
    moment = time.monotonic() + seconds
    until(lambda: time.monotonic() > moment)


def until(condition: Callable[[], bool]) -> None:
    """Handle events until something is true."""
    while not condition():
        QApplication.processEvents()
        time.sleep(0.02)


def shoot(viewer: Any, name: str) -> None:
    """Save the window as it is now."""
    pause()
    path = DOCS / f"{name}.png"
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128).save(path, optimize=True)
    print(path.relative_to(REPOSITORY), f"{path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
