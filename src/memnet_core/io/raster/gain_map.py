"""Further pictures in a JPEG, and the XMP that would still promise them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from memnet_core.io.core.orientation import number_of_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["further_pictures", "xmp_without_them"]

_GAIN_MAP = re.compile(
    rb"hdrgm:Version|Item:Semantic\s*=\s*[\"']GainMap|HDRGainMap"
    rb"|urn:iso:std:iso:ts:21496:-1"
)
_VIDEO = re.compile(
    rb"(?:GCamera|Camera):(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)1"
)
_PROMISES = [
    re.compile(rb"\s[\w-]+:(?:MotionPhoto|MicroVideo)\w*\s*=\s*(?:\"[^\"]*\"|'[^']*')"),
    re.compile(rb"\shdrgm:\w+\s*=\s*(?:\"[^\"]*\"|'[^']*')"),
    re.compile(rb"<hdrgm:(\w+)[^>]*>.*?</hdrgm:\1>", re.DOTALL),
    re.compile(rb"<([\w-]*Container):Directory[^>]*>.*?</\1:Directory>", re.DOTALL),
]


def further_pictures(segments: Sequence[tuple[str, bytes]], index: bytes) -> list[str]:
    """Name the pictures of a JPEG besides the first.

    Parameters
    ----------
    segments : sequence of (str, bytes)
        Names and contents of its segments.
    index : bytes
        Index of a multi-picture file, or nothing.
    """
    found = []
    contents = [content for _, content in segments]
    if any(_GAIN_MAP.search(content) for content in contents):
        found.append("gain map")
    elif number_of_pictures(index) > 1:
        found.append("further pictures of the MPO file")
    if any(_VIDEO.search(content) for content in contents):
        found.append("video of the motion photo")
    return found


def xmp_without_them(xmp: bytes) -> bytes:
    """Return XMP that does not promise a gain map or a video any more."""
    for promise in _PROMISES:
        xmp = promise.sub(b"", xmp)
    return xmp
