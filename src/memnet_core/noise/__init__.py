"""Noise models: estimation and variance stabilization."""

__all__ = ["CELL", "RADIUS"]

CELL = 8
"""Side in pixels of the squares that a map of noise has one value for."""

RADIUS = 32
"""Pixels around a cell that its value depends on, in whole cells. They are 30 above and
to the left: 2 for each of three layers at half size, 4 for two at a quarter, 8 for two
at an eighth. Below and to the right, where strides reach no further, they are 24."""
