"""What a training run runs on, in words, and how precisely it computes there."""

from __future__ import annotations

import platform
from typing import Any

import torch

__all__ = ["describe_hardware", "is_reduced"]


def describe_hardware(device: torch.device) -> str:
    """Return a phrase such as ``2 CPU threads (x86_64), torch 2.13.0``."""
    if device.type == "cuda":
        what = torch.cuda.get_device_name(device)
    else:
        what = f"{torch.get_num_threads()} CPU threads ({platform.machine()})"
    return f"{what}, torch {torch.__version__}"


def is_reduced(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16 on a device.

    Parameters
    ----------
    precision : str
        ``bfloat16``, ``float32``, or ``auto``: where the device is faster in bfloat16.
    device : torch.device
        What computes.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cpu":
        # Versions of PyTorch that do not say what a processor has count as without.
        has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(
        including_emulation=False
    )
