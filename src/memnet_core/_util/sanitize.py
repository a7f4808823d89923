"""Text that comes from outside: file names, metadata, messages of libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "escape_control_chars",
    "escape_formula",
    "escape_mathtext",
    "join_limited",
    "shown_lines",
]

_RAW_BYTES = range(0xDC80, 0xDD00)
"""How Python holds the bytes of a file's name that are not UTF-8."""


def escape_control_chars(what: object) -> str:
    r"""Return a path or message as one line that changes no terminal and no page.

    Control characters, those that turn the direction of writing, invisible ones and
    the halves of surrogate pairs become escapes such as ``\x1b`` and ``\u202e``.
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(what))


def shown_lines(text: str) -> str:
    """Return a text whose line breaks are its own and stay, each line escaped."""
    return "\n".join(map(escape_control_chars, text.split("\n")))


def join_limited(what: Sequence[str], most: int = 12) -> str:
    """Return things separated by commas; those beyond `most` are only counted."""
    more = len(what) - most
    told = ", ".join(what[:most])
    return f"{told} and {more} more" if more > 0 else told


def escape_formula(what: object) -> str:
    """Return a text for CSV, where spreadsheets compute what begins as a formula."""
    text = escape_control_chars(what)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def escape_mathtext(what: object) -> str:
    """Return a text for Matplotlib, which takes ``$…$`` for a formula."""
    return escape_control_chars(what).replace("$", r"\$")


def _escaped(character: str) -> str:
    code = ord(character)
    if code in _RAW_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
