from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memnet_core.atomic import remove_abandoned, replaced_when_complete


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left_by_a_killed_process(path: Path) -> Path:
    """Let another process die in the middle of writing `path`."""
    script = (
        "import os, sys, pathlib\n"
        "from memnet_core.atomic import replaced_when_complete\n"
        "with replaced_when_complete(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print(temporary, flush=True)\n"
        "    os._exit(9)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 9
    temporary = Path(ended.stdout.strip())
    assert temporary.exists()
    return temporary


def test_file_appears_at_the_end_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.tif"
    with replaced_when_complete(path) as temporary:
        temporary.write_text("first half, ")
        assert not path.exists()
        with temporary.open("a") as file:
            file.write("second half")
    assert path.read_text() == "first half, second half"
    assert names(tmp_path) == ["result.tif"]


def test_old_content_stays_until_the_new_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "result.tif"
    path.write_text("old")
    with replaced_when_complete(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("existed", [True, False])
def test_exception_leaves_what_was_there(
    tmp_path: Path, existed: bool, error: type[BaseException]
) -> None:
    path = tmp_path / "result.tif"
    if existed:
        path.write_text("old")

    def write_half() -> None:
        with replaced_when_complete(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert names(tmp_path) == (["result.tif"] if existed else [])
    assert not existed or path.read_text() == "old"


def test_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "result.tif"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replaced_when_complete(path):
        pass
    assert path.read_text() == "old"


def test_temporary_is_a_hidden_sibling_with_the_same_suffix(tmp_path: Path) -> None:
    path = tmp_path / "result.tif"
    with replaced_when_complete(path) as one, replaced_when_complete(path) as other:
        assert one != other
        for temporary in (one, other):
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".tif"
            assert temporary.name.startswith(".")
            temporary.touch()


def test_only_files_of_dead_processes_are_abandoned(tmp_path: Path) -> None:
    path = tmp_path / "result.tif"
    dead = left_by_a_killed_process(path)
    host, process, token = dead.stem.removeprefix(".memnet-").rsplit("-", 2)
    elsewhere = tmp_path / f".memnet-{host}x-{process}-{token}.tif"
    elsewhere.touch()
    (tmp_path / "inner").mkdir()
    deeper = tmp_path / "inner" / dead.name
    deeper.touch()
    unrelated = tmp_path / ".memnet-models.json"
    unrelated.touch()
    path.touch()
    with replaced_when_complete(tmp_path / "other.tif") as alive:
        alive.touch()
        assert remove_abandoned(tmp_path) == 1
        assert not dead.exists()
        for kept in (alive, elsewhere, deeper, unrelated, path):
            assert kept.exists()
    assert remove_abandoned(tmp_path) == 0
