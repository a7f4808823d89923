"""Convert Caffe networks of the authors' form to ours, by the graph they compute."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

from memnet_core.export.protobuf import Message, WireError
from memnet_core.model.architecture import Architecture
from memnet_core.model.network import MemNet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["memnet_from_caffe"]

_SOURCES = {"Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData"}
_WITHOUT_OUTPUT = {"EuclideanLoss", "Silence"}
_EPSILON = 1e-5
"""Epsilon of our BatchNorm, and the default of Caffe's."""

_MAX_BLOCKS = 100
"""Maximum memory blocks of an `Architecture`."""


class Value:
    """A node of the graph; nodes are compared by identity."""


class Data(Value):
    """The input image."""


@dataclass(frozen=True, eq=False)
class Norm(Value):
    """BatchNorm with running statistics and the Scale behind it, each of shape (C,)."""

    source: Value
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Activated(Value):
    """ReLU of a norm."""

    norm: Norm


@dataclass(frozen=True, eq=False)
class Convolved(Value):
    """A convolution that keeps the size, weights of shape (out, in, k, k)."""

    source: Value
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Weighted(Value):
    """A value times a scalar."""

    source: Value
    factor: float


@dataclass(frozen=True, eq=False)
class Sum(Value):
    """Sum of values."""

    terms: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Concatenated(Value):
    """Concatenation along the channels."""

    parts: tuple[Value, ...]


