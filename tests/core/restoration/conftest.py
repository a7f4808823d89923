"""Networks without a file, ready to restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.model.network import MemNet
    from memnet_core.restoration.prepare import Prepared


@pytest.fixture(scope="session")
def prepared_with(random_network: Callable[..., MemNet]) -> Callable[..., Prepared]:
    """Prepare the random network of an architecture for a task."""
    from memnet_core.model.file import Card
    from memnet_core.model.zoo import Entry
    from memnet_core.restoration.prepare import Channel, Decision, Prepared
    from memnet_core.restoration.scaling import Linear
    from memnet_core.restoration.stream import Engine

    def prepared_with(
        *,
        task: str = "denoise",
        level: float = 25,
        low: float = 0.0,
        high: float = 1.0,
        colours: Any = "single",
        tta: bool = False,
        engine: Any = None,
        **architecture: Any,
    ) -> Prepared:
        from pathlib import Path

        shape = {"memory_blocks": 2, "recursions": 1, "channels": 4} | architecture
        network = random_network(**shape)
        decision = Decision(
            task=task,
            model="random",
            checksum="0" * 64,
            channels=(Channel(level=level, scaling=Linear(low=low, high=high)),),
            colours=colours,
            tta=tta,
        )
        card = Card(
            name="random",
            task=task,
            levels={"values": (level,), "continuous": False},
            architecture=network.architecture,
            version="1",
            licence="BSD-3-Clause",
            sha256="0" * 64,
        )
        entry = Entry(Path("random.safetensors"), card)
        return Prepared(decision, engine or Engine(network, device="cpu"), entry)

    return prepared_with
