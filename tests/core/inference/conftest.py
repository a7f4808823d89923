"""Networks without a file, ready to restore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from memnet_core.inference.plan import Prepared
    from memnet_core.io import Image
    from memnet_core.model.network import MemNet


@pytest.fixture(scope="session")
def prepared_with(random_network: Callable[..., MemNet]) -> Callable[..., Prepared]:
    """Prepare the random network of an architecture for a task."""
    from memnet_core.inference.analysis import ChannelParams
    from memnet_core.inference.engine import Engine
    from memnet_core.inference.plan import Prepared, RestorePlan
    from memnet_core.inference.scaling import LinearScaling
    from memnet_core.model.card import Card
    from memnet_core.model.registry import Entry

    def prepared_with(
        *,
        task: str = "denoise",
        level: float = 25,
        low: float = 0.0,
        high: float = 1.0,
        colors: Any = "single",
        tta: bool = False,
        engine: Any = None,
        coding: Any = None,
        **architecture: Any,
    ) -> Prepared:
        shape = {"memory_blocks": 2, "recursions": 1, "channels": 4} | architecture
        network = random_network(**shape)
        decision = RestorePlan(
            task=task,
            model="random",
            checksum="0" * 64,
            channels=(
                ChannelParams(level=level, scaling=LinearScaling(low=low, high=high)),
            ),
            colors=colors,
            tta=tta,
            coding=coding,
        )
        card = Card(
            name="random",
            task=task,
            levels={"values": (level,), "continuous": False},
            architecture=network.architecture,
            version="1",
            license="BSD-3-Clause",
            sha256="0" * 64,
        )
        entry = Entry(Path("random.safetensors"), card)
        return Prepared(decision, engine or Engine(network, device="cpu"), entry)

    return prepared_with


class FunctionEngine:
    """An engine that applies a function to all planes of an image at once."""

    device = "cpu"
    radius = 0
    multiple = 1
    image_channels = 1
    precision = "float32"

    def __init__(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self._function = function

    def widest(self, images: int = 1) -> int:
        return 10**6

    def strip_rows(self, width: int, images: int = 1) -> int:
        return 3

    def stream(
        self,
        strips: Iterable[NDArray[np.float32]],
        height: int,
        level: float | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        image = np.concatenate(list(strips), axis=2)
        yield self._function(image[:, 0])[:, None].astype(np.float32)


@pytest.fixture
def restored(install: Callable[..., Path]) -> Callable[..., Image]:
    """Restore an image with a function in place of the network."""
    from memnet_core.inference.plan import Prepared, plan_restore
    from memnet_core.inference.runner import restore
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.io import in_memory
    from memnet_core.sources.protocols import ArraySink

    install("blocks", 1, 100)
    install("noise", 0, 255, task="denoise")
    install("large", 2, 4, task="sr")

    def restored(
        image: Image, function: Callable[[NDArray[Any]], NDArray[Any]], **settings: Any
    ) -> Image:
        source = in_memory(Path("image"), image)
        asked: dict[str, Any] = {"value_range": "dtype", "level": 25} | settings
        decision = plan_restore(source, RestoreOptions(**asked))
        engine: Any = FunctionEngine(function)
        prepared = Prepared(decision, engine, decision.entry())
        result = np.zeros(prepared.result_shape(source.shape), source.dtype)
        for _ in restore(source, ArraySink(result), prepared):
            pass
        return image.with_stack(result, prepared.scale)

    return restored