def memnet_from_caffe(data: bytes) -> MemNet:
    """Build a network from the content of a .caffemodel.

    Layer names do not matter: the graph is followed back from the restored image.

    Raises
    ------
    WireError
        If the content is not well-formed, or not a MemNet.
    """
    predictions = _predictions(output_of(read_net(data)))
    # The deepest prediction depends on all memory blocks.
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
    input : Convolved
        B_{m-1}.
    recursions : tuple of (Convolved, Convolved)
        First and second convolution of each recursion.
    states : tuple of Value
        H^1 … H^R.
    gate : Convolved
        B_m.
    memories : tuple of Value
        Inputs of the gate unit, in the order of the file.
    """

    input: Convolved
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
    if len(predictions) > _MAX_BLOCKS:
        raise WireError(f"it has more than {_MAX_BLOCKS} predictions")
    return predictions


def _residual(value: Value) -> Convolved:
    """Return the reconstruction that is added to the image."""
    if isinstance(value, Sum):
        others = [term for term in value.terms if not isinstance(term, Data)]
        if len(value.terms) == 2 and len(others) == 1:
            return _convolution(others[0], "the reconstruction")
    raise WireError("a prediction is not the image and a residual")


def _blocks(value: Value) -> list[_Block]:
    """Follow the network back from B_M; return its memory blocks, the first first."""
    blocks: list[_Block] = []
    while True:
        gate = _convolution(value, "a gate unit")
        source = gate.source
        is_fenet = isinstance(source, Data) or (
            isinstance(source, Activated) and isinstance(source.norm.source, Data)
        )
        if is_fenet:
            if not blocks:
                raise WireError("it has no memory block")
            return blocks[::-1]
        inputs = _activation(source, "a gate unit").norm.source
        parts = inputs.parts if isinstance(inputs, Concatenated) else (inputs,)
        block = _block(gate, parts)
        blocks.append(block)
        if len(blocks) > _MAX_BLOCKS:
            raise WireError(f"it has more than {_MAX_BLOCKS} memory blocks")
        value = block.input


def _block(gate: Convolved, memories: tuple[Value, ...]) -> _Block:
    states: list[Value] = []
    recursions: list[tuple[Convolved, Convolved]] = []
    value = memories[-1]
    while isinstance(value, Sum):
        step = _recursion(value)
        if step is None:
            raise WireError("a residual block does not add its input")
        states.append(value)
        before, first, second = step
        recursions.append((first, second))
        value = before
    if not states:
        raise WireError("the last input of a gate unit is not the last recursion")
    first = _convolution(value, "the input of a memory block")
    return _Block(first, tuple(recursions[::-1]), tuple(states[::-1]), gate, memories)


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
    first = blocks[0].input
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
    raise WireError("its gate units have other inputs than those of a MemNet")


def _memories(
    blocks: Sequence[_Block], m: int, architecture: Architecture
) -> list[Value]:
    """Return the inputs of a gate unit, in our order."""
    long_term: list[Value] = [block.input for block in blocks[: m + 1]]
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
    """Copy the weights of a file into a state dict of ours."""
    fenet = blocks[0].input
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
    state: dict[str, Tensor], name: str, block: _Block, blocks: Sequence[_Block], m: int
) -> None:
    """Copy a gate unit, whose inputs may be in another order than ours."""
    places = {id(memory): place for place, memory in enumerate(block.memories)}
    ours = [
        memory
        for memory in (*(b.input for b in blocks[: m + 1]), *block.states)
        if id(memory) in places
    ]
    channels = blocks[0].input.weight.shape[0]
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
    """Return the convolution, if all are equal."""
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


def output_of(net: Net) -> Value:
    """Return the last sum of a network, which is the restored image.

    Raises
    ------
    WireError
        If a layer has a type or parameters that no MemNet has.
    """
    values: dict[str, Value] = {name: Data() for name in net.inputs}
    result: Value | None = None
    for layer in net.layers:
        if layer.kind in _WITHOUT_OUTPUT:
            continue
        if layer.kind in _SOURCES:
            values |= {top: Data() for top in layer.tops}
            continue
        missing = [name for name in layer.bottoms if name not in values]
        if missing or not layer.bottoms or not layer.tops:
            raise WireError(f"layer {layer.name!r} has no input {missing}")
        sources = tuple(values[name] for name in layer.bottoms)
        value = _value(layer, sources)
        values |= dict.fromkeys(layer.tops, value)
        if isinstance(value, Sum):
            result = value
    if result is None:
        raise WireError("it has no sum of images")
    return result


def _value(layer: Layer, sources: tuple[Value, ...]) -> Value:
    source = sources[0]
    if layer.kind == "Split":
        return source
    if layer.kind == "BatchNorm":
        return _normalized(layer, source)
    if layer.kind == "Scale":
        return _scaled(layer, source)
    if layer.kind == "ReLU" and isinstance(source, Norm):
        return Activated(source)
    if layer.kind == "Convolution":
        return _convolved(layer, source)
    if layer.kind == "Eltwise":
        options = layer.options.message(110)
        if options.number(1, 1) != 1 or 2 in options:
            raise WireError(f"layer {layer.name!r} does not simply add")
        return Sum(sources)
    if layer.kind == "Concat":
        options = layer.options.message(104)
        if options.number(2, 1) != 1 or options.number(1, 1) != 1:
            raise WireError(f"layer {layer.name!r} does not put maps behind each other")
        return Concatenated(sources)
    raise WireError(
        f"layer {layer.name!r} of type {layer.kind!r} has no place in a MemNet"
    )


def _normalized(layer: Layer, source: Value) -> Norm:
    mean, variance, factor = (blob.ravel() for blob in _blobs(layer, 3))
    epsilon = layer.options.message(139).data(3) or struct.pack("<f", _EPSILON)
    if abs(struct.unpack("<f", epsilon[-4:])[0] - _EPSILON) > _EPSILON / 100:
        raise WireError(f"layer {layer.name!r} does not use the usual epsilon of 1e-5")
    if factor.size != 1 or mean.shape != variance.shape:
        raise WireError(f"layer {layer.name!r} has weights of other shapes")
    # Caffe stores sums of its moving average, and the factor to divide them by.
    scale = np.float32(0 if factor[0] == 0 else 1 / factor[0])
    one, zero = np.ones_like(mean), np.zeros_like(mean)
    return Norm(source, mean * scale, variance * scale, one, zero)


def _scaled(layer: Layer, source: Value) -> Value:
    if isinstance(source, Norm):
        weight, bias = (blob.ravel() for blob in _blobs(layer, 2))
        if not weight.shape == bias.shape == source.mean.shape:
            raise WireError(f"layer {layer.name!r} has weights of other shapes")
        return Norm(source.source, source.mean, source.variance, weight, bias)
    [factors] = _blobs(layer, 1)
    if np.ptp(factors) if factors.size else True:
        raise WireError(f"layer {layer.name!r} does not weight a prediction as a whole")
    return Weighted(source, float(factors.flat[0]))


def _convolved(layer: Layer, source: Value) -> Convolved:
    options = layer.options.message(106)
    has_bias = options.number(2, 1) != 0
    weight, *biases = _blobs(layer, 1 + has_bias)
    bias = biases[0].ravel() if biases else np.zeros(weight.shape[0], np.float32)
    if weight.ndim != 4 or bias.size != weight.shape[0]:
        raise WireError(f"layer {layer.name!r} has weights of other shapes")
    side = weight.shape[-1]
    pads = [number for field in (3, 9, 10) for number in options.numbers(field)] or [0]
    ones = [number for field in (5, 6, 13, 14, 18) for number in options.numbers(field)]
    if (
        weight.shape[-2] != side
        or side not in (1, 3)
        or set(pads) != {side // 2}
        or set(ones) - {1}
    ):
        raise WireError(f"layer {layer.name!r} is none of a MemNet's convolutions")
    return Convolved(source, weight, bias)


def _blobs(layer: Layer, count: int) -> tuple[NDArray[np.float32], ...]:
    if len(layer.blobs) != count:
        raise WireError(
            f"layer {layer.name!r} has {len(layer.blobs)} blobs of weights, not {count}"
        )
    return layer.blobs


@dataclass(frozen=True)
class Layer:
    """A layer of the file.

    Attributes
    ----------
    name, kind : str
        Name, and type, such as ``Convolution``.
    bottoms, tops : tuple of str
        Names of inputs and outputs.
    blobs : tuple of ndarray of float32
        Weights. Those shared with an earlier layer by name may be missing in the file;
        they are filled in.
    options : Message
        Parameters by field number of caffe.proto.
    """

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[NDArray[np.float32], ...]
    options: Message


@dataclass(frozen=True)
class Net:
    """Layers in the order of the file, and the names of inputs outside of layers."""

    name: str
    inputs: tuple[str, ...]
    layers: tuple[Layer, ...]


def read_net(data: bytes) -> Net:
    """Parse the content of a .caffemodel, layers and weights.

    Raises
    ------
    WireError
        If it is not well-formed.
    """
    net = Message(data)
    if 2 in net and 100 not in net:
        raise WireError(
            "its layers have the format before 2014; convert them by Caffe's "
            "upgrade_net_proto_binary"
        )
    shared: dict[str, NDArray[np.float32]] = {}
    layers = tuple(_layer(message, shared) for message in net.messages(100))
    return Net(net.text(1), tuple(net.texts(3)), layers)


def _layer(message: Message, shared: dict[str, NDArray[np.float32]]) -> Layer:
    name = message.text(1)
    blobs = [_blob(blob, name) for blob in message.messages(7)]
    names = [spec.text(1) for spec in message.messages(6)]
    for number, shared_name in enumerate(names):
        if not shared_name:
            continue
        if number < len(blobs):
            shared.setdefault(shared_name, blobs[number])
        elif number == len(blobs) and shared_name in shared:
            blobs.append(shared[shared_name])
    return Layer(
        name,
        message.text(2),
        tuple(message.texts(3)),
        tuple(message.texts(4)),
        tuple(blobs),
        message,
    )


def _blob(message: Message, layer: str) -> NDArray[np.float32]:
    data, kind = (message.data(5), "<f4") if 5 in message else (message.data(8), "<f8")
    size = np.dtype(kind).itemsize
    if len(data) % size:
        raise WireError(f"the weights of layer {layer!r} end within a number")
    values = np.frombuffer(data, kind)
    if 7 in message:
        shape = message.message(7).numbers(1)
    else:
        shape = [message.number(field, 1) for field in (1, 2, 3, 4)]
    if math.prod(shape) != values.size:
        raise WireError(
            f"layer {layer!r} has {values.size} weights, not the "
            f"{'×'.join(map(str, shape)) or 'one'} that it states"
        )
    return values.reshape(shape).astype(np.float32)
