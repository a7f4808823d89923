"""The batch widget: a folder, file by file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from qtpy.QtWidgets import QApplication

from memnet_core.inference.engine import Engine
from napari_memnet.widgets.batch import BatchWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def folder(tmp_path: Path, write_picture: Callable[..., Path]) -> Path:
    for name in ("a.png", "b.jpg", "deeper/c.png"):
        write_picture(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def widget(dock: Any, wait: Any, folder: Path) -> Iterator[BatchWidget]:
    widget = dock(BatchWidget())
    wait(lambda: widget.form.is_ready)
    widget.folder.value = folder
    widget.output.value = folder.parent / "out"
    widget.form.automatic.value = False
    yield widget
    widget.close()
    wait(lambda: widget.run.work is None)


def statuses(widget: BatchWidget) -> dict[str, str]:
    rows = range(widget.table.rowCount())
    return {widget.table.item(r, 0).text(): widget.status_of(r) for r in rows}


def test_every_file_of_the_folder_is_restored_and_listed(
    widget: BatchWidget, folder: Path, wait: Any
) -> None:
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    told = statuses(widget)
    assert set(told) == {"a.png", "b.jpg"}
    assert all(status.startswith("done in ") for status in told.values())
    assert widget.run.status.text() == "2 restored."
    written = sorted(path.name for path in (folder.parent / "out").iterdir())
    assert written == ["a.png", "b.png"]
    before, after = (
        np.asarray(PillowImage.open(path))
        for path in (folder / "a.png", folder.parent / "out" / "a.png")
    )
    assert before.shape == after.shape
    assert not np.array_equal(before, after)


def test_subfolders_are_mirrored_on_request(
    widget: BatchWidget, folder: Path, wait: Any
) -> None:
    widget.recursive.value = True
    widget.start()
    wait(lambda: widget.run.work is None)
    assert (folder.parent / "out" / "deeper" / "c.png").exists()


def test_a_bad_file_does_not_stop_the_others_and_says_why(
    widget: BatchWidget, folder: Path, wait: Any
) -> None:
    (folder / "aa.png").write_bytes(b"no picture")
    widget.start()
    wait(lambda: widget.run.work is None)
    told = statuses(widget)
    assert told["aa.png"].startswith("failed: ")
    assert "it is no PNG, TIFF, JPEG, WebP, BMP, GIF or movie" in told["aa.png"]
    assert widget.run.status.text() == "2 restored, 1 failed."


def test_cancelling_stops_between_strips_and_restoring_again_goes_on(
    widget: BatchWidget, folder: Path, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, original, runs = threading.Event(), Engine.stream, []

    def held(self: Engine, *args: Any) -> Iterator[Any]:
        runs.append(1)
        is_first_file = len(runs) == 1
        for rows in original(self, *args):
            if not is_first_file:
                gate.wait(20)
            yield rows

    monkeypatch.setattr(Engine, "stream", held)
    widget.start()
    wait(lambda: len(runs) == 2)
    widget.run.button.click()
    assert widget.run.button.text() == "Cancelling…"
    gate.set()
    wait(lambda: widget.run.work is None)
    assert "nothing is half-written" in widget.run.status.text()
    assert [path.name for path in (folder.parent / "out").iterdir()] == ["a.png"]
    assert statuses(widget)["a.png"].startswith("done in ")
    assert statuses(widget)["b.jpg"] == "waiting"
    widget.start()
    wait(lambda: widget.run.work is None)
    assert widget.run.status.text() == "1 restored, 1 skipped."
    assert statuses(widget)["a.png"] == "there already"


def test_results_are_redone_on_request(
    widget: BatchWidget, folder: Path, wait: Any
) -> None:
    out = folder.parent / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"old")
    widget.overwrite.value = True
    widget.start()
    wait(lambda: widget.run.work is None)
    assert widget.run.status.text() == "2 restored."
    assert (out / "a.png").read_bytes() != b"old"


def test_missing_folders_are_asked_for(widget: BatchWidget) -> None:
    widget.output.value = None
    widget.start()
    assert "Choose a folder" in widget.run.status.text()
    assert widget.run.work is None


@pytest.mark.parametrize(
    ("inner", "sentence"),
    [("nowhere", "is no folder"), ("deeper/empty", "No images found")],
)
def test_a_folder_without_images_is_one_sentence(
    widget: BatchWidget, folder: Path, wait: Any, inner: str, sentence: str
) -> None:
    (folder / "deeper" / "empty").mkdir()
    widget.folder.value = folder / inner
    widget.start()
    wait(lambda: widget.run.work is None)
    assert sentence in widget.run.status.text()
    assert widget.run.button.text() == "Restore folder"


def test_a_level_that_no_model_is_trained_for_is_a_question_after_the_others(
    widget: BatchWidget,
    folder: Path,
    wait: Any,
    models_folder: Path,
    install: Callable[..., Path],
) -> None:
    (models_folder / "noise.safetensors").unlink()
    install("strong", 5, 255, task="denoise")
    PillowImage.new("L", (40, 40), 90).save(folder / "flat.png")
    widget.form.automatic.value = True
    widget.start()
    wait(lambda: widget.run.work is None)
    told = widget.run.status.text()
    assert told.startswith("2 restored, 1 skipped. For 1 of them no model is trained")
    assert "is milder than σ 5" in statuses(widget)["flat.png"]
    assert "--" not in statuses(widget)["flat.png"]
    widget.run.status.accept.click()
    wait(lambda: widget.run.work is None)
    assert widget.run.status.text() == "1 restored, 2 skipped."
    assert (folder.parent / "out" / "flat.png").exists()


def test_the_form_can_be_copied_as_a_command(
    widget: BatchWidget, folder: Path, wait: Any
) -> None:
    widget.recursive.value = True
    widget.form.levels["denoise"].value = 15
    widget.copy.buttons["Copy as command"].click()
    out = folder.parent / "out"
    command = f"memnet batch {folder} {out} --task denoise --sigma 15 --recursive"
    assert QApplication.clipboard().text() == command
    assert widget.run.status.text() == f"Copied: {command}"
