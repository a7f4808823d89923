"""How a layer is placed and shown, as a note in its file; written and read back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAMESPACE", "dump_display_state", "load_display_state", "provenance_line"]

NAMESPACE = "napari-memnet/layer"
"""Where the note stands in a file."""

_PLACED = ("scale", "translate", "rotate", "shear", "affine", "axis_labels", "units")
_SHOWN = ("contrast_limits", "gamma", "opacity", "blending", "visible")
_OF_SESSION = ("store", "preview")
"""Metadata that holds for one session only, and is not written."""


def dump_display_state(attributes: dict[str, Any], shape: Sequence[int]) -> str:
    """Serialize placement and display of a layer as JSON.

    Parameters
    ----------
    attributes : dict
        The layer's, as napari gives them to writers.
    shape : sequence of int
        Sizes of its axes without color, by which a reader tells if they changed.
    """
    told = (attributes.get("metadata") or {}).get("memnet")
    told = told if isinstance(told, dict) else {}
    note = {key: attributes[key] for key in (*_PLACED, *_SHOWN) if key in attributes}
    if note.get("units") is not None:
        note["units"] = [str(unit) for unit in note["units"]]
    return json.dumps(
        {
            "name": str(attributes.get("name", "")),
            "shape": [int(size) for size in shape],
            **note,
            "rgb": bool(attributes.get("rgb")),
            "colormap": _colormap_told(attributes.get("colormap")),
            "memnet": {k: v for k, v in told.items() if k not in _OF_SESSION},
        },
        default=_plain,
    )


def provenance_line(attributes: dict[str, Any]) -> str:
    """Return the provenance line of a layer, or an empty string."""
    told = (attributes.get("metadata") or {}).get("memnet")
    return str(told.get("provenance", "")) if isinstance(told, dict) else ""


def load_display_state(
    text: str, shape: Sequence[int], *, is_same: bool
) -> dict[str, Any]:
    """Read the attributes of a layer from a note; empty if it is damaged.

    Parameters
    ----------
    text : str
        The note.
    shape : sequence of int
        Sizes of the axes in the file, without color. Where rows and columns are
        more than noted, the file was enlarged, and its pixels are smaller.
    is_same : bool
        Whether pixels are those that were noted, not restored since; otherwise only
        the place is taken.
    """
    try:
        note = json.loads(text)
        if len(note["shape"]) != len(shape):
            return {}
        taken = {k: note[k] for k in _PLACED if note.get(k) is not None}
        factors = np.asarray(note["shape"], float) / np.asarray(shape, float)
        _shrink(taken, factors)
        if not is_same:
            return taken
        taken |= {k: note[k] for k in _SHOWN if note.get(k) is not None}
        if (colormap := note.get("colormap")) is not None:
            taken["colormap"] = _colormap_from(colormap)
        return taken | {
            "name": str(note["name"]),
            "metadata": {"memnet": note["memnet"]} if note.get("memnet") else {},
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _shrink(taken: dict[str, Any], factors: Any) -> None:
    """Rescale enlarged pixels so that the outer edges of the image stay in place."""
    if (factors == 1).all():
        return
    from napari.utils.transforms import Affine

    kept = {k: taken[k] for k in ("scale", "rotate", "shear") if k in taken}
    linear = Affine(**kept, ndim=len(factors)).linear_matrix
    begin = np.asarray(taken.get("translate", np.zeros(len(factors))))
    taken["translate"] = begin + linear @ ((factors - 1) / 2)
    taken["scale"] = np.asarray(taken.get("scale", np.ones(len(factors)))) * factors


def _colormap_told(colormap: Any) -> Any:
    """Return a colormap that napari knows by its name, another one by its colors."""
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    if colormap is None or isinstance(colormap, str):
        return colormap
    known = colormap if isinstance(colormap, dict) else colormap.model_dump()
    if known.get("name") in AVAILABLE_COLORMAPS:
        return known["name"]
    return {key: known[key] for key in ("name", "colors", "controls") if key in known}


def _colormap_from(told: Any) -> Any:
    from napari.utils.colormaps import Colormap

    return told if isinstance(told, str) else Colormap(**told)


def _plain(value: Any) -> Any:
    """Return NumPy's values as those of JSON, and others as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
