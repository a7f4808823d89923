"""Caffe files become the networks that they are, or are refused in one sentence.

The tests write networks of ours as Caffe does, to read them again.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from memnet_core.errors import UsageError
from memnet_core.export.caffe import memnet_from_caffe
from memnet_core.export.import_weights import import_file
from memnet_core.export.protobuf import Message, WireError
from memnet_core.model.checkpoint import load_model
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from memnet_core.model.network import MemNet

    Network = Callable[..., MemNet]
    Planes = Callable[..., Tensor]

FACTOR = 4.0
"""What the sums of Caffe's BatchNorm are to be divided by."""


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def field(number: int, value: int | float | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def blob(values: Any, *, legacy: bool = False) -> bytes:
    array = np.asarray(values, np.float32)
    data = field(5, array.astype("<f4").tobytes())
    if legacy:
        sides = [1] * (4 - array.ndim) + list(array.shape)
        return b"".join(field(n + 1, side) for n, side in enumerate(sides)) + data
    return data + field(7, field(1, b"".join(map(varint, array.shape))))


class Writer:
    """Layers of a network as a NetParameter.

    Parameters
    ----------
    once : bool
        Whether weights with a name are written with their first layer alone; Caffe
        writes them with each.
    legacy : bool
        Whether shapes are written as before 2015.
    reverse : bool
        Whether gate units see their memories in the reverse order of ours, but for the
        last.
    """

    def __init__(
        self, *, once: bool = False, legacy: bool = False, reverse: bool = False
    ) -> None:
        self.once, self.legacy, self.reverse = once, legacy, reverse
        self.layers: list[bytes] = []
        self.named: set[str] = set()

    def layer(
        self,
        name: str,
        kind: str,
        bottoms: Sequence[str],
        tops: Sequence[str],
        blobs: Iterable[Any] = (),
        names: Sequence[str] = (),
        options: bytes = b"",
    ) -> str:
        content = field(1, name) + field(2, kind)
        content += b"".join(field(3, bottom) for bottom in bottoms)
        content += b"".join(field(4, top) for top in tops)
        content += b"".join(field(6, field(1, each) + field(3, 1.0)) for each in names)
        known = self.once and bool(names) and set(names) <= self.named
        if not known:
            content += b"".join(
                field(7, blob(each, legacy=self.legacy)) for each in blobs
            )
        self.named |= set(names)
        self.layers.append(field(100, content + options + field(10, 1)))
        return tops[0] if tops else ""

    def activated(self, name: str, bottom: str, norm: nn.Module) -> str:
        """BatchNorm, Scale and ReLU, all but the first in place."""
        state = {key: value.numpy() for key, value in norm.state_dict().items()}
        top = f"bn_{name}"
        sums = [FACTOR * state["running_mean"], FACTOR * state["running_var"], [FACTOR]]
        self.layer(top, "BatchNorm", [bottom], [top], sums)
        scale = [state["weight"], state["bias"]]
        options = field(142, field(4, 1))
        self.layer(f"scale_{name}", "Scale", [top], [top], scale, options=options)
        return self.layer(f"relu_{name}", "ReLU", [top], [top])

    def convolved(
        self, name: str, bottom: str, conv: nn.Module, names: Sequence[str] = ()
    ) -> str:
        weight, bias = (conv.get_parameter(n).detach() for n in ("weight", "bias"))
        return self.convolution(name, bottom, weight, bias, names)

    def convolution(
        self,
        name: str,
        bottom: str,
        weight: Tensor,
        bias: Tensor,
        names: Sequence[str] = (),
    ) -> str:
        side = weight.shape[-1]
        options = field(1, len(weight)) + field(3, side // 2) + field(4, side)
        return self.layer(
            name,
            "Convolution",
            [bottom],
            [name],
            [weight.numpy(), bias.numpy()],
            names,
            field(106, options + field(6, 1)),
        )

    def split(self, bottom: str, count: int) -> list[str]:
        """What Caffe puts behind whatever is used more than once."""
        tops = [f"{bottom}_split_{n}" for n in range(count)]
        self.layer(f"{bottom}_split", "Split", [bottom], tops)
        return tops

    def gate(self, name: str, memories: list[str], unit: nn.Module) -> str:
        conv, norm = unit.get_submodule("conv"), unit.get_submodule("norm")
        weight = conv.get_parameter("weight").detach()
        parts = len(memories)
        order = np.arange(weight.shape[1]).reshape(parts, -1)
        if self.reverse:
            memories = [*memories[-2::-1], memories[-1]]
            order = np.concatenate([order[-2::-1], order[-1:]])
        places = order.ravel()
        top = self.layer(f"concat_{name}", "Concat", memories, [f"concat_{name}"])
        state = norm.state_dict()
        turned = type(norm)(weight.shape[1])
        turned.load_state_dict(
            {k: v[places] if v.ndim else v for k, v in state.items()}
        )
        bias = conv.get_parameter("bias").detach()
        activated = self.activated(name, top, turned)
        return self.convolution(name, activated, weight[:, places], bias)

    def file(self, *, inputs: Sequence[str] = ("data",)) -> bytes:
        head = field(1, "MemNet") + b"".join(field(3, name) for name in inputs)
        return head + b"".join(self.layers)


def write_network(network: MemNet, writer: Writer, *, training: bool = False) -> bytes:
    """Return a network as a .caffemodel; for `training`, with its data and losses."""
    architecture = network.architecture
    if training:
        writer.layer("data", "HDF5Data", [], ["data", "label"])
    x = "data"
    if network.fenet_norm is not None:
        x = writer.activated("conv1", x, network.fenet_norm)
    memories = [writer.convolved("conv1", x, network.fenet)]
    outputs = []
    for m, block in enumerate(network.blocks):
        unit = block.get_submodule("recursive")
        h, *_ = writer.split(memories[-1], 3)
        states = []
        for r in range(architecture.recursions):
            inner = h
            for letter, number in (("a", 1), ("b", 2)):
                name = f"conv{m}_{r}_{letter}"
                norm = unit.get_submodule(f"norm{number}.{r}")
                inner = writer.convolved(
                    name,
                    writer.activated(name, inner, norm),
                    unit.get_submodule(f"conv{number}"),
                    [f"conv{m}_w{letter}", f"conv{m}_b{letter}"],
                )
            terms = [h, inner] if r % 2 else [inner, h]
            h = f"eltwise{m}_{r}"
            writer.layer(h, "Eltwise", terms, [h], options=field(110, field(1, 1)))
            states.append(h)
        seen = memories if architecture.long_term else []
        seen = [*seen, *(states if architecture.short_term else states[-1:])]
        gate = block.get_submodule("gate")
        memories.append(writer.gate(f"transition{m}", seen, gate))
    count = architecture.predictions
    for m, b in enumerate(memories[-count:]):
        name = f"end{m}"
        norm = network.reconnet.get_submodule(f"norm.{m}")
        recon = writer.convolved(
            name,
            writer.activated(name, b, norm),
            network.reconnet.conv,
            ["Recon_w", "Recon_b"],
        )
        y = writer.layer(f"HR{m}", "Eltwise", ["data", recon], [f"HR{m}"])
        if training:
            writer.layer(f"loss{m}", "EuclideanLoss", [y, "label"], [f"loss{m}"])
        if architecture.multi_supervised:
            weight = network.fusion[m].detach().reshape(1)
            y = writer.layer(f"weight{m}", "Scale", [y], [f"weight{m}"], [weight])
        outputs.append(y)
    if architecture.multi_supervised:
        writer.layer("HR", "Eltwise", outputs, ["HR"])
    return writer.file(inputs=() if training else ("data",))


SHAPE: dict[str, Any] = {"memory_blocks": 3, "recursions": 2, "channels": 4}
FILES: dict[str, dict[str, Any]] = {
    "as Caffe writes it": {},
    "weights once": {"once": True},
    "shapes of old": {"legacy": True},
    "memories in another order": {"reverse": True},
}
SHAPES: list[dict[str, Any]] = [
    {"fenet_norm": True},
    {},
    {"multi_supervised": False, "image_channels": 3},
    {"long_term": False},
    {"short_term": False},
    {"long_term": False, "short_term": False, "multi_supervised": False},
    {"memory_blocks": 1, "recursions": 1},
]
LEVELS = Levels.listed(2, 3, 4)


def check_same(found: MemNet, network: MemNet, x: Tensor) -> None:
    assert found.architecture == network.architecture
    with torch.inference_mode():
        ours, theirs = network(x), found(x)
    assert torch.allclose(ours.output, theirs.output, atol=1e-5)
    for y, z in zip(ours.intermediate, theirs.intermediate, strict=True):
        assert torch.allclose(y, z, atol=1e-5)


@pytest.mark.parametrize("how", FILES)
def test_caffe_file_becomes_the_network_that_was_written(
    random_network: Network, random_planes: Planes, how: str
) -> None:
    network = random_network(**SHAPE, fenet_norm=True)
    data = write_network(network, Writer(**FILES[how]))
    check_same(memnet_from_caffe(data), network, random_planes(1, 1, 14, 18))


@pytest.mark.parametrize("training", [False, True], ids=["deployed", "in training"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_architecture_is_found_by_what_the_layers_compute(
    random_network: Network,
    random_planes: Planes,
    shape: dict[str, Any],
    training: bool,
) -> None:
    network = random_network(**SHAPE | shape)
    data = write_network(network, Writer(), training=training)
    planes = random_planes(1, network.architecture.image_channels, 10, 12)
    check_same(memnet_from_caffe(data), network, planes)


def test_imported_file_is_a_model_that_tells_where_it_is_from(
    random_network: Network, random_planes: Planes, tmp_path: Path
) -> None:
    network = random_network(**SHAPE, fenet_norm=True)
    file = tmp_path / "MemNet (M3R2).caffemodel"
    file.write_bytes(write_network(network, Writer()))
    out = tmp_path / "mine.safetensors"
    import_file(file, out, task="sr", levels=LEVELS, license="research only")
    model, card = load_model(out)
    check_same(model, network, random_planes(1, 1, 9, 9))
    assert (card.name, card.task, card.levels) == ("MemNet--M3R2-", "sr", LEVELS)
    assert card.license == "research only"
    assert card.description.endswith("from the Caffe model MemNet (M3R2).caffemodel.")
    with pytest.raises(UsageError, match="exists already"):
        import_file(file, out, task="sr", levels=LEVELS)


def test_imported_model_is_installed(
    random_network: Network, tmp_path: Path, models_folder: Path
) -> None:
    file = tmp_path / "a.caffemodel"
    file.write_bytes(write_network(random_network(**SHAPE), Writer()))
    entry = import_file(file, task="denoise", levels=Levels.between(5, 50))
    assert entry.path == models_folder / "a.safetensors"
    assert entry.card.serves == "denoise σ 5-50"


def changed(network: MemNet, old: bytes, new: bytes) -> bytes:
    data = write_network(network, Writer())
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new, 1)


def test_weights_that_differ_between_recursions_are_refused(
    random_network: Network,
) -> None:
    network = random_network(**SHAPE)
    weight = network.blocks[1].get_submodule("recursive.conv2").get_parameter("weight")
    bytes_of = weight.detach().numpy().astype("<f4").tobytes()
    other = struct.pack("<f", 7.0) + bytes_of[4:]
    with pytest.raises(WireError, match="convolutions of memory block 2 differ"):
        memnet_from_caffe(changed(network, bytes_of, other))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"ReLU", b"TanH", "type 'TanH' has no place in a MemNet"),
        (field(110, field(1, 1)), field(110, field(1, 2)), "does not simply add"),
        (b"Split", b"Slice", "type 'Slice' has no place"),
        (field(6, 1) + field(10, 1), field(6, 2) + field(10, 1), "is none of a MemNet"),
        (field(3, "bn_conv1_0_a"), field(3, "bn_conv1_1_a"), "has no input"),
        (field(100, b"")[:1], field(2, b"")[:1], "number 0|late|unknown kind|no sum"),
    ],
    ids=["activation", "product", "slice", "stride", "later", "other field"],
)
def test_networks_that_are_no_memnet_are_refused(
    random_network: Network, old: bytes, new: bytes, told: str
) -> None:
    with pytest.raises(WireError, match=told):
        memnet_from_caffe(changed(random_network(**SHAPE), old, new))


