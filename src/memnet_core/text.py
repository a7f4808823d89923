"""Text that comes from outside: file names, metadata, messages of libraries."""

from __future__ import annotations

__all__ = ["plotted", "shown", "shown_lines"]

_RAW_BYTES = range(0xDC80, 0xDD00)
"""How Python holds the bytes of a file's name that are not UTF-8."""


def shown(what: object) -> str:
    r"""Return a path or message as one line that changes no terminal and no page.

    Control characters, those that turn the direction of writing, invisible ones and
    the halves of surrogate pairs become escapes such as ``\x1b`` and ``\u202e``.
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(what))


def shown_lines(text: str) -> str:
    """Return a text whose line breaks are its own and stay, each line as `shown`."""
    return "\n".join(map(shown, text.split("\n")))


def plotted(what: object) -> str:
    """Return a text for Matplotlib, which takes ``$…$`` for a formula."""
    return shown(what).replace("$", r"\$")


def _escaped(character: str) -> str:
    code = ord(character)
    if code in _RAW_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
