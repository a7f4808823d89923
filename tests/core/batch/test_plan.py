from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from memnet_core.batch import InputFile, plan_jobs
from memnet_core.errors import UsageError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def sources(folder: Path, *names: str) -> list[InputFile]:
    """Return sources that do not exist; only names count."""
    return [InputFile(folder / "in" / name, Path(name)) for name in names]


def planned(found: list[InputFile], out: Path, file_format: str = "auto") -> list[str]:
    jobs = plan_jobs(found, out, file_format, overwrite=False)
    assert [job.source for job in jobs] == [source.path for source in found]
    return [job.output.relative_to(out).as_posix() for job in jobs]


@pytest.mark.parametrize(
    ("file_format", "source", "output"),
    [
        ("auto", "a.jpg", "a.png"),
        ("auto", "a.JPEG", "a.png"),
        ("auto", "a.PNG", "a.PNG"),
        ("auto", "a.tiff", "a.tiff"),
        ("auto", "a.b.webp", "a.b.webp"),
        ("same", "a.jpeg", "a.jpeg"),
        ("same", "a.bmp", "a.bmp"),
        ("png", "a.jpg", "a.png"),
        ("tiff", "a.b.png", "a.b.tif"),
        ("jpeg", "a.png", "a.jpg"),
        ("webp", "a.png", "a.webp"),
        ("bmp", "deep/er/a.png", "deep/er/a.bmp"),
    ],
)
def test_stem_and_tree_are_kept_and_the_format_decides_the_suffix(
    tmp_path: Path, out: Path, file_format: str, source: str, output: str
) -> None:
    assert planned(sources(tmp_path, source), out, file_format) == [output]


@pytest.mark.parametrize(
    ("names", "outputs"),
    [
        (["a.jpg", "a.png"], ["a.jpg.png", "a.png"]),
        (["a.png", "a.jpeg", "a.jpg"], ["a.png", "a.jpeg.png", "a.jpg.png"]),
        (["A.png", "a.jpg"], ["A.png", "a.jpg.png"]),
        (["x/a.jpg", "y/a.png"], ["x/a.png", "y/a.png"]),
        (["a.jpg.jpg", "a.jpg", "a.png"], ["a.jpg.jpg.png", "a.jpg.png", "a.png"]),
        (["a.png", "A.png", "a-2.png"], ["a-3.png", "A.png", "a-2.png"]),
        (["img_1.JPG", "IMG_1.jpg"], ["img_1.JPG-2.png", "IMG_1.jpg.png"]),
        (["a.jpg.png", "a.png", "a.jpg"], ["a.jpg.png", "a.png", "a.jpg-2.png"]),
        (["a.jpg", "a.JPG", "b.jpg"], ["a.jpg-2.png", "a.JPG.png", "b.png"]),
    ],
)
def test_sources_of_one_stem_get_names_of_their_own(
    tmp_path: Path, out: Path, names: list[str], outputs: list[str]
) -> None:
    assert planned(sources(tmp_path, *names), out) == outputs


def test_files_of_one_name_from_two_folders_are_refused_by_name(
    tmp_path: Path, out: Path
) -> None:
    pair = [InputFile(tmp_path / name / "a.png", Path("a.png")) for name in "xy"]
    with pytest.raises(UsageError) as refused:
        planned(pair, out)
    for path in (pair[0].path, pair[1].path, out / "a.png"):
        assert str(path) in str(refused.value)


@pytest.mark.parametrize("linked", [False, True])
def test_output_that_would_replace_a_source_is_refused(
    tmp_path: Path, out: Path, linked: bool
) -> None:
    found = sources(tmp_path, "a.png")
    folder = found[0].path.parent
    if linked:
        folder.mkdir()
        out.symlink_to(folder)
    with pytest.raises(UsageError, match=r"a\.png would be replaced by its result"):
        planned(found, out if linked else folder)


def test_result_beside_its_source_is_fine_under_another_name(tmp_path: Path) -> None:
    found = sources(tmp_path, "a.jpg")
    assert planned(found, found[0].path.parent) == ["a.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_exists_is_skipped_unless_it_is_to_be_redone(
    tmp_path: Path, out: Path, overwrite: bool
) -> None:
    out.mkdir()
    found = sources(tmp_path, "a.png", "b.png")
    found[0].path.parent.mkdir()
    for source in found:
        PillowImage.new("RGB", (500, 300)).save(source.path)
    PillowImage.new("RGB", (500, 300)).save(out / "a.png")
    first, second = plan_jobs(found, out, "auto", overwrite=overwrite)
    assert (first.skip, second.skip) == (not overwrite, False)
    assert first.megapixels == (0.15 if overwrite else 0)
    assert second.header is not None
    assert second.header.shape == (300, 500, 3)


def test_source_without_a_readable_header_is_planned_all_the_same(
    tmp_path: Path, out: Path
) -> None:
    (job,) = plan_jobs(sources(tmp_path, "a.png"), out, "auto", overwrite=False)
    assert (job.header, job.megapixels, job.skip) == (None, 0, False)


def test_output_folder_that_cannot_be_looked_into_is_left_to_the_run(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def stat(path: Path | str, **options: Any) -> os.stat_result:
        if str(path).startswith(str(out)):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert planned(sources(tmp_path, "a.png"), out) == ["a.png"]