def test_layers_of_the_form_before_2014_are_named() -> None:
    with pytest.raises(WireError, match="upgrade_net_proto_binary"):
        memnet_from_caffe(field(1, "old") + field(2, field(4, "conv1")))


def test_cut_and_changed_files_are_refused_and_never_crash(
    random_network: Network,
) -> None:
    data = write_network(
        random_network(memory_blocks=1, recursions=1, channels=2), Writer()
    )
    memnet_from_caffe(data)
    for end in range(0, len(data) - 1, 37):
        with pytest.raises(WireError):
            memnet_from_caffe(data[:end])
    for place in range(0, len(data), 41):
        broken = bytearray(data)
        broken[place] ^= 0x5A
        try:  # a changed weight is a weight
            memnet_from_caffe(bytes(broken))
        except WireError as error:
            assert str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x80" * 11, "does not end"),
        (varint(5 << 3 | 2) + varint(9) + b"abc", "ends 6 bytes late"),
        (varint(5 << 3 | 3), "unknown kind 3"),
        (varint(0) + b"\0", "number 0"),
        (varint(5 << 3 | 5) + b"abc", "ends 1 bytes late"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(WireError, match=told):
        Message(data)


def test_numbers_may_be_packed_or_not() -> None:
    packed = field(1, varint(1) + varint(300))
    assert Message(packed + field(1, 2**63)).numbers(1) == [1, 300, 2**63]
