"""Import weights of other implementations as model files."""

from __future__ import annotations

import math
import os
import pickletools
import re
import shutil
import stat
import tempfile
import zipfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._version import __version__
from memnet_core.errors import ModelError, SettingRef, UsageError
from memnet_core.export.caffe import memnet_from_caffe
from memnet_core.export.protobuf import WireError
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import load_model, read_header, save_model
from memnet_core.model.network import MemNet
from memnet_core.model.registry import Entry, add_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from memnet_core.tasks import Levels

    Shapes = Mapping[str, Sequence[int]]

__all__ = ["architecture_of", "import_file"]

_MAX_BYTES = 2**28
"""Maximum size of a file; the authors' largest network has some 40 MB."""

_MAX_PICKLE_BYTES = 2**24
_SAFETENSORS = ".safetensors"


def import_file(
    file: Path,
    out: Path | None = None,
    *,
    task: str,
    levels: Levels,
    name: str | None = None,
    license: str = "not stated",
) -> Entry:
    """Convert foreign weights to a model, and install it or write it to a file.

    Parameters
    ----------
    file : Path
        A .caffemodel, or a safetensors file without a card.
    out : Path, optional
        Model file to write; by default the model is installed.
    task : str
        Task that it was trained for.
    levels : Levels
        Levels that it was trained for.
    name : str, optional
        Name of the model; by default that of the file.
    license : str
        License of the model.

    Raises
    ------
    ModelError
        If the file cannot be read, or does not hold a MemNet.
    UsageError
        If `out` exists.
    """
    if out is not None and os.path.lexists(out):
        raise UsageError(f"{out} exists already; name another file.")
    network, origin = _read(file)
    title = name or re.sub(r"[^A-Za-z0-9._-]", "-", file.stem).lstrip("._-") or "model"
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, f"model{_SAFETENSORS}")
        try:
            card = save_model(
                model,
                network,
                name=title,
                task=task,
                levels=levels,
                version="1",
                license=license,
                description=f"Imported by napari-memnet {__version__} from {origin}.",
            )
        except ValueError as error:
            others = SettingRef("name"), SettingRef("levels")
            raise UsageError(
                f"A model for {task} cannot be called {title!r} or serve {levels}; "
                f"give another {others[0]} or other {others[1]}.",
                settings=others,
            ) from error
        if out is None:
            return add_model(model)
        load_model(model)
        try:
            with replaced_when_complete(out) as temporary:
                shutil.copyfile(model, temporary)
        except OSError as error:
            raise ModelError(f"Cannot write {out}: {error.strerror}.") from error
    return Entry(out, card)


def _read(file: Path) -> tuple[MemNet, str]:
    """Read a network; also return a description of its source."""
    if file.suffix == _SAFETENSORS:
        return _from_tensors(file), f"the tensors in {file.name}"
    data = _content(file)
    if zipfile.is_zipfile(file) or data[:1] == b"\x80":
        raise ModelError(f"{file} {_pickle_refusal(file)}.")
    try:
        return memnet_from_caffe(data), f"the Caffe model {file.name}"
    except WireError as error:
        raise ModelError(
            f"{file} is no MemNet as a .caffemodel, or a damaged one: {error}."
        ) from error


def _content(file: Path) -> bytes:
    try:
        state = file.stat()
        if not stat.S_ISREG(state.st_mode):  # reading a pipe would block
            raise ModelError(f"{file} is not a regular file; give a .caffemodel.")
        if state.st_size > _MAX_BYTES:
            raise ModelError(f"{file} is too large for a MemNet; give a .caffemodel.")
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"Cannot read {file}: {error.strerror}.") from error
    except ValueError as error:  # a NUL in its name
        raise ModelError(f"Cannot read {file}: {error}.") from error


def _from_tensors(file: Path) -> MemNet:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = read_header(file)
    if "memnet" in (header.pop("__metadata__", None) or {}):
        raise ModelError(
            f"{file} is a model file already; install it with 'memnet models add FILE'."
        )
    try:
        architecture = architecture_of(
            {name: tensor["shape"] for name, tensor in header.items()}
        )
        tensors = load_file(file)
    except ModelError as error:
        raise ModelError(f"{file} {error}.") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{file} is damaged ({error}); get a fresh copy of the file."
        ) from error
    network = MemNet(architecture)
    # num_batches_tracked, the only scalar, may be missing and means nothing here.
    complete = {
        name: tensor if tensor.ndim else torch.zeros_like(tensor)
        for name, tensor in network.state_dict().items()
    } | {name: tensor for name, tensor in tensors.items() if tensor.ndim}
    network.load_state_dict(complete)
    return network.eval()


