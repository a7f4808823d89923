"""What the command calls by its options, as widgets call it."""

from __future__ import annotations

__all__ = ["NEAREST", "RANGE", "in_window"]

NEAREST = "nearest model"
RANGE = "intensity range"

_FIELDS = {
    "--max-pixels or ": "",
    "--nearest": f"“{NEAREST}”",
    "--range auto": f"the automatic “{RANGE}”",
    "--sigma": "“noise σ”",
    "--scale": "“scale”",
    "--quality": "“JPEG quality”",
    "--format ": "the format ",
    "--recursive": "“subfolders, too”",
}


def in_window(sentence: str) -> str:
    """Return a sentence of the engine that names fields, not options of commands."""
    for option, field in _FIELDS.items():
        sentence = sentence.replace(option, field)
    return sentence
