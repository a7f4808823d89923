"""What forms remember, and presets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from memnet_core.errors import UsageError
from napari_memnet.form_state import (
    OF_FOLDERS,
    forget,
    load_preset,
    recall,
    remember,
    save_preset,
)
from napari_memnet.widgets.restore_form import RestorationForm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def form(models: None, qtbot: Any, wait: Any) -> Iterator[RestorationForm]:
    form = RestorationForm("test", for_layers=True)
    qtbot.addWidget(form)
    wait(lambda: form.is_ready)
    yield form
    form.close_down()


def said(form: RestorationForm) -> dict[str, Any]:
    return {name: field.value for name, field in form.kept.items()}


def test_a_preset_says_what_the_form_said(
    form: RestorationForm, tmp_path: Path
) -> None:
    path = tmp_path / "σ 12.yaml"
    form.automatic.value = False
    form.levels["denoise"].value = 12.5
    form.model.value = "noise"
    form.range.value = "pair"
    form.low.value, form.high.value = 5, 90
    form.exit_block.value = 1
    expected = said(form)
    save_preset(path, form.kept)
    form.restore_defaults()
    assert said(form) != expected
    load_preset(path, form.kept)
    assert said(form) == expected


def test_only_what_matters_for_the_task_is_written(
    form: RestorationForm, tmp_path: Path
) -> None:
    path = tmp_path / "enlarge.yaml"
    form.task.value = "sr"
    form.levels["sr"].value = 2
    save_preset(path, form.kept)
    written = yaml.safe_load(path.read_text("utf-8"))
    assert written["memnet preset"] == 1
    assert written["task"] == "sr"
    assert written["level sr"] == 2
    assert not written.keys() & {"level denoise", "level deblock", "low", "high"}


def test_json_is_read_and_what_only_folders_have_is_passed_over(
    form: RestorationForm, tmp_path: Path
) -> None:
    path = tmp_path / "folder.json"
    values = {"memnet preset": 1, "task": "deblock", **dict.fromkeys(OF_FOLDERS, "x")}
    path.write_text(json.dumps(values))
    load_preset(path, form.kept)
    assert form.task.value == "deblock"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no preset of MemNet"),
        ("[1, 2", "is no preset of MemNet"),
        ("task: denoise", "is no preset of MemNet"),
        ("memnet preset: !!timestamp x", "is no preset of MemNet"),
        ('memnet preset: 1\ntask: !!float ""', "is no preset of MemNet"),
        ("memnet preset: 1\ntask: !!bool x", "is no preset of MemNet"),
        ("memnet preset: 1\ntask: &a [*a, *a]", "is no preset of MemNet"),
        ("memnet preset: 1\n" + "a" * 2**17, "is no preset of MemNet"),
        ("memnet preset: 2\ntask: denoise", "of version 2, and version 1 is known"),
        ("memnet preset: 1\nsigma: 5", "sets 'sigma', which is no setting here"),
        ("memnet preset: 1\ntask: dehaze", "“task” cannot be 'dehaze' here"),
        ("memnet preset: 1\nautomatic: 1", "“measure the noise” cannot be 1 here"),
        ("memnet preset: 1\nlevel denoise: -3", "“noise σ” cannot be -3 here"),
        ("memnet preset: 1\nlevel denoise: true", "“noise σ” cannot be True here"),
        ("memnet preset: 1\ntask: sr\nmodel: gone", "needs the model 'gone'"),
        ("memnet preset: 1\nrange: [1]", "“intensity range” cannot be"),
    ],
)
def test_a_bad_file_is_one_sentence_and_changes_nothing(
    form: RestorationForm, tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    before = said(form)
    with pytest.raises(UsageError, match=r"bad\.yaml") as caught:
        load_preset(path, form.kept)
    assert sentence in str(caught.value)
    assert said(form) == before


def test_files_that_cannot_be_read_or_written_are_one_sentence(
    form: RestorationForm, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_preset(tmp_path / "nothing.yaml", form.kept)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="no preset"):
        load_preset(tmp_path / "binary.yaml", form.kept)
    with pytest.raises(UsageError, match="cannot be written: "):
        save_preset(tmp_path / "no" / "folder.yaml", form.kept)


@pytest.mark.usefixtures("models")
def test_fields_of_the_owner_are_remembered_with_the_form(
    qtbot: Any, wait: Callable[..., None]
) -> None:
    from napari_memnet.widgets.batch import BatchWidget

    first = BatchWidget()
    qtbot.addWidget(first)
    wait(lambda: first.form.is_ready)
    first.format.value, first.recursive.value = "tiff", True
    first.overwrite.value = True
    first.close()
    second = BatchWidget()
    qtbot.addWidget(second)
    wait(lambda: second.form.is_ready)
    assert (second.format.value, second.recursive.value) == ("tiff", True)
    # What makes work undone is not remembered.
    assert not second.overwrite.value
    second.form.restore_defaults()
    assert (second.format.value, second.recursive.value) == ("auto", False)
    second.close()


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
