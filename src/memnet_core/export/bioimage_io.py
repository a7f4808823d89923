"""Export as a BioImage Model Zoo package, for ilastik, deepImageJ and others."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from memnet_core.errors import ModelError, SettingRef, UsageError
from memnet_core.export.module import write_torchscript
from memnet_core.export.onnx import OPSET, write_onnx
from memnet_core.image_ops.resize import modcrop
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from memnet_core.export.module import ExportableMemNet
    from memnet_core.model.card import Card

__all__ = ["drawing", "sample_input", "validated", "write_package"]

_FORMAT = "0.5.3"
"""Version of the description, of 2024: programs refuse those newer than themselves."""

_TEST_MARGIN = 56
"""Minimum side in pixels of the test image without its halo."""

_VALIDATION = """
import sys
from bioimageio.core import test_model
for kind in ("onnx", "torchscript"):
    summary = test_model(sys.argv[1], kind)
    errors = [error.msg for detail in summary.details for error in detail.errors]
    if summary.status != "passed":
        sys.exit(print(f"{kind}: {summary.status}: {' '.join(errors)[:500]!r}"))
print("passed")
"""

_PAPER = {
    "text": "Tai, Yang, Liu, Xu: MemNet: A Persistent Memory Network for Image "
    "Restoration, ICCV 2017",
    "url": "https://arxiv.org/abs/1708.02209",
}


def write_package(
    network: ExportableMemNet,
    card: Card,
    path: Path,
    about: dict[str, str],
    ours: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    authors: Sequence[str],
) -> None:
    """Write a package with ONNX and TorchScript weights, and test images.

    Parameters
    ----------
    network : ExportableMemNet
        The network.
    card : Card
        Card of the model.
    path : Path
        File to write.
    about : dict of str to str
        Metadata of the weights; ``level`` is the fixed one.
    ours : callable
        Runs our network on planes in [0, 1], for the test output.
    authors : sequence of str
        Authors of the model.

    Raises
    ------
    UsageError
        If there is no author, or the package onnx is not installed.
    OSError
        If the file cannot be written.
    """
    if not authors:
        author = SettingRef("author", "NAME")
        raise UsageError(
            f"A package names its authors; give {author}.", settings=[author]
        )
    level = float(about["level"]) if "level" in about else None
    side = (
        2 * network.architecture.radius()
        + _TEST_MARGIN * network.architecture.unshuffle
    )
    degraded = sample_input(card, (side, side), level)
    restored = np.float32(255) * ours(degraded / np.float32(255))
    with tempfile.TemporaryDirectory() as folder:
        onnx, script = Path(folder, "weights.onnx"), Path(folder, "weights.pt")
        write_onnx(network, onnx, about)
        write_torchscript(network, script, about)
        files = {
            "weights.onnx": onnx.read_bytes(),
            "weights.pt": script.read_bytes(),
            "test-input.npy": _npy(degraded),
            "test-output.npy": _npy(restored),
            "cover.png": _cover(degraded, restored),
            "README.md": _readme(card, level).encode(),
        }
    description = _description(network, card, files, level, authors)
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("rdf.yaml", text)
        for name, content in files.items():
            package.writestr(name, content)


def validated(path: Path) -> str:
    """Validate a package with bioimageio.core, which runs it on its test images.

    Returns
    -------
    str
        The result, or why there is none, in one sentence.

    Raises
    ------
    ModelError
        If the package is not accepted.
    """
    if find_spec("bioimageio") is None or find_spec("bioimageio.core") is None:
        return "Not validated: bioimageio.core is not installed."
    # In a process of its own: it leaves files open and writes to standard output.
    run = subprocess.run(
        [sys.executable, "-c", _VALIDATION, path],
        capture_output=True,
        text=True,
        check=False,
    )
    verdict = run.stdout.splitlines()[-1:]
    if not verdict:  # such as with a pydantic that it does not support yet
        reason = (run.stderr.splitlines() or [f"exit code {run.returncode}"])[-1]
        return f"Not validated: bioimageio.core failed ({reason[:200]})."
    if verdict != ["passed"]:
        raise ModelError(
            f"bioimageio.core does not accept the package ({verdict[0]}); nothing was "
            "exported."
        )
    return "bioimageio.core validated the package and ran both kinds of weights."


def _description(
    network: ExportableMemNet,
    card: Card,
    files: dict[str, bytes],
    level: float | None,
    authors: Sequence[str],
) -> dict[str, Any]:
    """Return the content of rdf.yaml."""
    task = find_task(card.task)

    def file(name: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(files[name]).hexdigest()
        return {"source": name, "sha256": digest, **more}

    description: dict[str, Any] = {
        "type": "model",
        "format_version": _FORMAT,
        "name": re.sub(r"[^A-Za-z0-9_ ()-]", "-", f"MemNet {card.name}"),
        "description": _summary(card, level),
        "authors": [{"name": author} for author in authors],
        "license": card.license,
        "cite": [_PAPER],
        "covers": ["cover.png"],
        "documentation": "README.md",
        "tags": ["image-restoration", task.result, "memnet", "2d", "pytorch"],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [_input(network, file("test-input.npy"))],
        "outputs": [_output(network, file("test-output.npy"))],
        "weights": {
            "torchscript": file(
                "weights.pt", pytorch_version=torch.__version__.partition("+")[0]
            ),
            "onnx": file("weights.onnx", opset_version=OPSET, parent="torchscript"),
        },
        "config": {"memnet": {"card": card.model_dump(mode="json"), "level": level}},
    }
    if card.training:
        description["training_data"] = {
            "type": "dataset",
            "format_version": "0.3.0",
            "name": f"Training images of MemNet {card.name}".replace(".", "-"),
            "description": card.training.data[:1024],
        }
    return description


def _input(network: ExportableMemNet, test: dict[str, Any]) -> dict[str, Any]:
    architecture = network.architecture
    step = architecture.unshuffle
    # A tile without its halo must not be empty.
    size = {"min": 2 * architecture.radius() + step, "step": step}
    return {
        "id": "image",
        "description": "Degraded image, values in [0, 255].",
        "axes": [
            {"type": "batch"},
            _channels(network),
            {"type": "space", "id": "y", "size": size},
            {"type": "space", "id": "x", "size": size.copy()},
        ],
        "data": {"type": "float32", "range": [None, None]},
        "test_tensor": test,
        "preprocessing": [
            {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
            {"id": "scale_linear", "kwargs": {"gain": 1 / 255}},
        ],
    }


def _output(network: ExportableMemNet, test: dict[str, Any]) -> dict[str, Any]:
    halo = network.architecture.radius()
    sides = [
        {
            "type": "space",
            "id": axis,
            "size": {"tensor_id": "image", "axis_id": axis},
            "halo": halo,
        }
        for axis in "yx"
    ]
    return {
        "id": "restored",
        "description": "Restored image on the same scale, not clipped.",
        "axes": [{"type": "batch"}, _channels(network), *sides],
        "data": {"type": "float32", "range": [None, None]},
        "test_tensor": test,
        "postprocessing": [{"id": "scale_linear", "kwargs": {"gain": 255.0}}],
    }


def _channels(network: ExportableMemNet) -> dict[str, Any]:
    colors = network.architecture.image_channels == 3
    names = ["red", "green", "blue"] if colors else ["gray"]
    return {"type": "channel", "channel_names": names}


def _summary(card: Card, level: float | None) -> str:
    task = find_task(card.task)
    levels = task.label(level) if level is not None else f"{task.symbol} {card.levels}"
    return f"{task.title} ({levels}) with MemNet. {card.description}".strip()[:1024]


def _readme(card: Card, level: float | None) -> str:
    """Write the documentation of a package."""
    task = find_task(card.task)
    architecture = card.architecture
    planes = (
        "the three colors together"
        if architecture.image_channels == 3
        else "one gray plane; for colors the luminance, or each channel by itself"
    )
    enlarged = (
        " The input is the small image, already enlarged to its final size by bicubic "
        "interpolation."
        if task.scale(_typical_level(card)) > 1
        else ""
    )
    lines = [
        f"# MemNet {card.name} {card.version}",
        "",
        _summary(card, level),
        "",
        f"- Input and output: {planes}, float32, values in [0, 255]. Scale other types "
        f"to that range first, and back afterwards.{enlarged}",
        f"- Sides are multiples of {architecture.unshuffle}; the receptive field has a "
        f"radius of {architecture.radius()} pixels, which is the halo of tiles.",
        f"- Network: {architecture.memory_blocks} memory blocks of "
        f"{architecture.recursions} recursions, {architecture.channels} channels, "
        f"{architecture.multiply_adds() / 1e3:.0f} K multiply-adds per pixel.",
        f"- SHA-256 of the weights as tensors: {card.sha256}; license {card.license}.",
        "",
        "## Training",
        "",
    ]
    if training := card.training:
        lines.append(
            f"{training.data}: {training.megapixels:g} megapixels in {training.steps} "
            f"steps, {training.minutes:g} minutes on {training.hardware}."
        )
        lines += ["", f"`{training.command}`"] if training.command else []
    else:
        lines.append("Not documented.")
    lines += [
        "",
        "## Validation",
        "",
        "Degrade clean images, restore them, and compare PSNR and SSIM before and "
        "after; `memnet evaluate` does that by the paper's protocol.",
        "",
    ]
    for score in card.scores:
        lines.append(
            f"- {score.dataset}, {task.label(score.level)}: {score.input_psnr:.2f} dB "
            f"before, {score.psnr:.2f} dB after (SSIM {score.input_ssim:.4f}, "
            f"{score.ssim:.4f})"
        )
    return "\n".join(lines) + "\n"


def _npy(array: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _cover(degraded: NDArray[np.float32], restored: NDArray[np.float32]) -> bytes:
    """Draw the test image and its restoration side by side, at twice the size."""
    from PIL import Image

    pair = np.concatenate([degraded[0], restored[0]], axis=2).transpose(1, 2, 0)
    pixels = np.clip(np.rint(pair), 0, 255).astype(np.uint8).squeeze()
    image = Image.fromarray(pixels)
    image = image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def drawing(height: int, width: int) -> NDArray[np.uint8]:
    """Draw rings that get finer outwards, discs and stripes."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    side = min(height, width)
    radius2 = (y - height / 2) ** 2 + (x - width / 2) ** 2
    # At half a side from the center a ring is four pixels wide.
    pixels = 120 + 70 * np.cos(np.pi * radius2 / (4 * side))
    for row, column, size, value in (
        (0.2, 0.2, 0.12, 235),
        (0.75, 0.25, 0.16, 40),
        (0.3, 0.8, 0.1, 10),
        (0.8, 0.8, 0.14, 200),
    ):
        disc = np.hypot(y - row * height, x - column * width) < size * side
        pixels[disc] = value
    stripes = (y > 0.45 * height) & (y < 0.55 * height) & (x > 0.65 * width)
    pixels[stripes] = np.where((x[stripes] // 3) % 2, 220, 60)
    return np.asarray(np.rint(pixels), np.uint8)


def _typical_level(card: Card) -> float:
    """Return the level of a model nearest to the middle of the standard levels."""
    task = find_task(card.task)
    middle = task.standard_levels[len(task.standard_levels) // 2]
    return card.levels.nearest(middle)


def sample_input(
    card: Card, shape: tuple[int, int], level: float | None = None
) -> NDArray[np.float32]:
    """Draw a test image and degrade it for a model.

    Parameters
    ----------
    card : Card
        Card of the model.
    shape : (int, int)
        Height and width in pixels.
    level : float, optional
        Level of the degradation; by default a standard one.

    Returns
    -------
    ndarray of float32, shape (1, C, H, W)
        Pixels in [0, 255], the same plane for each color.
    """
    task = find_task(card.task)
    chosen = _typical_level(card) if level is None else level
    multiple = task.multiple(chosen)
    height, width = (-(-side // multiple) * multiple for side in shape)
    clean: NDArray[Any] = modcrop(drawing(height, width), multiple)
    degraded = task.degrade(clean, chosen, np.random.default_rng(0))
    plane = degraded[: shape[0], : shape[1]].astype(np.float32)
    return np.repeat(plane[None, None], card.architecture.image_channels, axis=1)
