"""How a result was made, written into the result itself, and read from there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from memnet_core.io.core.errors import wrap_read_errors
from memnet_core.io.core.fingerprint import Fingerprint
from memnet_core.io.core.opened import OpenedFile
from memnet_core.io.registry import format_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Provenance", "provenance_in", "provenance_of"]

_BEGINNING = re.compile(r"memnet \S{1,40} (?=\{)")


class Provenance(BaseModel):
    """All that decided over a result; equal results have equal provenance.

    Attributes
    ----------
    memnet : str
        Version of the program.
    task : str
        What was done.
    model, sha256 : str
        Name of the model, and the hash of its weights.
    levels : tuple of float
        One for each channel.
    ranges : tuple of (float, float), optional
        What became black and white in each channel; nothing if each plane had its own.
    photons : tuple of (float, float, float), optional
        Gain, black and read noise of channels whose noise was made the same everywhere.
    options : dict
        What was asked for besides, as far as it is not the default.
    before : tuple of Provenance
        What was done first, in this order.
    source : Fingerprint, optional
        What it was made of; None for pixels that came from no file.
    """

    model_config = ConfigDict(frozen=True)

    memnet: str
    task: str
    model: str
    sha256: str
    levels: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    ranges: tuple[tuple[FiniteFloat, FiniteFloat] | None, ...] = ()
    photons: tuple[tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None, ...] = ()
    options: dict[str, Any] = {}
    before: tuple[Provenance, ...] = ()
    source: Fingerprint | None = None

    def __str__(self) -> str:
        """Return one line of ASCII, from which `provenance_in` reads it."""
        held = json.dumps(self.model_dump(mode="json"), separators=(",", ":"))
        return f"memnet {self.memnet} {held}"


def provenance_in(text: str) -> Provenance | None:
    """Return the provenance in a text; of several the last one, which was added last.

    Parameters
    ----------
    text : str
        Anything; what is no provenance is passed over.
    """
    for found in reversed([*_BEGINNING.finditer(text)]):
        try:
            held, _ = json.JSONDecoder().raw_decode(text, found.end())
            return Provenance.model_validate(held)
        except (ValueError, RecursionError, ValidationError):
            continue
    return None


def provenance_of(path: Path) -> Provenance | None:
    """Return how a file was made; None if it does not tell.

    Parameters
    ----------
    path : Path
        A file, or the folder of an image.

    Raises
    ------
    ImageError
        If it is empty, damaged, or ends too early, as far as can be told without
        decoding its pixels.
    """
    with wrap_read_errors(path), OpenedFile(path) as file:
        kind = format_of(file)
        kind.probe(file)
        return provenance_in(kind.told(file)) if kind.told else None
