"""Noise: how it is made, found, and stabilized."""
