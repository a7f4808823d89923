"""The layers of a Caffe model (NetParameter, as Caffe has written it since 2014)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memnet_core.export.caffe.protobuf import Message, WireError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layer", "Net", "read_net"]


@dataclass(frozen=True)
class Layer:
    """A layer: what it is, what it connects, and its weights.

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
