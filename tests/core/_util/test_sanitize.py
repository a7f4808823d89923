from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest

from memnet_core._util.sanitize import (
    escape_control_chars,
    escape_mathtext,
    join_limited,
    shown_lines,
)

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "a\x1b]0;title\x07\x9b31m\u202egnp.\u2066\r\n\x00\u2028\udcff\ud800\U000e0041"
"""A title for the terminal, C1, bidi, line breaks, NUL, bytes, surrogates, tags."""


def test_what_moves_a_cursor_or_turns_writing_becomes_an_escape() -> None:
    assert escape_control_chars(HOSTILE) == (
        r"a\x1b]0;title\x07\x9b31m\u202egnp.\u2066\r\n\x00\u2028\xff\ud800\U000e0041"
    )


def test_every_character_is_letters_of_a_line_or_an_escape() -> None:
    for code in range(0x110000):
        character = chr(code)
        safe = escape_control_chars(character)
        assert all(unicodedata.category(c)[0] not in "CZ" or c == " " for c in safe)
        if unicodedata.category(character)[0] in "LNPSM":
            assert safe == character
        safe.encode()


def test_lines_of_ones_own_stay() -> None:
    assert shown_lines("a\n\x1b[1m\r\nb") == "a\n\\x1b[1m\\r\nb"


@pytest.mark.parametrize("name", [r"$\frac{$", "$x$", r"\$x\$", "$", HOSTILE, "a_b^c"])
def test_name_is_no_formula_in_a_plot(tmp_path: Path, name: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots()
    axes.set_title(escape_mathtext(name))
    axes.plot([0, 1], [0, 1], label=escape_mathtext(name))
    axes.legend()
    figure.savefig(tmp_path / "plot.png")
    figure.clear()


def test_long_lists_are_cut_and_counted() -> None:
    assert join_limited([]) == ""
    assert join_limited(["a", "b"], 2) == "a, b"
    assert join_limited(["a", "b", "c", "d"], 2) == "a, b and 2 more"
