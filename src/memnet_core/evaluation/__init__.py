"""Scores by the paper's protocol, beside the published ones."""
