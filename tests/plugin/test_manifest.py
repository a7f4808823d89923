"""The manifest, and what napari makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from npe2 import PluginManifest

from napari_memnet.form_state import Preferences, preferences

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-memnet")


def test_manifest_is_found_through_the_installed_distribution(
    manifest: PluginManifest,
) -> None:
    assert manifest.name == distribution("napari-memnet").metadata["Name"]


def test_manifest_at_the_top_is_the_one_that_ships() -> None:
    link = REPOSITORY / "napari.yaml"
    shipped = REPOSITORY / "src" / "napari_memnet" / "napari.yaml"
    assert link.resolve() == shipped


def test_base_dependencies_carry_neither_napari_nor_qt_bindings() -> None:
    required = distribution("napari-memnet").requires or []
    names = [line.lower() for line in required if "extra ==" not in line]
    assert names
    forbidden = ("napari", "pyqt", "pyside")
    assert not [line for line in names if line.startswith(forbidden)]


def test_everything_that_the_manifest_names_can_be_imported(
    manifest: PluginManifest,
) -> None:
    manifest.validate_imports()


def test_restoring_is_in_the_filter_menu_and_batches_among_the_utilities(
    manifest: PluginManifest,
) -> None:
    menus = {
        name: [getattr(item, "command", None) for item in items]
        for name, items in manifest.contributions.menus.items()
    }
    assert menus["napari/layers/filter"][0] == "napari-memnet.restore"
    assert menus["napari/file/io_utilities"] == ["napari-memnet.batch"]


def test_commands_for_layers_need_a_selected_image(
    manifest: PluginManifest,
) -> None:
    commands = manifest.contributions.commands or []
    conditions = {c.id: c.enablement for c in commands if c.id.endswith("_selected")}
    assert len(conditions) == 3
    assert set(conditions.values()) == {"num_selected_image_layers >= 1"}


@pytest.mark.parametrize(
    "name",
    ["Restore", "Restore a folder", "Train a model", "Adapt to a layer", "Compare"],
)
def test_napari_opens_each_widget_and_closes_it(
    make_napari_viewer: Any, npe2pm: Any, manifest: PluginManifest, name: str, wait: Any
) -> None:
    npe2pm.register(manifest)
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-memnet", name)
    form = getattr(widget, "form", None)
    wait(lambda: form is None or form.is_ready)
    assert name in dock.name
    viewer.window.remove_dock_widget(dock)


def test_layers_are_saved_through_the_writer(
    make_napari_viewer: Any, npe2pm: Any, manifest: PluginManifest, tmp_path: Path
) -> None:
    npe2pm.register(manifest)
    viewer = make_napari_viewer()
    layer = viewer.add_image(np.zeros((3, 20, 24), np.uint16))
    path = tmp_path / "out.ome.tif"
    assert layer.save(str(path), plugin="napari-memnet") == [str(path)]
    assert path.exists()


def test_the_reader_opens_what_was_saved_and_what_others_wrote(
    make_napari_viewer: Any, npe2pm: Any, manifest: PluginManifest, tmp_path: Path
) -> None:
    npe2pm.register(manifest)
    viewer = make_napari_viewer()
    layer = viewer.add_image(np.zeros((3, 20, 24), np.uint16), scale=(2, 0.5, 0.5))
    path = tmp_path / "out.ome.tif"
    layer.save(str(path), plugin="napari-memnet")
    (back,) = viewer.open(str(path), plugin="napari-memnet")
    np.testing.assert_array_equal(back.scale, (2, 0.5, 0.5))
    (folder,) = layer.save(str(tmp_path / "out.ome.zarr"), plugin="napari-memnet")
    (back,) = viewer.open(folder, plugin="napari-memnet")
    np.testing.assert_array_equal(back.scale, (2, 0.5, 0.5))
    foreign = tmp_path / "foreign.ome.tif"
    size = {"axes": "ZYX", "PhysicalSizeZ": 4}
    tifffile.imwrite(foreign, np.zeros((3, 20, 24), np.uint16), metadata=size)
    (opened,) = viewer.open(str(foreign), plugin="napari-memnet")
    np.testing.assert_array_equal(opened.scale, (4, 1, 1))
    # Plain TIFFs are none of its business.
    plain = [r.plugin_name for r in npe2pm.iter_compatible_readers(["a.tif"])]
    assert "napari-memnet" not in plain


def test_preferences_are_what_the_user_chose(
    plugin_settings: None, npe2pm: Any, manifest: PluginManifest
) -> None:
    assert preferences() == Preferences("auto", "")
    npe2pm.register(manifest)
    from napari.settings import get_plugin_settings

    chosen = get_plugin_settings("napari-memnet").inference
    chosen.device = "cpu"
    assert preferences() == Preferences("cpu")


@pytest.mark.parametrize("binding", ["pyqt6", "pyside6"])
def test_widgets_can_be_imported_with_each_binding(binding: str) -> None:
    modules = ["restore", "batch", "train", "compare"]
    code = "; ".join(
        [f"import napari_memnet.widgets.{module}" for module in modules]
        + ["import qtpy, sys", "print(qtpy.API_NAME.lower())"]
        + ["sys.exit('torch' in sys.modules)"]
    )
    environment = os.environ | {"QT_API": binding, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == binding


def test_no_widget_file_is_longer_than_400_lines() -> None:
    folder = REPOSITORY / "src" / "napari_memnet"
    lengths = {p.name: len(p.read_text().splitlines()) for p in folder.rglob("*.py")}
    assert max(lengths.values()) <= 400
