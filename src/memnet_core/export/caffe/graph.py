"""What the layers of a Caffe model compute, as far as a MemNet needs it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memnet_core.export.caffe.protobuf import WireError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.export.caffe.layers import Layer, Net

__all__ = [
    "Activated",
    "Concatenated",
    "Convolved",
    "Data",
    "Norm",
    "Sum",
    "Value",
    "Weighted",
    "output_of",
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
    """Return what the last sum of a network is: the restored image.

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
