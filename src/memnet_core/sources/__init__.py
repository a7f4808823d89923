"""Planes of pixels that are read and written by regions."""
