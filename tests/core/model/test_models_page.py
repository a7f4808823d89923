"""``docs/models.md`` is what the cards of the shipped models say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.skipif(not DOCS.exists(), reason="docs/ is not part of the sdist")
def test_page_of_models_is_made_from_their_cards(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "make_models", DOCS / "make_models.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__file__ = str(tmp_path / "make_models.py")
    module.main()
    made = (tmp_path / "models.md").read_text(encoding="utf-8")
    assert made == (DOCS / "models.md").read_text(encoding="utf-8")
