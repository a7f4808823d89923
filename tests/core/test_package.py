from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import memnet_core

HEAVY = ("torch", "napari", "qtpy", "PyQt6", "PySide6")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import memnet_core, sys; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", memnet_core.__all__)
def test_every_public_name_is_what_its_module_defines(name: str) -> None:
    value = getattr(memnet_core, name)
    assert isinstance(value, str) or value.__module__.startswith("memnet_core.")
    assert isinstance(value, str) or value.__name__ == name


def test_citation_is_of_this_version() -> None:
    file = Path(__file__).parents[2] / "CITATION.cff"
    citation = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert citation["version"] == memnet_core.__version__
    assert citation["license"] == "BSD-3-Clause"


def test_unknown_names_are_refused_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'denoise'"):
        memnet_core.denoise  # noqa: B018


def test_files_may_be_named_by_text(tmp_path: Path) -> None:
    path = str(tmp_path / "image.tif")
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    memnet_core.save_image(path, memnet_core.Image(pixels, "YX"))
    with memnet_core.open_image(path) as opened:
        assert opened.shape == (1, 3, 4, 1)
    model = str(tmp_path / "model.safetensors")
    shipped = memnet_core.find_model("sr")
    network, card = memnet_core.load_model(str(shipped.path))
    told = card.model_dump(exclude={"architecture", "sha256"})
    memnet_core.save_model(model, network, **told)
    assert memnet_core.read_card(model) == card
