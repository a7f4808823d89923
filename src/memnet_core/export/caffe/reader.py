"""Convert the authors' Caffe networks to ours, by the graph they compute.

Names of layers do not matter: the graph is followed back from the restored image.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

from memnet_core.export.caffe.graph import (
    Activated,
    Concatenated,
    Convolved,
    Data,
    Norm,
    Sum,
    Value,
    Weighted,
    output_of,
    read_net,
)
from memnet_core.export.caffe.protobuf import WireError
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["memnet_from_caffe"]


_MOST_BLOCKS = 100
"""As many as an architecture can have."""


def memnet_from_caffe(data: bytes) -> MemNet:
    """Make a network of a .caffemodel.

    Parameters
    ----------
    data : bytes
        Its content.

    Raises
    ------
    WireError
        If it is not well formed, or not a MemNet.
    """
    predictions = _predictions(output_of(read_net(data)))
    # The deepest one sees all memory blocks.
    blocks = max((_blocks(each.source) for each in predictions), key=len)
    order = {id(block.gate): m for m, block in enumerate(blocks)}
    if any(id(each.source) not in order for each in predictions):
        raise WireError("a prediction is not made of a memory block")
    predictions.sort(key=lambda each: order[id(each.source)])
    with torch.device("meta"):
        network = MemNet(_architecture(predictions, blocks))
    state = network.state_dict()
    for name, tensor in state.items():
        if not tensor.ndim:
            state[name] = torch.zeros_like(tensor, device="cpu")
    _fill(state, predictions, blocks)
    network.load_state_dict(state, assign=True)
    return network.eval()


@dataclass(frozen=True)
class _Prediction:
    """Reconstruction of a prediction, and its fusion weight, if any."""

    recon: Convolved
    weight: float | None

    @property
    def norm(self) -> Norm:
        """BatchNorm before the reconstruction."""
        return _activation(self.recon.source, "the reconstruction").norm

    @property
    def source(self) -> Value:
        """Features B_m of the prediction."""
        return self.norm.source


@dataclass(frozen=True)
class _Block:
    """A memory block, followed back from its gate unit.

    Attributes
    ----------
    given : RowConv
        B_{m-1}.
    recursions : tuple of (RowConv, RowConv)
        First and second convolution of each.
    states : tuple of Value
        H^1 … H^R.
    gate : RowConv
        B_m.
    memories : tuple of Value
        What enters the gate unit, in the order of the file.
    """

    given: Convolved
    recursions: tuple[tuple[Convolved, Convolved], ...]
    states: tuple[Value, ...]
    gate: Convolved
    memories: tuple[Value, ...]


def _predictions(output: Value) -> list[_Prediction]:
    """Return the reconstructions that the output sums."""
    assert isinstance(output, Sum)
    if any(isinstance(term, Data) for term in output.terms):
        return [_Prediction(_residual(output), None)]
    predictions = []
    for term in output.terms:
        if not isinstance(term, Weighted):
            raise WireError("its output is no weighted sum of predictions")
        predictions.append(_Prediction(_residual(term.source), term.factor))
    if len(predictions) > _MOST_BLOCKS:
        raise WireError(f"it has more than {_MOST_BLOCKS} predictions")
    return predictions


def _residual(value: Value) -> Convolved:
    """Return the reconstruction that is added to the image."""
    if isinstance(value, Sum):
        others = [term for term in value.terms if not isinstance(term, Data)]
        if len(value.terms) == 2 and len(others) == 1:
            return _convolution(others[0], "the reconstruction")
    raise WireError("a prediction is not the image and a residual")


def _blocks(value: Value) -> list[_Block]:
    """Follow the network back from B_M, and return its memory blocks in order."""
    blocks: list[_Block] = []
    while True:
        gate = _convolution(value, "a gate unit")
        source = gate.source
        first = isinstance(source, Data) or (
            isinstance(source, Activated) and isinstance(source.norm.source, Data)
        )
        if first:
            if not blocks:
                raise WireError("it has no memory block")
            return blocks[::-1]
        entered = _activation(source, "a gate unit").norm.source
        parts = entered.parts if isinstance(entered, Concatenated) else (entered,)
        block = _block(gate, parts)
        blocks.append(block)
        if len(blocks) > _MOST_BLOCKS:
            raise WireError(f"it has more than {_MOST_BLOCKS} memory blocks")
        value = block.given


def _block(gate: Convolved, memories: tuple[Value, ...]) -> _Block:
    states: list[Value] = []
    recursions: list[tuple[Convolved, Convolved]] = []
    value = memories[-1]
    while isinstance(value, Sum):
        step = _recursion(value)
        if step is None:
            raise WireError("a residual block does not add what went into it")
        states.append(value)
        before, first, second = step
        recursions.append((first, second))
        value = before
    if not states:
        raise WireError("a gate unit does not see the last recursion behind the others")
    given = _convolution(value, "the input of a memory block")
    return _Block(given, tuple(recursions[::-1]), tuple(states[::-1]), gate, memories)


def _recursion(value: Sum) -> tuple[Value, Convolved, Convolved] | None:
    """Return H^{r-1} and both convolutions of a residual block."""
    if len(value.terms) != 2:
        return None
    for second, before in (value.terms, value.terms[::-1]):
        if isinstance(second, Convolved) and isinstance(second.source, Activated):
            first = second.source.norm.source
            if (
                isinstance(first, Convolved)
                and isinstance(first.source, Activated)
                and first.source.norm.source is before
            ):
                return before, first, second
    return None


def _architecture(
    predictions: Sequence[_Prediction], blocks: Sequence[_Block]
) -> Architecture:
    first = blocks[0].given
    supervised = predictions[0].weight is not None
    recursions = len(blocks[0].recursions)
    if any(len(block.recursions) != recursions for block in blocks):
        raise WireError("its memory blocks have different numbers of recursions")
    if len(predictions) != (len(blocks) if supervised else 1):
        raise WireError(
            f"it has {len(predictions)} predictions for {len(blocks)} memory blocks"
        )
    for long_term, short_term in product((True, False), repeat=2):
        try:
            architecture = Architecture(
                memory_blocks=len(blocks),
                recursions=recursions,
                channels=first.weight.shape[0],
                multi_supervised=supervised,
                long_term=long_term,
                short_term=short_term,
                fenet_norm=isinstance(first.source, Activated),
                image_channels=predictions[0].recon.weight.shape[0],
            )
        except ValueError as error:
            raise WireError(str(error).removesuffix(".")) from error
        ours = [_memories(blocks, m, architecture) for m in range(len(blocks))]
        if all(
            sorted(map(id, block.memories)) == sorted(map(id, memories))
            for block, memories in zip(blocks, ours, strict=True)
        ):
            return architecture
    raise WireError("its gate units see other memories than those of a MemNet")


def _memories(
    blocks: Sequence[_Block], m: int, architecture: Architecture
) -> list[Value]:
    """Return the inputs of a gate unit, in our order."""
    long_term: list[Value] = [block.given for block in blocks[: m + 1]]
    states = blocks[m].states
    return [
        *(long_term if architecture.long_term else []),
        *(states if architecture.short_term else states[-1:]),
    ]


def _fill(
    state: dict[str, Tensor],
    predictions: Sequence[_Prediction],
    blocks: Sequence[_Block],
) -> None:
    """Put the weights of a file into a state of ours."""
    fenet = blocks[0].given
    if isinstance(fenet.source, Activated):
        _put_norm(state, "fenet_norm", fenet.source.norm)
    _put_convolution(state, "fenet", fenet, 3)
    for m, block in enumerate(blocks):
        name = f"blocks.{m}."
        for number in (0, 1):
            shared = [pair[number] for pair in block.recursions]
            where = f"{name}recursive.conv{number + 1}"
            _put_convolution(state, where, _shared(shared, f"memory block {m + 1}"), 3)
            for r, convolution in enumerate(shared):
                norm = _activation(convolution.source, "a recursion").norm
                _put_norm(state, f"{name}recursive.norm{number + 1}.{r}", norm)
        _put_gate(state, f"{name}gate", block, blocks, m)
    recon = _shared([each.recon for each in predictions], "the reconstruction")
    _put_convolution(state, "reconnet.conv", recon, 3)
    if weights := [each.weight for each in predictions if each.weight is not None]:
        _put(state, "fusion", np.array(weights, np.float32))
    for m, each in enumerate(predictions):
        _put_norm(state, f"reconnet.norm.{m}", each.norm)


def _put_gate(
    state: dict[str, Tensor],
    name: str,
    block: _Block,
    blocks: Sequence[_Block],
    m: int,
) -> None:
    """Put a gate unit, whose memories may come in another order than ours."""
    places = {id(memory): place for place, memory in enumerate(block.memories)}
    ours = [
        memory
        for memory in (*(b.given for b in blocks[: m + 1]), *block.states)
        if id(memory) in places
    ]
    channels = blocks[0].given.weight.shape[0]
    order = np.concatenate(
        [np.arange(channels) + channels * places[id(memory)] for memory in ours]
    )
    norm = _activation(block.gate.source, "a gate unit").norm
    if norm.mean.size != order.size or block.gate.weight.shape[1] != order.size:
        raise WireError("a gate unit has weights of other shapes")
    _put_norm(
        state,
        f"{name}.norm",
        Norm(
            norm.source,
            norm.mean[order],
            norm.variance[order],
            norm.weight[order],
            norm.bias[order],
        ),
    )
    weight = block.gate.weight[:, order]
    gate = Convolved(block.gate.source, weight, block.gate.bias)
    _put_convolution(state, f"{name}.conv", gate, 1)


def _put_convolution(
    state: dict[str, Tensor], name: str, convolution: Convolved, side: int
) -> None:
    if convolution.weight.shape[-1] != side:
        raise WireError(f"what would be {name} is no {side}×{side} convolution")
    _put(state, f"{name}.weight", convolution.weight)
    _put(state, f"{name}.bias", convolution.bias)


def _put_norm(state: dict[str, Tensor], name: str, norm: Norm) -> None:
    _put(state, f"{name}.running_mean", norm.mean)
    _put(state, f"{name}.running_var", norm.variance)
    _put(state, f"{name}.weight", norm.weight)
    _put(state, f"{name}.bias", norm.bias)


def _put(state: dict[str, Tensor], name: str, values: NDArray[np.float32]) -> None:
    if state[name].shape != values.shape:
        raise WireError(
            f"what would be {name} has the shape {values.shape}, not "
            f"{tuple(state[name].shape)}"
        )
    state[name] = torch.from_numpy(np.ascontiguousarray(values))


def _shared(convolutions: Sequence[Convolved], where: str) -> Convolved:
    """Return the convolution that all are."""
    first, *others = convolutions
    for other in others:
        if not (
            np.array_equal(first.weight, other.weight)
            and np.array_equal(first.bias, other.bias)
        ):
            raise WireError(
                f"the convolutions of {where} differ, which a MemNet shares"
            )
    return first


def _convolution(value: Value, where: str) -> Convolved:
    if not isinstance(value, Convolved):
        raise WireError(f"{where} is no convolution")
    return value


def _activation(value: Value, where: str) -> Activated:
    if not isinstance(value, Activated):
        raise WireError(f"BatchNorm and ReLU are missing before {where}")
    return value
