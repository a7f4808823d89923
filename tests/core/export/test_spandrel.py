"""Our model files in spandrel, which knows nothing of cards."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from memnet_core.errors import LevelError, ModelError, UsageError
from memnet_core.model.checkpoint import load_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    Install = Callable[..., Path]
    Planes = Callable[..., Tensor]

LACKING: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
"""For what a torchvision that was built for GPUs lacks where there are none."""


def imported(name: str) -> Any:
    """Import a module that needs torchvision."""
    with contextlib.suppress(RuntimeError):  # operator torchvision::nms does not exist
        return importlib.import_module(name)
    for operator in ("nms", "qnms"):
        LACKING.define(f"{operator}(Tensor dets, Tensor scores, float at) -> Tensor")
    for module in [each for each in sys.modules if each.startswith("torchvision")]:
        del sys.modules[module]
    return importlib.import_module(name)


if importlib.util.find_spec("spandrel") is None:
    pytest.skip("needs the extra spandrel", allow_module_level=True)
spandrel = imported("spandrel")
ours = imported("memnet_core.export.spandrel")


def loader(plane: float | None = None) -> Any:
    """Return a loader that knows all of spandrel's architectures, and ours."""
    registry = spandrel.MAIN_REGISTRY.copy()
    ours.register(plane, registry)
    return spandrel.ModelLoader(registry=registry)


@pytest.mark.parametrize(("unshuffle", "colors"), [(1, 1), (2, 1), (2, 3)])
def test_file_is_detected_and_computes_the_same(
    install: Install, random_planes: Planes, unshuffle: int, colors: int
) -> None:
    path = install("low", 5, 20, unshuffle=unshuffle, image_channels=colors)
    descriptor = loader().load_from_file(path).eval()
    assert descriptor.architecture.id == "MemNet"
    assert (descriptor.purpose, descriptor.scale) == ("Restoration", 1)
    assert (descriptor.input_channels, descriptor.output_channels) == (colors,) * 2
    assert descriptor.size_requirements.multiple_of == unshuffle
    assert "M2R1" in descriptor.tags
    image = random_planes(1, colors, 17, 22)
    model, _ = load_model(path)
    with torch.no_grad():
        expected = model(image).output.clamp(0, 1)
        torch.testing.assert_close(descriptor(image), expected, atol=1e-6, rtol=0)


def test_level_becomes_a_plane(install: Install, random_planes: Planes) -> None:
    path = install("grain", 5, 50, task="denoise", level_map=True)
    image = random_planes(1, 1, 16, 16)
    model, _ = load_model(path)
    told = torch.cat([image, torch.full_like(image, 25 / 255)], 1)
    descriptors = ours.described(path, 25), loader(25 / 255).load_from_file(path).eval()
    with torch.no_grad():
        expected = model(told).output.clamp(0, 1)
        for descriptor in descriptors:
            torch.testing.assert_close(descriptor(image), expected, atol=1e-6, rtol=0)
    assert descriptors[0].tags[-1] == "denoise σ 5-50"
    with pytest.raises(UsageError, match="needs the level"):
        ours.described(path)
    with pytest.raises(UsageError, match="register MemNetArch"):
        loader().load_from_file(path)
    with pytest.raises(LevelError):
        ours.described(path, -3)


def test_models_of_others_are_left_to_spandrel(
    install: Install, random_planes: Planes
) -> None:
    dncnn = {f"model.{n}.weight": torch.zeros(4, 4, 3, 3) for n in range(0, 9, 2)}
    assert not ours.MemNetArch().detect(dncnn)
    assert ours.MemNetArch().detect(load_model(install("low", 5, 20))[0].state_dict())


def test_tensors_that_fit_no_architecture_are_refused(install: Install) -> None:
    tensors = load_model(install("low", 5, 20))[0].state_dict()
    del tensors["blocks.1.gate.conv.weight"]
    assert ours.MemNetArch().detect(tensors)
    with pytest.raises(ModelError, match="does not hold exactly the tensors"):
        loader().load_from_state_dict(tensors)


def test_registering_twice_changes_nothing() -> None:
    registry = spandrel.MAIN_REGISTRY.copy()
    ours.register(registry=registry)
    ours.register(0.1, registry)
    assert len(registry) == len(spandrel.MAIN_REGISTRY) + 1
