"""Protocol Buffers, read field by field: nothing is run, nothing is believed.

The format is a sequence of fields: a number and a kind, then a number of variable
length, 4 or 8 bytes, or a length and so many bytes, which may hold a message again.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Message", "WireError"]

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST_VARINT = 10


class WireError(ValueError):
    """Bytes are no message."""


class Message:
    """The fields of a message by number, in the order of the file.

    Parameters
    ----------
    data : bytes or memoryview
        The whole message.

    Raises
    ------
    WireError
        If the data end within a field, or hold a kind of field that there is not.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._fields: dict[int, list[int | memoryview]] = defaultdict(list)
        for number, value in _fields(memoryview(data)):
            self._fields[number].append(value)

    def numbers(self, field: int) -> list[int]:
        """Return whole numbers, each in a field of its own or packed into one."""
        found: list[int] = []
        for value in self._fields.get(field, ()):
            if isinstance(value, int):
                found.append(value)
                continue
            place = 0
            while place < len(value):
                number, place = _varint(value, place)
                found.append(number)
        return found

    def number(self, field: int, default: int) -> int:
        """Return a whole number, the last that is given."""
        return [default, *self.numbers(field)][-1]

    def data(self, field: int) -> bytes:
        """Return the bytes of a field, those of a repeated one joined."""
        return b"".join(self._chunks(field))

    def texts(self, field: int) -> list[str]:
        """Return texts."""
        try:
            return [str(chunk, "utf-8") for chunk in self._chunks(field)]
        except UnicodeDecodeError as error:
            raise WireError(f"field {field} is no text") from error

    def text(self, field: int) -> str:
        """Return a text, the last that is given, or an empty one."""
        return ["", *self.texts(field)][-1]

    def messages(self, field: int) -> list[Message]:
        """Return messages within this one."""
        return [Message(chunk) for chunk in self._chunks(field)]

    def message(self, field: int) -> Message:
        """Return a message within this one, or an empty one."""
        return [Message(b""), *self.messages(field)][-1]

    def __contains__(self, field: int) -> bool:
        return field in self._fields

    def _chunks(self, field: int) -> list[memoryview]:
        chunks = []
        for value in self._fields.get(field, ()):
            if isinstance(value, int):
                raise WireError(f"field {field} is a number, not bytes")
            chunks.append(value)
        return chunks


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field has the number 0")
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(data, place)
        elif kind in (_FOUR, _EIGHT):
            size = 4 if kind == _FOUR else 8
        else:
            raise WireError(f"field {number} is of the unknown kind {kind}")
        if size > len(data) - place:
            raise WireError(
                f"field {number} ends {size - len(data) + place} bytes late"
            )
        yield number, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    number = 0
    for shift, byte in enumerate(data[place : place + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number, place + shift + 1
    raise WireError("a number does not end")
