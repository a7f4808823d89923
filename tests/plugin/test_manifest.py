from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from npe2 import PluginManifest

REPOSITORY = Path(__file__).parents[2]


def test_manifest_is_found_through_the_installed_distribution() -> None:
    manifest = PluginManifest.from_distribution("napari-memnet")
    assert manifest.name == distribution("napari-memnet").metadata["Name"]


def test_manifest_at_the_top_is_the_one_that_ships() -> None:
    link = REPOSITORY / "napari.yaml"
    shipped = REPOSITORY / "src" / "napari_memnet" / "napari.yaml"
    assert link.resolve() == shipped


def test_base_dependencies_carry_neither_napari_nor_qt() -> None:
    required = distribution("napari-memnet").requires or []
    base = [line for line in required if "extra ==" not in line]
    assert base
    assert not [
        line for line in base if "napari" in line.lower() or "qt" in line.lower()
    ]
