"""Evaluation by the paper's protocol, compared with published scores."""
