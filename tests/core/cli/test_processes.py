"""What only a process of its own can show: signals, terminals, limits."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memnet_core.io import open_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]
    Picture = Callable[..., Path]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals"),
]

DEBLOCK = "batch --task deblock --q 10 in out".split()  # noqa: SIM905
RUN = "from memnet_core.cli import main\nmain()\n"

TOLD_TO_STOP = """
import os, signal
from memnet_core.io import FileSink
real = FileSink.check_complete
def complete(sink):
    real(sink)
    if sink.path.name == "c.png":
        os.kill(os.getpid(), signal.SIGINT)
FileSink.check_complete = complete
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

KILLED_WHILE_WRITING = """
import os, signal
real = os.replace
def replace(source, target):
    if os.path.basename(target) == "c.png":
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
os.replace = replace
"""

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
"""


def memnet_after(preparation: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own that is prepared for it."""
    command = [sys.executable, "-c", preparation + RUN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def whole_results() -> list[str]:
    """Return the names of the results, each of which can be read."""
    names = sorted(os.listdir("out"))
    for name in names:
        with open_image(Path("out", name)) as file:
            assert file.image().pixels.size
    return names


def assert_second_run_does_the_rest(memnet: Command, done: list[str]) -> None:
    before = {name: Path("out", name).stat().st_mtime_ns for name in done}
    result = memnet(*DEBLOCK)
    assert result.exit_code == 0
    assert f"{20 - len(done)} restored, {len(done)} skipped" in result.stderr
    assert len(whole_results()) == 20
    for name in done:
        assert Path("out", name).stat().st_mtime_ns == before[name]


@pytest.fixture
def twenty(install: Install, picture: Picture) -> None:
    """Make a folder of twenty pictures, and a model for them."""
    install("low", 5, 20)
    for letter in "abcdefghijklmnopqrst":
        picture(f"in/{letter}.png", 60, 60)


@pytest.mark.usefixtures("twenty")
def test_interrupt_says_how_to_go_on_and_the_second_run_does_the_rest(
    memnet: Command,
) -> None:
    ended = memnet_after(TOLD_TO_STOP, *DEBLOCK)
    assert ended.returncode == 130
    *_, summary, advice = ended.stderr.splitlines()
    done = whole_results()
    assert 3 <= len(done) < 20
    assert summary.startswith(f"{len(done)} restored, {20 - len(done)} not done in ")
    assert advice == (
        "Interrupted; nothing is half-written. Run the same command again to go on."
    )
    assert "Traceback" not in ended.stderr
    assert_second_run_does_the_rest(memnet, done)


@pytest.mark.usefixtures("twenty")
def test_killed_run_leaves_nothing_that_the_second_does_not_clean_up(
    memnet: Command,
) -> None:
    ended = memnet_after(KILLED_WHILE_WRITING, *DEBLOCK)
    assert ended.returncode == -signal.SIGKILL
    found = sorted(os.listdir("out"))
    done = [name for name in found if not name.startswith(".memnet-")]
    assert done == ["a.png", "b.png"]
    assert any(name.endswith(".png") for name in set(found).difference(done))
    assert_second_run_does_the_rest(memnet, done)


def test_full_disk_fails_the_files_that_do_not_fit(
    install: Install, picture: Picture
) -> None:
    install("low", 5, 20)
    large = [f"{kind}.{kind}" for kind in ("bmp", "jpg", "png", "tif", "webp")]
    for name in large:
        picture(f"in/{name}", 100, 100, 3)
    picture("in/a.png")
    picture("in/z.bmp")
    ended = memnet_after(LIMITED, *DEBLOCK, "--format", "same")
    assert "Traceback" not in ended.stderr
    failed = [line.split(maxsplit=1)[1] for line in ended.stderr.splitlines()[2:-2]]
    assert failed == [
        f"FAILED out/{name} cannot be written: File too large." for name in large
    ]
    assert ended.returncode == 1
    assert whole_results() == ["a.png", "z.bmp"]


def said_to_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run the command with a terminal for its stderr; give exit code and text."""
    import pty

    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "25"}
    command = [sys.executable, "-c", RUN, *arguments]
    with subprocess.Popen(command, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = bytearray()
        with contextlib.suppress(OSError):  # how Linux tells that the other end closed
            while data := os.read(ours, 65536):
                said += data
        os.close(ours)
    return process.returncode, said.decode()


def test_bar_on_a_terminal_reaches_the_end(install: Install, picture: Picture) -> None:
    install("low", 5, 20)
    picture("in/a.png", 60, 60)
    picture("in/b.jpg", 60, 60)
    Path("in/c.png").touch()
    picture("in/d[bold].png", 60, 60)
    code, said = said_to_a_terminal(*DEBLOCK)
    assert code == 1
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said)
    *above, summary = re.split(r"[\r\n]+", plain.strip())
    assert "Model low (deblock q 5-20) on cpu" in above
    assert "FAILED in/c.png cannot be read: the file is empty." in above
    assert re.fullmatch(r"3 restored, 1 failed in .* s \(.* Mpx/s\)\.", summary)
    bars = [line for line in above if "━" in line]
    assert bars[0].startswith("starting ")
    last = r"4/4 d\[bold\]\.png ━+ 100 % [\d.]+ Mpx/s, 0:00:00 left"
    assert re.fullmatch(last, bars[-1]), bars[-1]
