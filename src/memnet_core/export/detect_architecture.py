"""The architecture of a network by the names and shapes of its tensors alone."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import torch

from memnet_core.errors import ModelError
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Shapes = Mapping[str, Sequence[int]]

__all__ = ["PORT", "architecture_of", "is_port"]

PORT = (
    "holds a public PyTorch port of MemNet: its residual blocks have convolutions of "
    "their own, where the paper's recursions share two, and it makes a single "
    "prediction, so it is another network and cannot become a model here"
)
"""Why the ports that people copied from each other since 2017 are refused."""

_OF_PORTS = ("feature_extractor.", "dense_memory.", "reconstructor.")


def is_port(names: Iterable[str]) -> bool:
    """Whether tensors are named as those of the public PyTorch ports."""
    plain = [name.removeprefix("module.") for name in names]
    return any(name.startswith(_OF_PORTS) for name in plain)


def architecture_of(shapes: Shapes) -> Architecture:
    """Return the one architecture whose tensors have exactly these names and shapes.

    Parameters
    ----------
    shapes : mapping of str to sequence of int
        Shape of each tensor, by its name; BatchNorm's ``num_batches_tracked`` may be
        missing.

    Raises
    ------
    ModelError
        If there is none, or more than one that computes differently; the message lacks
        its subject, the file.
    """
    if is_port(shapes):
        raise ModelError(PORT)
    found = [each for each in _candidates(shapes) if _expected(each) == _known(shapes)]
    if not found:
        raise ModelError(
            "does not hold exactly the tensors of a MemNet of ours, fenet.weight to "
            "reconnet.conv.bias"
        )
    if len({each.long_term for each in found}) > 1:
        raise ModelError(
            "fits networks with and without long-term memories alike; what it was "
            "cannot be told by its tensors"
        )
    if not found[0].batch_norm and found[0].recursions == 1:
        raise ModelError(
            "fits networks of any number of recursions that use only the last; what it "
            "was cannot be told by its tensors"
        )
    return found[0]


def _candidates(shapes: Shapes) -> Iterator[Architecture]:
    """Yield what a network could be by its first tensors."""
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
            continue  # nothing tells the number of recursions
        # Without BatchNorm the first gate tells it: B_0, if long-term, and H^1 ... H^R.
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
