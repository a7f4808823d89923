from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from memnet_core.batch import InputListing, find_inputs
from memnet_core.errors import UsageError

only_posix = pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def find(
    *arguments: Path | str, output: Path | str = "out", recursive: bool = False
) -> InputListing:
    return find_inputs([*map(str, arguments)], Path(output), recursive=recursive)


def places(found: InputListing) -> list[str]:
    return [source.relative.as_posix() for source in found.sources]


def test_files_come_in_the_order_they_are_given_in(folder: Path) -> None:
    touch(folder, "a.png", "deeper/b.png")
    found = find(folder / "deeper" / "b.png", folder / "a.png")
    assert places(found) == ["b.png", "a.png"]
    assert [source.path.parent.name for source in found.sources] == ["deeper", "in"]


def test_folder_gives_its_images_by_name(folder: Path) -> None:
    touch(folder, "b.JPG", "a.png", "c.tiff", "deeper/d.png")
    assert places(find(folder)) == ["a.png", "b.JPG", "c.tiff"]


def test_recursive_search_mirrors_the_tree(folder: Path) -> None:
    touch(folder, "a.png", "y/a.png", "x/deep/er/a.png", ".hidden/a.png")
    found = find(folder, recursive=True)
    assert places(found) == ["a.png", "x/deep/er/a.png", "y/a.png"]


def test_hidden_and_foreign_files_are_counted(folder: Path) -> None:
    touch(folder, "a.png", ".b.png", ".DS_Store", "notes.md")
    found = find(folder)
    assert places(found) == ["a.png"]
    assert (found.hidden, found.foreign) == (2, 1)
    assert found.passed_over == "passed over: 2 hidden, 1 of other kinds"


def test_nothing_is_said_where_nothing_is_passed_over(folder: Path) -> None:
    touch(folder, "a.png")
    assert find(folder).passed_over == ""


@pytest.mark.parametrize("argument", ["in", "in/**/*.png"])
def test_output_folder_within_the_input_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    touch(folder, "a.png", "out/a.png", "out/deeper/a.png")
    monkeypatch.chdir(folder.parent)
    assert places(find(argument, output="in/out", recursive=True)) == ["a.png"]


def test_pattern_within_the_output_folder_is_what_it_says(folder: Path) -> None:
    touch(folder, "a.jpg")
    assert places(find(folder / "*.jpg", output=folder)) == ["a.jpg"]


@only_posix
def test_link_to_the_output_folder_is_not_followed(
    folder: Path, tmp_path: Path
) -> None:
    touch(tmp_path, "in/a.png", "out/a.png")
    (folder / "results").symlink_to(tmp_path / "out")
    found = find(folder, output=tmp_path / "out", recursive=True)
    assert places(found) == ["a.png"]


@only_posix
@pytest.mark.parametrize("pattern", ["", "**/*.png"])
def test_folders_that_contain_themselves_by_links_end(
    folder: Path, pattern: str
) -> None:
    touch(folder, "one/a.png", "two/b.png")
    (folder / "self").symlink_to(folder)
    (folder / "one" / "other").symlink_to(folder / "two")
    (folder / "two" / "other").symlink_to(folder / "one")
    found = find(folder / pattern, recursive=True)
    assert places(found) == [
        "one/a.png",
        "one/other/b.png",
        "two/b.png",
        "two/other/a.png",
    ]


@only_posix
def test_links_to_links_do_not_multiply_without_end(folder: Path) -> None:
    touch(folder, "20/a.png")
    for n in range(20):
        (folder / str(n)).mkdir()
        for name in "xy":
            (folder / str(n) / name).symlink_to(folder / str(n + 1))
    found = find(folder, recursive=True)
    assert "20/a.png" in places(found)
    assert len(found.sources) == 20
    assert any("more than 20 links" in problem for problem in found.unreadable)


@only_posix
def test_file_that_links_to_itself_is_found_and_left_to_fail(folder: Path) -> None:
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "lost.png").symlink_to("nowhere.png")
    for argument in (folder, folder / "*.png"):
        assert places(find(argument)) == ["loop.png", "lost.png"]


@only_posix
def test_links_do_not_take_the_place_of_what_they_link_to(folder: Path) -> None:
    touch(folder, "real.png", "tree/real.png")
    (folder / "alias.png").symlink_to("real.png")
    (folder / "mirror").symlink_to("tree")
    found = find(folder, recursive=True)
    assert places(found) == [
        "alias.png",
        "real.png",
        "mirror/real.png",
        "tree/real.png",
    ]


@only_posix
def test_pipes_are_not_waited_for(folder: Path) -> None:
    touch(folder, "a.png")
    os.mkfifo(folder / "pipe.png")
    found = find(folder, folder / "pipe.png")
    assert places(found) == ["a.png"]
    assert found.foreign == 2


