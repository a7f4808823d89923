"""Formats as objects: the list, and what a new one takes."""

from __future__ import annotations

import doctest
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.errors import ImageError
from memnet_core.io import (
    FORMATS,
    Format,
    Image,
    format_named,
    open_image,
    probe,
    registry,
    save_image,
    suffix_of_format,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_names_and_suffixes_belong_to_one_format_each() -> None:
    names = [known.name for known in FORMATS]
    endings = [ending for known in FORMATS for ending in known.endings]
    assert len(set(names)) == len(names)
    assert len(set(endings)) == len(endings)
    assert all(format_named(name).name == name for name in names)


def test_a_format_makes_files_or_is_made_by_shards_or_is_only_read() -> None:
    assert all(known.create is None for known in FORMATS if known.by_shards)
    only_read = [known.name for known in FORMATS if not known.is_written]
    assert only_read == ["movie"]


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Add the format of the example of `Format` to the list."""
    (example,) = (
        case for case in doctest.DocTestFinder().find(Format, globs={}) if case.examples
    )
    runner = doctest.DocTestRunner()
    result = runner.run(example, clear_globs=False)
    assert result.failed == 0
    scope = example.globs
    monkeypatch.setattr(registry, "FORMATS", (*FORMATS, scope["TEXT"]))
    return scope["TEXT"]


def test_a_new_format_is_one_object(text: Any, tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = tmp_path / "a.rows"
    assert save_image(path, Image(pixels, "YX")) == ()
    assert probe(path).shape == (3, 4)
    with open_image(path) as file:
        assert file.format == "Text"
        np.testing.assert_array_equal(file.image().pixels, pixels)
    renamed = path.rename(tmp_path / "a.png")
    with open_image(renamed) as file:
        assert file.format == "Text"
    assert suffix_of_format("text", path) == ".rows"
    with pytest.raises(ImageError, match="text holds one gray picture of 8 bits"):
        save_image(path, Image(pixels.astype(np.uint16), "YX"))
