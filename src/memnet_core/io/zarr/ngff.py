"""The metadata of OME-Zarr images (NGFF 0.4 and 0.5): pure functions."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memnet_core.io.core.image import Calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Multiscale",
    "described_by",
    "image_attributes",
    "inner_path",
    "multiscale_of",
]

_VERSIONS = {2: "0.4", 3: "0.5"}
_TYPES = {"T": "time", "C": "channel"} | dict.fromkeys("ZYX", "space")
_LETTERS = {"time": "T", "channel": "C"}


@dataclass(frozen=True)
class Multiscale:
    """Where the full resolution of an image lies, and what its axes mean.

    Attributes
    ----------
    levels : tuple of str
        Names of the arrays below the group, that of the full resolution first.
    axes : str
        One letter for each axis.
    scale, translation : tuple of float
        Transform of the indices of the full resolution, one number for each axis.
    calibration : Calibration
        Steps with every transform of the image applied; units; names of channels.
    """

    levels: tuple[str, ...]
    axes: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    calibration: Calibration


def multiscale_of(attributes: Mapping[str, Any]) -> Multiscale:
    """Return what the attributes of a group say of its first image.

    Raises
    ------
    ValueError
        If they describe none, or one of another version.
    """
    described = described_by(attributes)
    try:
        image = described["multiscales"][0]
        dataset = image["datasets"][0]
        levels = tuple(inner_path(level["path"]) for level in image["datasets"])
        axes = "".join(map(_letter, image["axes"]))
        names = [axis.get("unit") for axis in image["axes"]]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("it holds no OME-Zarr image of NGFF 0.4 or 0.5") from error
    if len(set(axes)) < len(axes) or not {"Y", "X"} <= set(axes):
        raise ValueError(f"its axes {axes} are not those of a picture")
    scale, translation = _transform(dataset, len(axes))
    outer, _ = _transform(image, len(axes))
    steps = (inner * over for inner, over in zip(scale, outer, strict=True))
    channels = described.get("omero", {}).get("channels", [])
    labels = tuple(str(c.get("label", "")) for c in channels)
    return Multiscale(
        levels=levels,
        axes=axes,
        scale=scale,
        translation=translation,
        calibration=Calibration(
            spacing=dict(zip(axes, steps, strict=True)),
            units={a: str(u) for a, u in zip(axes, names, strict=True) if u},
            channel_names=labels if all(labels) else (),
        ),
    )


def inner_path(path: object) -> str:
    """Return a path below a folder without slashes around it.

    Raises
    ------
    ValueError
        If it leads out of the folder. A link in the folder is followed: whoever keeps
        pixels on another disk made it, and no description can.
    """
    parts = str(path).strip("/").split("/")
    if any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
        raise ValueError(f"it names {path!r}, which is no folder in it")
    return "/".join(parts)


def image_attributes(
    kept: Mapping[str, Any],
    axes: str,
    known: Calibration,
    transforms: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    zarr_format: int,
    display: tuple[float, float, float, float] | None = None,
) -> dict[str, Any]:
    """Return the attributes of the group of an image.

    Parameters
    ----------
    kept : mapping
        Attributes of the image that it was made from; what they say of axes and
        whatever else does not depend on the arrays stays. Empty if there are none.
    axes : str
        One letter for each axis.
    known : Calibration
        Units and names of channels, where `kept` does not describe an image.
    transforms : sequence of (scale, translation)
        For each level, the first being the full resolution, one number for each axis.
    zarr_format : int
        2 for NGFF 0.4, 3 for 0.5.
    display : tuple of float, optional
        Smallest and largest value, and those shown as black and white; named channels
        are not described without.
    """
    attributes = copy.deepcopy(dict(kept))
    version = _VERSIONS[zarr_format]
    described = attributes
    if zarr_format == 3:
        described = attributes.setdefault("ome", {})
        described["version"] = version
    old = (described.get("multiscales") or [{}])[0]
    known_axes = {_letter(axis): axis for axis in old.get("axes", ())}
    image = {**old, "axes": [known_axes.get(a) or _axis(a, known) for a in axes]}
    if zarr_format == 2:
        image["version"] = version
    image["datasets"] = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [*map(float, scale)]},
                {"type": "translation", "translation": [*map(float, translation)]},
            ],
        }
        for level, (scale, translation) in enumerate(transforms)
    ]
    image["type"] = "mean"
    described["multiscales"] = [image]
    if "omero" not in described and known.channel_names and display:
        low, high, start, end = display
        window = {"min": low, "max": high, "start": start, "end": end}
        described["omero"] = {
            "channels": [
                {"label": name, "color": "FFFFFF", "active": True, "window": window}
                for name in known.channel_names
            ]
        }
    return attributes


def described_by(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what attributes say, which NGFF 0.5 has one level deeper than 0.4."""
    described = attributes.get("ome", attributes)
    return described if isinstance(described, dict) else attributes


def _letter(axis: Mapping[str, Any]) -> str:
    """Return the letter of an axis: that of its name, or of its type."""
    name = str(axis["name"])
    if len(name) == 1:
        return name.upper()
    if (kind := axis.get("type")) in _LETTERS:
        return _LETTERS[kind]
    raise ValueError(f"its axis {name!r} has no name of one letter")


def _axis(letter: str, known: Calibration) -> dict[str, str]:
    axis = {"name": letter.lower()}
    if letter in _TYPES:
        axis["type"] = _TYPES[letter]
    if letter in known.units:
        axis["unit"] = known.units[letter]
    return axis


def _transform(
    described: Mapping[str, Any], axes: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and translation of a level or an image."""
    found = {"scale": (1.0,) * axes, "translation": (0.0,) * axes}
    for transform in described.get("coordinateTransformations", ()):
        kind = transform.get("type")
        numbers = tuple(map(float, transform.get(kind, ())))
        if kind in found and len(numbers) == axes:
            found[kind] = numbers
    return found["scale"], found["translation"]
