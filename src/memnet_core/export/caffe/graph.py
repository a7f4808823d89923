"""Layers of a Caffe model, and the expression graph that they compute."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memnet_core.export.caffe.protobuf import Message, WireError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Activated",
    "Concatenated",
    "Convolved",
    "Data",
    "Layer",
    "Net",
    "Norm",
    "Sum",
    "Value",
    "Weighted",
    "output_of",
    "read_net",
]

_SOURCES = {"Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData"}
_WITHOUT_RESULT = {"EuclideanLoss", "Silence"}
_EPSILON = 1e-5
"""That of our BatchNorm, and of Caffe's where it is not set."""


class Value:
    """Something that is computed; two are the same if they are the same object."""


class Data(Value):
    """The image."""


@dataclass(frozen=True, eq=False)
class Norm(Value):
    """BatchNorm with running statistics, and Scale behind it, each of shape (C,)."""

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
    """A value times a number."""

    source: Value
    factor: float


@dataclass(frozen=True, eq=False)
class Sum(Value):
    """Values added up."""

    terms: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Concatenated(Value):
    """Feature maps behind each other."""

    parts: tuple[Value, ...]


def output_of(net: Net) -> Value:
    """Return the last sum of a network, the restored image.

    Parameters
    ----------
    net : Net
        The layers.

    Raises
    ------
    WireError
        If a layer is of a kind, or has options, that no MemNet has.
    """
    known: dict[str, Value] = {name: Data() for name in net.inputs}
    result: Value | None = None
    for layer in net.layers:
        if layer.kind in _WITHOUT_RESULT:
            continue
        if layer.kind in _SOURCES:
            known |= {top: Data() for top in layer.tops}
            continue
        missing = [name for name in layer.bottoms if name not in known]
        if missing or not layer.bottoms or not layer.tops:
            raise WireError(f"layer {layer.name!r} has no input {missing}")
        sources = tuple(known[name] for name in layer.bottoms)
        value = _value(layer, sources)
        known |= dict.fromkeys(layer.tops, value)
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
    # Caffe keeps sums over its moving average, and by what they have to be divided.
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
    """A layer: type, inputs and outputs, parameters and weights.

    Attributes
    ----------
    name, kind : str
        Its name, and its type, such as ``Convolution``.
    bottoms, tops : tuple of str
        What goes in and comes out.
    blobs : tuple of ndarray of float32
        Weights; those that share a name with an earlier layer's may be missing in the
        file, and are filled in.
    options : Message
        Its parameters, by number as in caffe.proto.
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
    """Read a network with its weights.

    Parameters
    ----------
    data : bytes
        The content of a .caffemodel.

    Raises
    ------
    WireError
        If it is not well formed.
    """
    net = Message(data)
    if 2 in net and 100 not in net:
        raise WireError(
            "its layers are of the form before 2014; Caffe's upgrade_net_proto_binary "
            "brings them up to date"
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
