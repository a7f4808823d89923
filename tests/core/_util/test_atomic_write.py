from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memnet_core._util import atomic_write, temp_locks
from memnet_core._util.atomic_write import (
    hidden_sibling,
    make_folder,
    place_folder,
    remove_abandoned,
    replaced_when_complete,
    sync_tree,
    temporary_folder,
)
from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 24 * 3600


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed_while_writing(path: Path, number: int = signal.SIGKILL) -> Path:
    """Let another process be killed in the middle of writing `path`."""
    script = (
        "import sys, pathlib, time\n"
        "from memnet_core._util.atomic_write import replaced_when_complete\n"
        "with replaced_when_complete(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print(temporary, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        temporary = Path(process.stdout.readline().strip())
        process.send_signal(number)
    assert process.returncode == -number
    assert temporary.exists()
    return temporary


def aged(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and renamed, in this order."""
    calls: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def traced_sync(handle: int) -> None:
        calls.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def traced_move(move: Callable[..., None]) -> Callable[..., None]:
        def moved(old: Any, new: Any) -> None:
            calls.append(f"rename {Path(old).name} {Path(new).name}")
            move(old, new)

        return moved

    monkeypatch.setattr(os, "fsync", traced_sync)
    monkeypatch.setattr(os, "replace", traced_move(replace))
    monkeypatch.setattr(os, "rename", traced_move(rename))
    return calls


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


@pytest.mark.parametrize("name", ["n" * 251 + ".tif", "a." + "b" * 253, "\udcff.tif"])
def test_any_name_that_the_disk_takes_can_be_written(tmp_path: Path, name: str) -> None:
    with replaced_when_complete(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == [name]


def test_pixels_are_on_the_disk_before_the_name_is(
    tmp_path: Path, traced: list[str]
) -> None:
    path = tmp_path / "result.tif"
    with replaced_when_complete(path) as temporary:
        temporary.write_text("whole")
    folder = f"sync {tmp_path.name}"
    renamed = f"rename {temporary.name} result.tif"
    assert traced == [f"sync {temporary.name}", folder, renamed, folder]


def test_disk_that_fails_in_the_sync_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(handle: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "result.tif"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", failing)
    with (
        pytest.raises(OSError, match="No space"),
        replaced_when_complete(path) as temporary,
    ):
        temporary.write_text("new")
    assert names(tmp_path) == ["result.tif"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_only_what_nobody_works_on_is_abandoned(tmp_path: Path, number: int) -> None:
    path = tmp_path / "result.tif"
    dead = killed_while_writing(path, number)
    (tmp_path / "inner").mkdir()
    deeper = tmp_path / "inner" / dead.name
    deeper.touch()
    unrelated = tmp_path / ".memnet-models.json"
    unrelated.touch()
    path.touch()
    with (
        replaced_when_complete(tmp_path / "other.tif") as alive,
        temporary_folder(tmp_path / "other.zarr") as folder,
    ):
        alive.touch()
        assert remove_abandoned(tmp_path) == 1
        assert not dead.exists()
        for kept in (alive, folder, deeper, unrelated, path):
            assert kept.exists()
    assert remove_abandoned(tmp_path) == 0
    assert names(tmp_path) == sorted(
        [unrelated.name, "inner", "other.tif", "result.tif"]
    )


def test_link_is_removed_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "data").mkdir(parents=True)
    folder = tmp_path / "out"
    folder.mkdir()
    dead = killed_while_writing(folder / "result")
    dead.unlink()
    dead.symlink_to(outside)
    assert remove_abandoned(folder) == 1
    assert names(folder) == []
    assert names(outside) == ["data"]


@pytest.mark.parametrize("locked", [True, False])
def test_planted_link_to_a_folder_moves_nothing_out_of_it(
    tmp_path: Path, locked: bool
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "thesis.txt").write_text("mine")
    folder.mkdir()
    link = folder / f"{temp_locks.PREFIX}{'0' * 32}.old"
    link.symlink_to(outside)
    if locked:
        link.with_suffix(temp_locks.LOCK_SUFFIX).write_text(temp_locks._kernel())
    else:
        os.utime(link, (1, 1), follow_symlinks=False)
    remove_abandoned(folder)
    assert names(outside) == ["thesis.txt"]
    assert names(folder) == []


def test_folder_of_several_entries_is_none_of_ours_and_stays(tmp_path: Path) -> None:
    planted = tmp_path / f"{temp_locks.PREFIX}{'0' * 32}.old"
    planted.mkdir()
    for name in ("a", "b"):
        (planted / name).touch()
        aged(planted / name, 2 * DAY)
    aged(planted, 2 * DAY)
    assert remove_abandoned(tmp_path) == 0
    assert names(tmp_path) == [planted.name]
    assert names(planted) == ["a", "b"]


@pytest.mark.parametrize("suffixes", [(), (".tif",)])
def test_lock_of_a_run_killed_before_it_wrote_into_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffixes: tuple[str, ...]
) -> None:
    monkeypatch.setattr(temp_locks, "_locks_reach_others", lambda _: False)
    base = f"{temp_locks.PREFIX}{'0' * 32}"
    lock = tmp_path / f"{base}{temp_locks.LOCK_SUFFIX}"
    lock.touch()
    for suffix in suffixes:  # a power cut can empty a lock whose owner is elsewhere
        (tmp_path / f"{base}{suffix}").touch()
    assert remove_abandoned(tmp_path) == 0
    assert lock.exists() == bool(suffixes)


def test_another_machine_removes_what_is_left_once_its_lock_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = killed_while_writing(tmp_path / "result.tif")
    monkeypatch.setattr(temp_locks, "_kernel", lambda: "another machine")
    with replaced_when_complete(tmp_path / "other.tif") as alive:
        alive.touch()
        monkeypatch.setattr(temp_locks, "_kernel", lambda: "a third machine")
        assert remove_abandoned(tmp_path) == 1
        assert alive.exists()
    assert not dead.exists()


@pytest.mark.parametrize("case", ["no locks", "locks of one machine", "lock missing"])
def test_where_locks_tell_nothing_a_day_has_to_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    path = tmp_path / "result.tif"
    dead = killed_while_writing(path)
    lock = dead.with_suffix(temp_locks.LOCK_SUFFIX)
    if case == "no locks":
        monkeypatch.setattr(temp_locks, "_lock", lambda handle: None)
    elif case == "locks of one machine":
        monkeypatch.setattr(temp_locks, "_kernel", lambda: "another machine")
        monkeypatch.setattr(temp_locks, "_locks_reach_others", lambda path: False)
    else:
        lock.unlink()
    assert remove_abandoned(tmp_path) == 0
    for left in tmp_path.iterdir():
        aged(left, DAY + 60)
    assert remove_abandoned(tmp_path) == 1
    assert names(tmp_path) == []


def test_folder_in_which_someone_writes_is_not_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temp_locks, "_lock", lambda handle: None)
    with temporary_folder(tmp_path / "result.zarr") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "chunk").touch()
        for path in (folder / "inner", folder, *tmp_path.iterdir()):
            aged(path, 2 * DAY)
        assert remove_abandoned(tmp_path) == 0
        aged(folder / "inner" / "chunk", 2 * DAY)
        assert remove_abandoned(tmp_path) == 1


def image(folder: Path, content: str) -> Path:
    (folder / "0").mkdir(parents=True)
    for name in ("zarr.json", "0/chunk"):
        (folder / name).write_text(content)
    return folder


def content(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("zarr.json", "0/chunk")]


def test_folder_is_placed_where_nothing_is(tmp_path: Path) -> None:
    new = image(tmp_path / "new", "new")
    assert place_folder(new, tmp_path / "out.zarr", overwrite=False)
    assert content(tmp_path / "out.zarr") == ["new", "new"]
    assert names(tmp_path) == ["out.zarr"]


def test_folder_that_is_there_is_replaced_only_if_asked(tmp_path: Path) -> None:
    new = image(tmp_path / "new", "new")
    output = image(tmp_path / "out.zarr", "old")
    assert not place_folder(new, output, overwrite=False)
    assert content(output) == ["old", "old"]
    assert place_folder(new, output, overwrite=True)
    assert content(output) == ["new", "new"]
    assert names(tmp_path) == ["out.zarr"]


def test_nothing_to_place_leaves_the_old(tmp_path: Path) -> None:
    output = image(tmp_path / "out.zarr", "old")
    with pytest.raises(FileNotFoundError):
        place_folder(tmp_path / "new", output, overwrite=True)
    assert content(output) == ["old", "old"]
    assert names(tmp_path) == ["out.zarr"]


def test_rename_that_fails_moves_the_old_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = image(tmp_path / "new", "new")
    output = image(tmp_path / "out.zarr", "old")
    rename = os.rename

    def failing(old: Path, place: Path) -> None:
        if old == new:
            raise OSError(5, "Input/output error")
        rename(old, place)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        place_folder(new, output, overwrite=True)
    assert content(output) == ["old", "old"]
    assert names(tmp_path) == ["new", "out.zarr"]


def test_everything_is_on_the_disk_before_the_folder_is_at_its_place(
    tmp_path: Path, traced: list[str]
) -> None:
    new = image(tmp_path / "new", "new")
    place_folder(new, image(tmp_path / "out.zarr", "old"), overwrite=True)
    placed = traced.index("rename new out.zarr")
    moved = next(n for n, call in enumerate(traced) if call.startswith("rename out"))
    assert set(traced[:moved]) >= {
        "sync chunk",
        "sync zarr.json",
        "sync 0",
        "sync new",
        f"sync {tmp_path.name}",
    }
    assert moved < placed
    assert f"sync {tmp_path.name}" in traced[moved:placed]
    assert traced[placed + 1] == f"sync {tmp_path.name}"


STEPS = ("fsync", "rename", "mkdir", "unlink", "rmdir")


def killed_at(step: int, new: Path, output: Path) -> bool:
    """Let a process place a folder and die at a system call; whether it did."""
    script = (
        "import os, sys, pathlib\n"
        "from memnet_core._util.atomic_write import place_folder\n"
        "left = [int(sys.argv[1])]\n"
        "def dying(call):\n"
        "    def called(*arguments, **options):\n"
        "        left[0] -= 1\n"
        "        if left[0] < 0:\n"
        "            os.kill(os.getpid(), 9)\n"
        "        return call(*arguments, **options)\n"
        "    return called\n"
        f"for name in {STEPS}:\n"
        "    setattr(os, name, dying(getattr(os, name)))\n"
        "place_folder(*map(pathlib.Path, sys.argv[2:]), overwrite=True)\n"
    )
    command = [sys.executable, "-c", script, str(step), str(new), str(output)]
    return subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_killed_at_any_call_the_old_or_the_new_is_there(tmp_path: Path) -> None:
    for step in range(100):
        folder = tmp_path / str(step)
        folder.mkdir()
        new = image(folder / ".work" / "image", "new")
        output = image(folder / "out.zarr", "old")
        was_killed = killed_at(step, new, output)
        remove_abandoned(folder)
        expected = ["old", "old"] if new.exists() else ["new", "new"]
        assert content(output) == expected
        assert names(folder) == [".work", "out.zarr"]
        if new.exists():  # the next run goes on
            assert place_folder(new, output, overwrite=True)
            assert content(output) == ["new", "new"]
        assert names(folder) == [".work", "out.zarr"]
        if not was_killed:
            break
    assert not was_killed
    assert step > 15


@pytest.mark.slow
def test_in_two_hundred_kills_the_old_or_the_new_is_there(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, itertools\n"
        "from memnet_core._util.atomic_write import place_folder, remove_abandoned\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "first = int(sys.argv[2])\n"
        "for number in itertools.count(first):\n"
        "    remove_abandoned(root)\n"
        "    new = root / '.work' / f'image-{number}'\n"
        "    new.mkdir(parents=True)\n"
        "    for name in range(20):\n"
        "        (new / str(name)).write_text(str(number))\n"
        "    place_folder(new, root / 'out.zarr', overwrite=True)\n"
        "    if number == first:\n"
        "        print('ready', flush=True)\n"
    )
    rng = random.Random(0)
    last = -1
    for kill in range(200):
        start = str(1_000_000 * kill)
        command = [sys.executable, "-c", script, str(tmp_path), start]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.1 + rng.random() * 0.05)
            process.kill()
        remove_abandoned(tmp_path)
        files = list((tmp_path / "out.zarr").iterdir())
        found = {path.read_text() for path in files}
        assert len(files) == 20
        assert len(found) == 1
        now = int(found.pop())
        assert now >= last
        last = now
        assert names(tmp_path) == [".work", "out.zarr"]
    assert last > 1_000_000


def test_of_forty_runs_at_a_time_one_places_its_folder_whole(tmp_path: Path) -> None:
    def run(number: int) -> None:
        for turn in range(5):
            output = tmp_path / "a" / str(turn) / "b" / "out.zarr"
            make_folder(output.parent)
            new = image(output.parent / f"new-{number}", str(number))
            remove_abandoned(output.parent)
            place_folder(new, output, overwrite=number % 2 == 0)

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(run, range(40)))
    for turn in range(5):
        parent = tmp_path / "a" / str(turn) / "b"
        whole = content(parent / "out.zarr")
        assert whole[0] == whole[1]
        assert not [path for path in parent.iterdir() if path.name.startswith(".")]


def test_folder_is_made_while_others_remove_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a" / "b"
    mkdir = Path.mkdir
    lost: list[Path] = []

    def removed(path: Path, **options: Any) -> None:
        mkdir(path, **options)
        if path == tmp_path / "a" and len(lost) < 5:
            path.rmdir()
            lost.append(path)

    monkeypatch.setattr(Path, "mkdir", removed)
    make_folder(folder)
    assert folder.is_dir()
    assert len(lost) == 5


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "b", tmp_path / ("n" * 300)):
        with pytest.raises(ImageError, match=r"cannot be made: [^.]+\.$"):
            make_folder(folder)


def test_hidden_sibling_has_a_name_that_the_disk_takes(tmp_path: Path) -> None:
    for name in ("out.zarr", "ä" * 127 + "a"):
        hidden = hidden_sibling(tmp_path / name, ".memnet")
        hidden.mkdir()
        assert hidden.name.startswith(".")
        assert hidden.name.endswith(".memnet")
    assert hidden_sibling(tmp_path / "out.zarr", ".x").name == ".out.zarr.x"


def test_new_folders_are_on_the_disk(tmp_path: Path, traced: list[str]) -> None:
    make_folder(tmp_path / "a" / "b")
    assert traced == [f"sync {tmp_path.name}", "sync a"]
    traced.clear()
    atomic_write.mark(tmp_path / "a" / "done")
    assert traced == ["sync done", "sync a"]
    (tmp_path / "a" / "link").symlink_to("nowhere")
    sync_tree(tmp_path)
    assert traced[-1] == f"sync {tmp_path.name}"
