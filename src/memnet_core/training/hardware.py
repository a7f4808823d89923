"""What a training run ran on, in words."""

from __future__ import annotations

import platform

import torch

__all__ = ["describe_hardware"]


def describe_hardware() -> str:
    """Return a phrase such as ``2 threads of x86_64, torch 2.13.0``."""
    return (
        f"{torch.get_num_threads()} CPU threads ({platform.machine()}), "
        f"torch {torch.__version__}"
    )
