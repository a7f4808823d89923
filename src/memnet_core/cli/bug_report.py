"""``memnet --version`` and ``memnet bug-report``: what this installation is."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memnet_core._util.sanitize import escape_control_chars, join_limited
from memnet_core._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["bug_report", "version_option"]

_PACKAGES = (
    *("numpy", "safetensors", "imagecodecs", "pillow", "tifffile", "zarr", "imageio"),
    *("scikit-image", "matplotlib", "pydantic", "click", "dask", "distributed"),
    *("onnx", "onnxruntime", "bioimageio.core"),
    *("napari", "qtpy", "PyQt6", "PySide6", "PyQt5", "magicgui", "superqt", "npe2"),
)
"""What a fault can come from, as far as it is installed."""

_VARIABLES = ("MEMNET_", "OMP_", "MKL_", "CUDA_VISIBLE_DEVICES", "QT_QPA_PLATFORM")


def version_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that prints versions of memnet and PyTorch, and the devices."""
    return click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="Show the version, that of PyTorch, and the devices, and exit.",
    )(function)


def _print_version(
    context: click.Context, parameter: click.Parameter, wanted: bool
) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"memnet, version {__version__} ({_torch()})")
        context.exit()


@click.command("bug-report", short_help="Print what a maintainer asks for.")
def bug_report() -> None:
    """Print what a maintainer asks for: versions, machine, devices, models.

    Read it before you send it; names of folders in your home begin with ~.
    """
    for name, value in _facts():
        told = escape_control_chars(value).replace(str(Path.home()), "~")
        click.echo(f"{name:<14} {told}")


def _facts() -> Iterator[tuple[str, str]]:
    import psutil

    from memnet_core.model.registry import installed, user_folder

    memory = psutil.virtual_memory()
    yield "memnet", f"{__version__} in {Path(__file__).parents[1]}"
    yield "Python", f"{platform.python_version()} in {sys.prefix}"
    yield "system", f"{platform.platform()}, {os.cpu_count()} processors"
    yield (
        "memory",
        f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free",
    )
    yield "PyTorch", _torch()
    packages = {name: _version(name) for name in _PACKAGES}
    known = [f"{name} {number}" for name, number in packages.items() if number]
    yield "packages", ", ".join(known)
    told = {n: v for n, v in sorted(os.environ.items()) if n.startswith(_VARIABLES)}
    yield "variables", ", ".join(f"{n}={v}" for n, v in told.items()) or "none"
    entries, problems = installed()
    yield "models in", str(user_folder())
    for entry in entries:
        origin = "shipped" if entry.is_shipped else "added"
        card = entry.card
        yield "model", f"{card.name} ({card.serves}), {origin}, {card.sha256[:12]}"
    for problem in problems:
        yield "unusable", str(problem)


def _torch() -> str:
    """Return PyTorch's version, threads and devices in words."""
    try:
        import torch

        from memnet_core._util.devices import available_devices
    except (ImportError, OSError) as error:  # OSError: a library of it is missing
        return f"PyTorch cannot be imported: {error}"
    devices = join_limited(available_devices())
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, {devices}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
