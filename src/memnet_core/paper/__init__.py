"""Figures 4 to 6 of the paper for any model, and its tables reproduced."""
