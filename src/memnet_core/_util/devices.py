"""Computing devices: which exist, how much memory they have left, when it ran out."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import psutil
import torch

from memnet_core.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "available_devices",
    "available_memory",
    "describe_hardware",
    "is_out_of_memory",
    "is_reduced",
    "select_device",
]


def available_devices() -> list[str]:
    """Return the names of the devices of this machine, fastest first."""
    return list(_devices())


def select_device(name: str = "auto") -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    name : str
        ``auto`` for the fastest, or one of `available_devices`.

    Raises
    ------
    DeviceError
        If the device does not exist here; there is no silent fall-back.
    """
    devices = available_devices()
    if name == "auto":
        return torch.device(devices[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in devices:
        raise DeviceError(
            f"There is no device {name!r} on this machine; choose one of: "
            f"auto, {', '.join(devices)}."
        )
    return torch.device(wanted)


def available_memory(device: torch.device) -> int:
    """Return the bytes that can still be allocated on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        recommended: int = torch.mps.recommended_max_memory()
        return recommended - torch.mps.current_allocated_memory()
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in str(error) or "out of memory" in str(error)
    )


def _devices() -> Iterator[str]:
    for index in range(torch.cuda.device_count()):
        yield f"cuda:{index}"
    if torch.backends.mps.is_available():
        yield "mps"
    yield "cpu"


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