def test_file_that_is_named_twice_is_found_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(folder, "a.png")
    monkeypatch.chdir(folder)
    found = find("a.png", "./a.png", folder, "*.png", "../in/a.png")
    assert places(found) == ["a.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_any_name_is_kept_byte_by_byte(folder: Path) -> None:
    names = ["ünï-漢字.png".encode(), b"latin-\xe9.png", b"line\nbreak.png", b"-r.png"]
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    found = {os.fsencode(source.relative) for source in find(folder).sources}
    assert found == set(names)


@pytest.mark.parametrize("output", ["in", "in/../in", "link"])
def test_output_that_is_the_input_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(folder.parent)
    if output == "link":
        Path(output).symlink_to(folder)
    with pytest.raises(UsageError, match="both input and output"):
        find("in", output=output)


@pytest.mark.parametrize("argument", ["nothing.png", "nowhere/", "", "x" * 300])
def test_argument_that_does_not_exist_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=f"'{argument}' does not exist; check"):
        find(argument)


def test_pattern_without_a_match_is_refused(folder: Path) -> None:
    touch(folder, "a.jpg", "folder.png/b.jpg")
    with pytest.raises(UsageError, match=r"No file matches '.*\*\.png'"):
        find(folder / "*.png")


@pytest.mark.parametrize(
    ("pattern", "recursive", "expected"),
    [
        ("*.png", False, ["a.png"]),
        ("*/*.png", False, ["b.png", "c.png"]),
        ("*/*.png", True, ["x/b.png", "y/c.png"]),
        ("x/**", True, ["b.png", "deep/d.png"]),
        ("**/*.png", True, ["a.png", "x/b.png", "x/deep/d.png", "y/c.png"]),
    ],
)
def test_pattern_matches_files(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
    recursive: bool,
    expected: list[str],
) -> None:
    touch(folder, "a.png", "x/b.png", "x/deep/d.png", "y/c.png")
    monkeypatch.chdir(folder)
    assert places(find(pattern, recursive=recursive)) == expected
    assert places(find(folder / pattern, recursive=recursive)) == expected


def test_name_that_looks_like_a_pattern_is_a_name_first(folder: Path) -> None:
    touch(folder, "a[1].png", "a1.png", "b[1]/c.png")
    assert places(find(folder / "a[1].png", folder / "b[1]")) == ["a[1].png", "c.png"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_list_names_files_relative_to_itself(
    folder: Path, tmp_path: Path, encoding: str
) -> None:
    touch(tmp_path, "in/ü.png", "in/deeper/b c.png", "elsewhere.png", "in/notes.md")
    names = ["ü.png", "", "  deeper/b c.png", str(tmp_path / "elsewhere.png")]
    listed = folder / "wanted.TXT"
    listed.write_text("\r\n".join([*names, "notes.md"]), encoding)
    found = find(listed)
    assert places(found) == ["ü.png", "b c.png", "elsewhere.png"]
    assert found.foreign == 1


def test_list_with_a_missing_file_is_refused(folder: Path) -> None:
    touch(folder, "a.png")
    listed = folder / "wanted.txt"
    listed.write_text("a.png\nb.png\n")
    with pytest.raises(UsageError, match=r"b\.png, listed in .*wanted\.txt, is no fil"):
        find(listed)


def test_folder_that_cannot_be_read_is_told_and_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(folder, "a.png", "locked/b.png", "open/c.png")
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find(folder, recursive=True)
    assert places(found) == ["a.png", "open/c.png"]
    assert found.unreadable == [
        f"{folder / 'locked'} cannot be read: Permission denied."
    ]


def test_folder_that_may_not_be_entered_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As lost+found of a disk, for whoever is not its administrator."""
    locked = tmp_path / "in" / "lost+found"
    locked.mkdir(parents=True)
    (tmp_path / "in" / "a.png").touch()
    real_stat, real_scan = os.stat, os.scandir

    def stat(path: Any, **options: Any) -> os.stat_result:
        if Path(path).parent == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return real_stat(path, **options)

    def scan(path: Any) -> Any:
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return real_scan(path)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "scandir", scan)
    out = tmp_path / "out"
    problem = f"{locked} cannot be read: Permission denied."
    for recursive, problems in ((False, []), (True, [problem])):
        found = find_inputs([str(locked.parent)], out, recursive=recursive)
        assert [source.path.name for source in found.sources] == ["a.png"]
        assert found.unreadable == problems


@pytest.mark.parametrize("name", ["a.cr2", "a.nef", "a.dng"])
def test_raw_picture_that_is_named_is_an_input_whose_kind_can_be_said(
    folder: Path, name: str
) -> None:
    (folder / name).write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(12))
    assert places(find(folder / name)) == [name]
    assert places(find(folder)) == []
