"""Exported models compute what ours do, in the programs that they are for."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import yaml

from memnet_core.errors import LevelError, ModelError, UsageError
from memnet_core.export.api import TOLERANCE, export
from memnet_core.export.bioimage_io import drawing, sample_input, validated
from memnet_core.export.module import (
    ExportableMemNet,
    run_torchscript,
    write_torchscript,
)
from memnet_core.export.onnx import run_onnx, write_onnx
from memnet_core.model.architecture import Architecture
from memnet_core.model.card import Card
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.model.network import MemNet

    Network = Callable[..., MemNet]

SHAPE: dict[str, Any] = {"memory_blocks": 2, "recursions": 2, "channels": 6}
SHAPES: list[dict[str, Any]] = [
    {},
    {"unshuffle": 2},
    {"unshuffle": 2, "image_channels": 3, "level_map": True, "fenet_norm": True},
    {"long_term": False, "short_term": False, "multi_supervised": False},
    {"long_term": False, "level_map": True},
    {"unshuffle": 2, "level_map": True, "batch_norm": False},
    {"unshuffle": 2, "image_channels": 3, "level_map": True, "chroma_level": True},
]
PLANE = 0.4


def card(architecture: Architecture, task: str = "denoise") -> Card:
    return Card(
        name="mine.1",
        task=task,
        levels=Levels.listed(*((2, 3) if task == "sr" else (15, 25))),
        architecture=architecture,
        version="1",
        license="BSD-3-Clause",
        sha256="0" * 64,
    )


def expected(network: MemNet, x: Tensor) -> NDArray[np.float32]:
    levels = [torch.full_like(x[:, :1], PLANE)] * network.architecture.level_planes
    x = torch.cat([x, *levels], 1)
    with torch.inference_mode():
        restored: NDArray[np.float32] = network(x).output.numpy()
    return restored


def portable(network: MemNet) -> ExportableMemNet:
    return ExportableMemNet(network, PLANE if network.architecture.level_map else None)


def run_openvino(path: Path, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    openvino = pytest.importorskip("openvino", reason="OpenVINO reads the file")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else it takes bfloat16 where it can
    model = openvino.Core().compile_model(path, "CPU", exact)
    restored: NDArray[np.float32] = model([*inputs])[0]
    return restored


def write_and_run(
    kind: str, network: ExportableMemNet, path: Path, *inputs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Write a file and run it by the program that is meant to read it."""
    if kind == "torchscript":
        write_torchscript(network, path)
        return run_torchscript(path, *inputs)
    pytest.importorskip("onnx", reason="onnx writes the file")
    write_onnx(network, path)
    if kind == "OpenVINO":
        return run_openvino(path, *inputs)
    restored = run_onnx(path, *inputs)
    if restored is None:
        pytest.skip("ONNX Runtime reads the file")
    return restored


