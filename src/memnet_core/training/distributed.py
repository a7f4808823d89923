"""Several processes as torchrun starts them: one part of every batch for each."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "broadcast_from_first",
    "is_first",
    "joined_processes",
    "local_device",
    "rank",
    "world",
]


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes that torchrun started, if it did."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def broadcast_from_first(value: float, device: torch.device) -> float:
    """Return the first process's value in all of them."""
    if world() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float32, device=device)
    distributed.broadcast(shared, 0)
    return float(shared)


def local_device(name: str) -> str:
    """Return the device of this process: under torchrun its own GPU, if there are."""
    if world() > 1 and name == "auto" and torch.cuda.is_available():
        return f"cuda:{torch.cuda.current_device()}"
    return name
