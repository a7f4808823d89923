from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image as PillowImage

from memnet_core import __version__
from memnet_core.batch import (
    BatchRun,
    FileFinished,
    InputFile,
    Job,
    plan_jobs,
    write_report,
)
from memnet_core.errors import ImageError
from memnet_core.inference.settings import RestoreOptions
from memnet_core.model.checkpoint import read_card

if TYPE_CHECKING:
    from collections.abc import Callable

    Install = Callable[..., Path]
    Picture = Callable[..., Path]


def run_of(sources: list[Path], out: Path) -> BatchRun:
    found = [InputFile(path, Path(path.name)) for path in sources]
    jobs = plan_jobs(found, out, "auto", overwrite=False)
    return BatchRun(
        jobs, RestoreOptions(task="deblock", value_range=(0, 200), tta=True)
    )


def reported(run: BatchRun, path: Path) -> dict[str, Any]:
    write_report(path, run)
    report: dict[str, Any] = json.loads(path.read_text("ascii"))
    return report


def test_report_tells_settings_models_and_what_became_of_each_file(
    install: Install, picture: Picture, tmp_path: Path
) -> None:
    card = read_card(install("low", 5, 20))
    install("high", 80, 90)
    names = ["done.jpg", "exists.jpg", "bad.png"]
    sources = [picture(name, 9, 11, 3, quality=10) for name in names]
    out = tmp_path / "out"
    out.mkdir()
    PillowImage.new("L", (9, 11)).save(out / "exists.png")
    run = run_of(sources, out)
    list(run.events())
    report = reported(run, tmp_path / "report.json")

    assert report["memnet"] == __version__
    assert report["settings"]["value_range"] == [0, 200]
    assert report["settings"]["tta"] is True
    assert report["models"] == {"low": card.sha256}
    assert report["counts"] == {"done": 1, "failed": 1, "skipped": 1}
    done, skipped, failed = report["files"]
    assert [file["source"] for file in report["files"]] == [*map(str, sources)]
    assert done.pop("seconds") > 0
    assert done == {
        "source": str(sources[0]),
        "output": str(out / "done.png"),
        "stale": "",
        "status": "done",
        "message": "",
        "level": 10,
        "remark": "q 10 by its quantization table; chroma restored at its own "
        "resolution",
        "model": "low",
        "shape": [9, 11, 3],
        "dtype": "uint8",
        "dropped": [],
    }
    assert (skipped["status"], skipped["model"]) == ("skipped", "")
    assert failed["status"] == "failed"
    assert "no JPEG quantization tables" in failed["message"]


def test_files_a_stopped_run_did_not_reach_are_pending(
    install: Install, picture: Picture, tmp_path: Path
) -> None:
    install("low", 5, 20)
    sources = [picture(f"{name}.jpg", quality=10) for name in "abcdef"]
    run = run_of(sources, tmp_path / "out")
    events = run.events()
    while not isinstance(next(events), FileFinished):
        pass
    events.close()
    report = reported(run, tmp_path / "report.json")
    statuses = [file["status"] for file in report["files"]]
    done = statuses.count("done")
    assert 1 <= done < 6
    assert statuses == ["done"] * done + ["pending"] * (6 - done)
    assert report["counts"] == {"done": done, "pending": 6 - done}
    assert report["files"][-1]["output"] == str(tmp_path / "out" / "f.png")


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_names_of_any_bytes_can_be_read_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x90\xb1\n.png")
    job = Job(tmp_path / name, tmp_path / "out" / name)
    run = BatchRun([job], RestoreOptions(task="deblock"))
    (file,) = reported(run, tmp_path / "report.json")["files"]
    assert os.fsencode(file["source"]) == os.fsencode(tmp_path / name)


def test_report_that_cannot_be_written_is_an_error_and_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BatchRun([], RestoreOptions(task="deblock"))
    path = tmp_path / "report.json"
    path.write_text("old")

    def half(self: Path, text: str) -> None:
        self.write_bytes(text[:10].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(ImageError, match=r"report\.json cannot be written: No space"):
        write_report(path, run)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