KINDS = ["ONNX Runtime", "OpenVINO", "torchscript"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_files_compute_what_our_network_does_at_any_size(
    random_network: Network,
    random_planes: Callable[..., Tensor],
    tmp_path: Path,
    shape: dict[str, Any],
    kind: str,
) -> None:
    network = random_network(**SHAPE, **shape)
    for size in ((1, 12, 18), (3, 20, 8)):
        images, height, width = size
        x = random_planes(images, network.architecture.image_channels, height, width)
        path = tmp_path / "model.onnx"
        found = write_and_run(kind, portable(network), path, x.numpy())
        assert found == pytest.approx(expected(network, x), abs=TOLERANCE)


@pytest.mark.parametrize("chroma_level", [False, True])
@pytest.mark.parametrize("side", [1, 12], ids=["number", "map"])
@pytest.mark.parametrize("kind", KINDS)
def test_level_that_is_not_fixed_is_a_second_input(
    random_network: Network,
    random_planes: Callable[..., Tensor],
    tmp_path: Path,
    kind: str,
    side: int,
    chroma_level: bool,
) -> None:
    network = random_network(
        **SHAPE,
        unshuffle=2,
        image_channels=3,
        level_map=True,
        chroma_level=chroma_level,
        batch_norm=False,
    )
    planes = 1 + chroma_level
    x, level = random_planes(2, 3, 12, 12), random_planes(2, planes, side, side)
    found = write_and_run(
        kind,
        ExportableMemNet(network),
        tmp_path / "model.onnx",
        x.numpy(),
        level.numpy(),
    )
    with torch.inference_mode():
        ours = network(
            torch.cat([x, level.expand(2, planes, 12, 12)], 1)
        ).output.numpy()
    assert found == pytest.approx(ours, abs=TOLERANCE)


def test_onnx_names_its_axes_and_tells_of_its_model(
    random_network: Network, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx writes the file")
    network = random_network(**SHAPE)
    path = tmp_path / "model.onnx"
    told = export(network, card(network.architecture), "onnx", path)
    assert "differs from our network by" in told or "is not installed" in told
    model = onnx.load(path)
    [given], [restored] = model.graph.input, model.graph.output
    for tensor, name in ((given, "image"), (restored, "restored")):
        assert tensor.name == name
        axes = tensor.type.tensor_type.shape.dim
        assert [axis.dim_param or axis.dim_value for axis in axes] == ["N", 1, "H", "W"]
    [about] = [p.value for p in model.metadata_props if p.key == "memnet"]
    assert Card.model_validate_json(about).name == "mine.1"
    shared = network.blocks[0].get_submodule("recursive.conv2").get_parameter("weight")
    held = [list(c.dims) for c in model.graph.initializer]
    # Two blocks: the folded first convolution of each recursion, the second once.
    assert held.count(list(shared.shape)) == 2 * (2 + 1)


def test_torchscript_tells_of_its_model(
    random_network: Network, tmp_path: Path
) -> None:
    network = random_network(**SHAPE, level_map=True)
    path = tmp_path / "model.pt"
    export(network, card(network.architecture), "torchscript", path, level=20)
    with zipfile.ZipFile(path) as package:
        [name] = [n for n in package.namelist() if n.endswith("memnet.json")]
        about = json.loads(package.read(name))
    assert about["level"] == "20"
    assert Card.model_validate_json(about["memnet"]).sha256 == "0" * 64


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_export_compares_files_that_take_the_level(
    random_network: Network, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("onnx", reason="onnx writes the file")
    network = random_network(**SHAPE, level_map=True)
    told = export(network, card(network.architecture), kind, tmp_path / "model")
    assert "differs from our network by" in told or "is not installed" in told


@pytest.mark.parametrize(
    ("kind", "level_map", "level", "error", "told"),
    [
        ("bioimageio", True, None, UsageError, "fix the level of this model with"),
        ("torchscript", False, 20, UsageError, "leave out level="),
        ("torchscript", True, 500, LevelError, "is no noise"),
    ],
)
def test_level_that_does_not_suit_writes_nothing(
    random_network: Network,
    tmp_path: Path,
    kind: str,
    level_map: bool,
    level: float | None,
    error: type[Exception],
    told: str,
) -> None:
    network = random_network(**SHAPE, level_map=level_map)
    described = card(network.architecture)
    with pytest.raises(error, match=told):
        export(network, described, kind, tmp_path / "m", level=level)
    assert list(tmp_path.iterdir()) == []


def test_file_that_computes_something_else_replaces_nothing(
    random_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(path: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return run_torchscript(path, x) + np.float32(1e-3)

    monkeypatch.setattr("memnet_core.export.api.run_torchscript", wrong)
    network = random_network(**SHAPE)
    path = tmp_path / "m.pt"
    path.write_text("an earlier one")
    with pytest.raises(ModelError, match=r"differs from our network by 1.0e-03"):
        export(network, card(network.architecture), "torchscript", path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "an earlier one"


def test_missing_package_is_named(
    random_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    network = random_network(**SHAPE)
    with pytest.raises(UsageError, match=r"pip install 'napari-memnet\[export\]'"):
        export(network, card(network.architecture), "onnx", tmp_path / "m.onnx")


def test_sample_is_degraded_as_the_model_expects() -> None:
    clean = drawing(40, 60)
    assert clean.shape == (40, 60)
    assert clean.dtype == np.uint8
    noisy = sample_input(card(Architecture(image_channels=3)), (40, 60), 20)
    assert noisy.shape == (1, 3, 40, 60)
    assert (noisy[0] - clean).std() == pytest.approx(20, rel=0.05)
    assert sample_input(card(Architecture(), "sr"), (41, 61)).shape == (1, 1, 41, 61)


@pytest.fixture(scope="module")
def written(
    random_network: Network, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, MemNet]:
    """Write a package of the BioImage Model Zoo, once."""
    pytest.importorskip("onnx", reason="packages hold weights as ONNX, too")
    network = random_network(**SHAPE, unshuffle=2)
    path = tmp_path_factory.mktemp("zoo") / "model.zip"
    described = card(network.architecture)
    told = export(network, described, "bioimageio", path, authors=["Ada"])
    assert told.startswith(("bioimageio.core validated", "Not validated"))
    return path, network


@pytest.fixture
def package(written: tuple[Path, MemNet], tmp_path: Path) -> tuple[Path, MemNet]:
    """Give a copy of it."""
    path, network = written
    return Path(shutil.copy(path, tmp_path)), network


def test_package_describes_axes_halo_and_weights(
    package: tuple[Path, MemNet],
) -> None:
    path, network = package
    with zipfile.ZipFile(path) as files:
        described = yaml.safe_load(files.read("rdf.yaml"))
        content = {name: files.read(name) for name in files.namelist()}
    assert described["name"] == "MemNet mine-1"
    assert described["authors"] == [{"name": "Ada"}]
    [given], [restored] = described["inputs"], described["outputs"]
    radius = network.architecture.radius()
    for axis in given["axes"][2:]:
        assert axis["size"] == {"min": 2 * radius + 2, "step": 2}
    assert [axis["halo"] for axis in restored["axes"][2:]] == [radius, radius]
    named = [given["test_tensor"], restored["test_tensor"]]
    named += described["weights"].values()
    assert {"onnx", "torchscript"} == described["weights"].keys()
    for file in named:
        digest = hashlib.sha256(content[file["source"]]).hexdigest()
        assert digest == file["sha256"]
    x, y = (
        np.load(io.BytesIO(content[tensor["test_tensor"]["source"]]))
        for tensor in (given, restored)
    )
    assert 0 <= np.median(x) <= 255
    assert y / 255 == pytest.approx(
        expected(network, torch.from_numpy(x / 255)), abs=TOLERANCE
    )
    assert content["cover.png"].startswith(b"\x89PNG")
    assert b"## Validation" in content["README.md"]


@pytest.mark.slow
def test_package_runs_in_the_program_of_the_zoo(
    package: tuple[Path, MemNet], tmp_path: Path
) -> None:
    pytest.importorskip("bioimageio.spec", reason="bioimageio.core reads packages")
    path, network = package
    x = 255 * np.random.default_rng(0).random((1, 1, 64, 80), np.float32)
    np.save(tmp_path / "x.npy", x)
    script = (
        "import sys, numpy; from bioimageio.core import predict; "
        "made = predict(model=sys.argv[1], inputs=numpy.load(sys.argv[2])); "
        "[y] = made.members.values(); numpy.save(sys.argv[3], y.data.to_numpy())"
    )
    files = [path, tmp_path / "x.npy", tmp_path / "y.npy"]
    subprocess.run([sys.executable, "-c", script, *files], check=True)
    wanted = 255 * expected(network, torch.from_numpy(x / 255))
    found = np.load(tmp_path / "y.npy")
    assert found.shape == wanted.shape
    # It pads the image by the halo, where the network itself sees zeros beyond it.
    radius = network.architecture.radius()
    inner = np.s_[..., radius:-radius, radius:-radius]
    assert found[inner] == pytest.approx(wanted[inner], abs=255 * TOLERANCE)


def test_package_that_the_zoo_does_not_accept_is_refused(
    package: tuple[Path, MemNet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bioimageio.spec", reason="bioimageio.core reads packages")
    path, _ = package
    script = "print('noise on standard output'); print('onnx: failed: no axes')"
    monkeypatch.setattr("memnet_core.export.bioimage_io._VALIDATION", script)
    with pytest.raises(ModelError, match=r"accept the package \(onnx: failed: no axes"):
        validated(path)


def test_crash_of_the_zoos_program_is_told_and_the_package_kept(
    package: tuple[Path, MemNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bioimageio.core", reason="it is found first")
    path, _ = package
    script = "raise TypeError('a newer pydantic')"
    monkeypatch.setattr("memnet_core.export.bioimage_io._VALIDATION", script)
    assert validated(path) == (
        "Not validated: bioimageio.core failed (TypeError: a newer pydantic)."
    )


def test_package_names_who_made_it(random_network: Network, tmp_path: Path) -> None:
    network = random_network(**SHAPE)
    described = card(network.architecture)
    with pytest.raises(UsageError, match="give author='NAME'"):
        export(network, described, "bioimageio", tmp_path / "model.zip")
