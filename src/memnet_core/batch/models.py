"""The models of a run, each loaded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.batch.events import ModelReady
from memnet_core.model.file import load_model
from memnet_core.model.zoo import Entry

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from memnet_core.batch.settings import BatchSettings
    from memnet_core.engine import Restorer

__all__ = ["LoadedModels"]


class LoadedModels:
    """Engines by model file.

    Parameters
    ----------
    settings : BatchSettings
        How the engines work.
    """

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings
        self._ready: dict[Path, ModelReady] = {}

    def load(self, entry: Entry) -> Generator[ModelReady, None, Restorer]:
        """Return the engine for a model; yield it when it is loaded.

        Raises
        ------
        MemnetError
            If the model or the device does not serve.
        """
        known = self._ready.get(entry.path)
        if known is None or known.entry.card.sha256 != entry.card.sha256:
            model, card = load_model(entry.path)
            restorer = self._settings.restorer(model)
            ready = ModelReady(Entry(entry.path, card), restorer)
            self._ready[entry.path] = ready
            yield ready
        return self._ready[entry.path].restorer

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of the weights of each model, by name."""
        cards = [ready.entry.card for ready in self._ready.values()]
        return {card.name: card.sha256 for card in cards}
