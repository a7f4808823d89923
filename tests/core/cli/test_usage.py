"""Options and arguments that cannot be meant: one clear line, exit code 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Command = Callable[..., Result]
    Install = Callable[..., Path]
    Picture = Callable[..., Path]


def assert_refused(result: Result, told: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", "Missing option '--task'"),
        ("--task restore", "'restore' is not one of 'auto', 'deblock', 'denoise'"),
        ("--task deblock --q abc", "'abc' is neither a level nor 'auto'"),
        ("--task deblock --q 0", "'0' is neither a level nor 'auto'"),
        ("--task deblock --q nan", "'nan' is neither a level nor 'auto'"),
        (
            "--task deblock --q 101",
            "101 is no JPEG quality; give a whole number from 1",
        ),
        ("--task deblock --sigma 10", "--sigma does not go with --task deblock"),
        ("--task denoise --sigma -5", "'-5' is neither a level nor 'auto'"),
        ("--task denoise --sigma 10 --q 5", "--q does not go with --task denoise"),
        ("--task sr", "--task sr needs --scale"),
        ("--task sr --scale 1", "1 is not in the range 2<=x<=16"),
        ("--task deblock --q 10 --range 5,5", "'5,5' is neither 'auto', 'dtype'"),
        ("--task deblock --q 10 --range 9,5", "two rising values LO,HI"),
        ("--task deblock --q 10 --range 0,inf", "two rising values LO,HI"),
        ("--task deblock --q 10 --range nan,1", "two rising values LO,HI"),
        ("--task deblock --q 10 --range 5e-324,1e-323", "two rising values LO,HI"),
        ("--task deblock --q 10 --range 0", "two rising values LO,HI"),
        ("--task deblock --q 10 --channels all", "'all' is not one of 'luminance',"),
        ("--task deblock --q 10 --exit-block 0", "0 is not in the range x>=1"),
        ("--task deblock --q 10 --exit-block 99", "Exit block 99 does not exist"),
        ("--task deblock --q 10 --format heic", "'heic' is not one of 'auto', 'same'"),
        ("--task deblock --q 10 --device abacus", "There is no device 'abacus'"),
        ("--task deblock --q 99", "the nearest is 'low' (q 5-20). Accept it with"),
        ("--task denoise --sigma 10", "No model for denoise is installed; train one"),
        ("--task deblock --q 10 --model other", "There is no model 'other'"),
        (
            "--task deblock --q 10 --model .",
            ". is not a regular file; give a model file.",
        ),
        ("--task deblock --q 10 --report r.txt", "give it the suffix .json"),
        ("--task deblock --q 10 --report no/r.json", "no/r.json cannot be written"),
    ],
)
def test_option_that_cannot_be_meant_is_refused(
    memnet: Command, install: Install, picture: Picture, options: str, told: str
) -> None:
    install("low", 5, 20)
    source = picture("a.png")
    assert_refused(memnet("batch", *options.split(), source, "out"), told)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("in", "Missing argument"),
        ("in in", "in is both input and output; choose another output folder"),
        ("in/*.png in", "in/a.png would be replaced by its result"),
        ("in other/a.png", "other/a.png is a file; the output has to be a folder"),
        ("in other/a.png out", "in/a.png and other/a.png would both become out/a.png"),
        ("nowhere out", "'nowhere' does not exist; check the path"),
        ("in/*.tif out", "No file matches 'in/*.tif'; check the pattern"),
        ("empty out", "No images found in empty; --recursive also looks"),
        ("-r empty out", "No images found in empty."),
        ("other/notes.md out", "No images found in other/notes.md."),
        ("list.txt out", "lost.png, listed in list.txt, is no file; correct the list"),
    ],
)
def test_argument_that_cannot_be_meant_is_refused(
    memnet: Command, install: Install, picture: Picture, arguments: str, told: str
) -> None:
    install("low", 5, 20)
    picture("in/a.png")
    picture("other/a.png")
    Path("empty").mkdir()
    Path("other/notes.md").touch()
    Path("list.txt").write_text("in/a.png\nlost.png\n")
    before = sorted(Path().rglob("*"))
    result = memnet("batch", "--task", "deblock", "--q", 10, *arguments.split())
    assert_refused(result, told)
    assert sorted(Path().rglob("*")) == before