def _pickle_refusal(file: Path) -> str:
    """Explain why a pickle is refused; its strings are read, but nothing is run."""
    if _is_port(_pickle_strings(file)):
        return _PORT
    return (
        "looks like a Python pickle, which can run code when it is opened; save its "
        "tensors as safetensors, and import that"
    )


def _pickle_strings(file: Path) -> set[str]:
    """Return the strings in a pickle of PyTorch, as far as they can be read."""
    strings = set()
    try:
        with zipfile.ZipFile(file) as archive:
            [name] = [n for n in archive.namelist() if n.endswith("data.pkl")]
            if archive.getinfo(name).file_size > _MAX_PICKLE_BYTES:
                return set()
            content = archive.read(name)
        for _, argument, _ in pickletools.genops(content):
            if isinstance(argument, str):
                strings.add(argument)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return strings
    return strings


_PORT = (
    "holds a public PyTorch port of MemNet: its residual blocks have convolutions of "
    "their own, where the paper's recursions share two, and it makes a single "
    "prediction, so it is another network and cannot become a model here"
)
"""Reason to refuse the ports that were copied from each other since 2017."""

_PORT_PREFIXES = ("feature_extractor.", "dense_memory.", "reconstructor.")


def _is_port(names: Iterable[str]) -> bool:
    """Whether tensors have the names of the public PyTorch ports."""
    plain = [name.removeprefix("module.") for name in names]
    return any(name.startswith(_PORT_PREFIXES) for name in plain)


def architecture_of(shapes: Shapes) -> Architecture:
    """Find the architecture whose tensors have exactly these names and shapes.

    Parameters
    ----------
    shapes : mapping of str to sequence of int
        Shape of each tensor by name; BatchNorm's ``num_batches_tracked`` may be
        missing.

    Raises
    ------
    ModelError
        If there is none, or several that compute different functions. The message
        lacks its subject, the file.
    """
    if _is_port(shapes):
        raise ModelError(_PORT)
    found = [each for each in _candidates(shapes) if _expected(each) == _known(shapes)]
    if not found:
        raise ModelError(
            "does not hold exactly the tensors of a MemNet of ours, fenet.weight to "
            "reconnet.conv.bias"
        )
    if len({each.long_term for each in found}) > 1:
        raise ModelError(
            "fits networks with and without long-term memories alike; its tensors do "
            "not tell which it was"
        )
    if not found[0].batch_norm and found[0].recursions == 1:
        raise ModelError(
            "fits networks of any number of recursions that use only the last; its "
            "tensors do not tell which it was"
        )
    return found[0]


def _candidates(shapes: Shapes) -> Iterator[Architecture]:
    """Yield the architectures that fit the shapes of a few tensors."""
    try:
        channels, planes, *_ = shapes["fenet.weight"]
        restored, *_ = shapes["reconnet.conv.weight"]
    except (KeyError, ValueError):
        return
    blocks = sum(name.endswith(".gate.conv.weight") for name in shapes)
    norms = sum(
        name.startswith("blocks.0.recursive.norm1.") and name.endswith(".weight")
        for name in shapes
    )
    gate = shapes.get("blocks.0.gate.conv.weight", (0, 0))[1] // max(channels, 1)
    for image_channels, long_term, short_term in product(
        (1, 3), (True, False), (True, False)
    ):
        cells = restored // image_channels
        unshuffle = math.isqrt(cells)
        if image_channels * unshuffle**2 != restored:
            continue
        if not norms and not short_term:
            continue  # the number of recursions is unknown
        # Without BatchNorm the first gate shows it: B_0, if long-term, and H^1 ... H^R.
        recursions = norms or gate - long_term
        try:
            yield Architecture(
                memory_blocks=blocks,
                recursions=recursions,
                channels=channels,
                unshuffle=unshuffle,
                multi_supervised="fusion" in shapes,
                long_term=long_term,
                short_term=short_term,
                fenet_norm="fenet_norm.weight" in shapes,
                image_channels=image_channels,
                level_map=planes > restored,
                chroma_level=planes == restored + 2 * unshuffle**2,
                batch_norm=norms > 0,
            )
        except ValueError:
            continue


def _expected(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = MemNet(architecture).state_dict()
    return _known({name: tuple(tensor.shape) for name, tensor in state.items()})


def _known(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(shape)
        for name, shape in shapes.items()
        if not name.endswith(".num_batches_tracked")
    }
