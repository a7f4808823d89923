"""What a step along each axis means, whatever kind of file says so."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Calibration", "unit_name", "unit_symbol"]

_SYMBOLS = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "inch": "in",
    "nanosecond": "ns",
    "microsecond": "µs",
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
    "day": "d",
}
_NAMES = {symbol: name for name, symbol in _SYMBOLS.items()} | {
    "um": "micrometer",
    "μm": "micrometer",  # the Greek letter; that above is the micro sign
    "micron": "micrometer",
    "microns": "micrometer",
    "us": "microsecond",
    "μs": "microsecond",
    "sec": "second",
}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Steps and units of axes, and the names of channels.

    Attributes
    ----------
    spacing : mapping of str to float
        Size of a step along an axis, by its letter; what is not known is not in it.
    units : mapping of str to str
        Unit of a step by the axis's letter, with the names that OME-Zarr uses, such as
        ``micrometer`` or ``second``.
    channel_names : tuple of str
        One name for each channel, or none.
    """

    spacing: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()

    def magnified(self, scale: int) -> Calibration:
        """Return the calibration for `scale` times the rows and columns."""
        finer = {
            axis: self.spacing[axis] / scale for axis in "YX" if axis in self.spacing
        }
        return replace(self, spacing={**self.spacing, **finer})


def unit_name(unit: str) -> str:
    """Return the name of a unit given by name or symbol; what is unknown stays."""
    return _NAMES.get(unit, unit)


def unit_symbol(unit: str) -> str:
    """Return the symbol of a unit given by name; what is unknown stays."""
    return _SYMBOLS.get(unit, unit)
