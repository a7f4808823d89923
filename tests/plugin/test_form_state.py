"""What forms remember."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_memnet.form_state import forget, recall, remember

if TYPE_CHECKING:
    import pytest


def test_what_is_remembered_is_recalled_until_it_is_forgotten() -> None:
    remember("form", {"task": "sr", "level": None, "low": 2.5})
    assert recall("form") == {"task": "sr", "level": None, "low": 2.5}
    assert recall("other") == {}
    forget("form")
    assert recall("form") == {}
    forget("form")


def test_a_damaged_file_and_a_folder_that_cannot_be_made_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.environ["MEMNET_SETTINGS"])
    folder.mkdir()
    (folder / "form.json").write_text("[1")
    assert recall("form") == {}
    (folder / "form.json").write_text("[1]")
    assert recall("form") == {}
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEMNET_SETTINGS", str(tmp_path / "file" / "below"))
    remember("form", {"task": "sr"})
    assert recall("form") == {}
