"""What a seeded generator makes of bytes, of JSON and of text."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import random

__all__ = [
    "ESCAPE",
    "NUMBERS",
    "damaged",
    "mutated",
    "mutated_text",
    "pixels",
]

ESCAPE = "\x1b]0;pwned\x07\x9b31m\u202e"

HOSTILE: list[Any] = [
    None,
    "",
    ESCAPE,
    "$\\frac{$",
    "../../outside",
    "/dev/zero",
    "a\0b",
    "\ud800",
    True,
    0,
    -1,
    2**31,
    2**63,
    10**30,
    1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [[[[]]]],
    {"": {"": {}}},
    "9" * 5000,
]
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with some flipped, cut, repeated, or set to a tempting number."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if not content:
            break
        # Headers come first, and decide more than pixels do.
        most = rng.choice((64, 512, len(content)))
        at = rng.randrange(min(most, len(content)))
        action = rng.randrange(7)
        if action == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            del content[at:]
        elif action == 2:
            del content[at : at + rng.randrange(1, 64)]
        elif action == 3:
            content[at:at] = content[at : at + rng.randrange(1, 64)]
        elif action == 4:
            width, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
            number = rng.choice(NUMBERS) & (256**width - 1)
            content[at : at + width] = number.to_bytes(width, order)
        elif action == 5:
            content[at:at] = rng.randbytes(rng.randrange(1, 32))
        else:
            other = rng.randrange(len(content))
            content[at : at + 8], content[other : other + 8] = (
                content[other : other + 8],
                content[at : at + 8],
            )
    return bytes(content)


def mutated(tree: Any, rng: random.Random) -> Any:
    """Return JSON with nodes replaced, removed, renamed or repeated."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places: list[tuple[Any, Any]] = []
        nodes = [tree]
        while nodes:
            node = nodes.pop()
            keys = node if isinstance(node, dict) else range(len(node))
            for key in keys:
                places.append((node, key))
                if isinstance(node[key], dict | list):
                    nodes.append(node[key])
        if not places:
            return rng.choice(HOSTILE)
        node, key = rng.choice(places)
        action = rng.randrange(6)
        if action == 0:
            del node[key]
        elif action == 1 and isinstance(node, dict):
            node[rng.choice((ESCAPE, "extra", ""))] = node.pop(key)
        elif action == 2 and isinstance(node[key], list):
            node[key] *= 20
        else:
            node[key] = copy.deepcopy(rng.choice(HOSTILE))
    return tree


def mutated_text(text: str, pattern: str, rng: random.Random) -> str:
    """Return a text with the values that a pattern finds replaced."""
    found = list(re.finditer(pattern, text))
    for match in sorted(
        rng.sample(found, min(len(found), rng.choice((1, 1, 2, 4)))),
        key=lambda match: -match.start(),
    ):
        value = str(rng.choice(HOSTILE)).encode("ascii", "backslashreplace").decode()
        if rng.randrange(3) == 0:
            value = str(rng.choice(NUMBERS))
        text = text[: match.start(1)] + value + text[match.end(1) :]
    return text


def pixels(*shape: int, dtype: str = "uint8") -> np.ndarray[Any, Any]:
    """Return noise."""
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
