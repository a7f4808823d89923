"""Export as ONNX: build the graph of the folded network operator by operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from memnet_core.errors import UsageError
from memnet_core.model.fused import Affine, Convolution, Rectifier

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.export.module import ExportableMemNet
    from memnet_core.model.fused import Activation, FusedBlock, GateTerm

__all__ = ["OPSET", "onnx_session", "run_onnx", "write_onnx"]

OPSET = 13
"""Operator set of ONNX 1.8 (2020), which every current runtime reads."""

_IR_VERSION = 7
"""File format of the same release."""


def write_onnx(
    network: ExportableMemNet, path: Path, about: dict[str, str] | None = None
) -> None:
    """Write a network as ONNX with free height and width.

    The input ``image`` and the output ``restored`` are float32 of shape (N, C, H, W).
    A network that takes the level has a second input ``level`` of shape (N, P, H, W)
    or (N, P, 1, 1); P is 2 for luminance and chroma, else 1. `about` becomes the
    metadata of the file.

    Raises
    ------
    UsageError
        If the package onnx is not installed.
    OSError
        If the file cannot be written.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise UsageError(
            "Export as ONNX needs further packages; install them by "
            "pip install 'napari-memnet[export]'."
        ) from error
    graph = _Graph()
    result = _restored(graph, network)
    shape = ["N", network.architecture.image_channels, "H", "W"]
    shapes: dict[str, list[Any]] = {"image": shape}
    if network.takes_level:
        planes = network.architecture.level_planes
        shapes["level"] = ["N", planes, "level_H", "level_W"]
    model = helper.make_model(
        helper.make_graph(
            [*graph.nodes, helper.make_node("Identity", [result], ["restored"])],
            "memnet",
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)
                for name, sizes in shapes.items()
            ],
            [helper.make_tensor_value_info("restored", onnx.TensorProto.FLOAT, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="napari-memnet",
    )
    helper.set_model_props(model, about or {})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def onnx_session(path: Path, threads: int = 1) -> Any:
    """Open an ONNX file in ONNX Runtime, on the CPU.

    Raises
    ------
    ImportError
        If ONNX Runtime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )


def run_onnx(path: Path, *inputs: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Run an ONNX file on an image, and a level if it takes one.

    Returns None if ONNX Runtime is not installed.
    """
    try:
        session = onnx_session(path)
    except ImportError:
        return None
    [restored] = session.run(None, dict(zip(("image", "level"), inputs, strict=False)))
    return np.asarray(restored, np.float32)


class _Graph:
    """Builder of a graph: its nodes and constants so far."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names: dict[bytes, str] = {}

    def constant(self, values: NDArray[Any] | Tensor) -> str:
        """Add a constant unless it exists, and return its name."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(values)
        key = f"{array.dtype} {array.shape} ".encode() + array.tobytes()
        if key not in self._names:
            self._names[key] = name = f"w{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, name))
        return self._names[key]

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator and return the name of its output."""
        from onnx import helper

        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [*inputs], [name], **attributes))
        return name

    def activated(self, norm: Activation, x: str) -> str:
        """Add ReLU(s·x + t), or ReLU(x) without BatchNorm."""
        if isinstance(norm, Rectifier):
            return self.add("Relu", x)
        scale, shift = (
            self.constant(part.reshape(-1, 1, 1)) for part in (norm.scale, norm.shift)
        )
        return self.add("Relu", self.add("Add", self.add("Mul", x, scale), shift))

    def convolved(self, convolution: Convolution, x: str) -> str:
        """Add a convolution with zero padding."""
        weight, bias = convolution.weight, convolution.bias
        parts = [self.constant(weight)]
        if bias is not None:
            parts.append(self.constant(bias))
        return self.add("Conv", x, *parts, pads=[weight.shape[-1] // 2] * 4)

    def total(self, terms: list[str]) -> str:
        """Add the sum of feature maps."""
        return terms[0] if len(terms) == 1 else self.add("Sum", *terms)


def _restored(graph: _Graph, network: ExportableMemNet) -> str:
    """Add a whole network and return the name of its output."""
    weights = network.weights
    memories = [_features(graph, network)]
    terms = []
    for block, norm, share in zip(
        weights.blocks, weights.recon_norms, weights.fusion, strict=True
    ):
        memories.append(_block(graph, cast("FusedBlock", block), memories))
        if share:
            term = graph.activated(cast("Activation", norm), memories[-1])
            factor = graph.constant(np.float32(share).reshape(1))
            terms.append(graph.add("Mul", term, factor))
    residual = graph.convolved(weights.recon, graph.total(terms))
    if (size := network.architecture.unshuffle) > 1:
        residual = graph.add("DepthToSpace", residual, blocksize=size, mode="CRD")
    whole = graph.constant(np.float32(sum(weights.fusion)).reshape(1))
    return graph.add("Add", graph.add("Mul", "image", whole), residual)


def _features(graph: _Graph, network: ExportableMemNet) -> str:
    """Add FENet on the image and the level map, and return the name of B_0."""
    planes, weights = "image", network.weights
    if network.architecture.level_map:
        planes = graph.add("Concat", planes, _level(graph, network), axis=1)
    size = network.architecture.unshuffle
    order: Any = slice(None)
    if size > 1:
        planes = graph.add("SpaceToDepth", planes, blocksize=size)
        # Its channels vary fastest, those of pixel_unshuffle slowest. Permute the
        # weights: OpenVINO computes garbage from a Gather behind it.
        order = np.arange(network.architecture.input_channels * size**2)
        order = order.reshape(-1, size**2).T.ravel()
    if (norm := weights.fenet_norm) is not None:
        shuffled = Affine(*(part.flatten()[order] for part in (norm.scale, norm.shift)))
        planes = graph.activated(shuffled, planes)
    fenet = Convolution(weights.fenet.weight[:, order], weights.fenet.bias)
    return graph.convolved(fenet, planes)


def _level(graph: _Graph, network: ExportableMemNet) -> str:
    """Add the level planes, expanded to the size of the image."""
    level = "level"
    if network.plane is not None:
        level = graph.constant(np.full((1, 1, 1, 1), network.plane, np.float32))
    size_of = graph.add("Shape", "image")
    batch, height, width = (
        graph.add("Gather", size_of, graph.constant(np.array([axis])), axis=0)
        for axis in (0, 2, 3)
    )
    planes = graph.constant(np.array([network.architecture.level_planes]))
    shape = graph.add("Concat", batch, planes, height, width, axis=0)
    return graph.add("Expand", level, shape)


def _block(graph: _Graph, block: FusedBlock, memories: list[str]) -> str:
    """Add a memory block and return the name of B_m."""
    h = memories[-1]
    recursions = []
    for norm, first in zip(block.norms, block.first, strict=True):
        inner = graph.convolved(
            cast("Convolution", first), graph.activated(cast("Activation", norm), h)
        )
        h = graph.add("Add", graph.convolved(block.second, graph.add("Relu", inner)), h)
        recursions.append(h)
    long_term = memories if block.long_term else []
    short_term = recursions if block.short_term else recursions[-1:]
    terms = [
        graph.convolved(term.convolution, graph.activated(term.norm, memory))
        for term, memory in zip(
            cast("list[GateTerm]", list(block.gates)),
            [*long_term, *short_term],
            strict=True,
        )
    ]
    bias = graph.constant(block.gate_bias.reshape(-1, 1, 1))
    return graph.add("Add", graph.total(terms), bias)
