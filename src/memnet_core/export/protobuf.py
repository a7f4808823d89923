"""Parser of Protocol Buffers without a schema, safe on damaged and hostile files.

A message is a sequence of fields: a number and a wire type, then a varint, 4 or 8
bytes, or a length and so many bytes, which may hold another message.
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
    """The bytes are not a valid message."""


class Message:
    """The fields of a message by number, in the order of the file.

    Parameters
    ----------
    data : bytes or memoryview
        The whole message.

    Raises
    ------
    WireError
        If the data end within a field, or hold an unknown wire type.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._fields: dict[int, list[int | memoryview]] = defaultdict(list)
        for number, value in _fields(memoryview(data)):
            self._fields[number].append(value)

    def numbers(self, field: int) -> list[int]:
        """Return integers, each in a field of its own or packed into one."""
        numbers: list[int] = []
        for value in self._fields.get(field, ()):
            if isinstance(value, int):
                numbers.append(value)
                continue
            position = 0
            while position < len(value):
                number, position = _varint(value, position)
                numbers.append(number)
        return numbers

    def number(self, field: int, default: int) -> int:
        """Return the last integer of a field."""
        return [default, *self.numbers(field)][-1]

    def data(self, field: int) -> bytes:
        """Return the bytes of a field; repeated ones are joined."""
        return b"".join(self._chunks(field))

    def texts(self, field: int) -> list[str]:
        """Return the strings of a field."""
        try:
            return [str(chunk, "utf-8") for chunk in self._chunks(field)]
        except UnicodeDecodeError as error:
            raise WireError(f"field {field} is no text") from error

    def text(self, field: int) -> str:
        """Return the last string of a field, or an empty one."""
        return ["", *self.texts(field)][-1]

    def messages(self, field: int) -> list[Message]:
        """Return the messages of a field."""
        return [Message(chunk) for chunk in self._chunks(field)]

    def message(self, field: int) -> Message:
        """Return the last message of a field, or an empty one."""
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
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field has the number 0")
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FOUR, _EIGHT):
            size = 4 if kind == _FOUR else 8
        else:
            raise WireError(f"field {number} is of the unknown kind {kind}")
        if size > len(data) - position:
            raise WireError(
                f"field {number} ends {size - len(data) + position} bytes late"
            )
        yield number, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return the varint at a position, and the position behind it."""
    number = 0
    for shift, byte in enumerate(data[position : position + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number, position + shift + 1
    raise WireError("a number does not end")
