"""Noise models: estimation and variance stabilization."""
