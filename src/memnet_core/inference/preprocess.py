"""What is done to the pixels of a channel before the network sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.inference.scaling import Stabilized
from memnet_core.sources.frame_average import Averaged
from memnet_core.sources.hot_pixels import WithoutHotPixels

if TYPE_CHECKING:
    from memnet_core.inference.plan import Decision
    from memnet_core.sources.protocols import Source

__all__ = ["Readied"]


class Readied:
    """Sources without hot pixels, averaged if that was decided; one for each channel.

    Parameters
    ----------
    source : Source
        What is restored.
    decision : Decision
        How.
    """

    def __init__(self, source: Source, decision: Decision) -> None:
        self._source = source
        self._decision = decision
        self._made: dict[int, Source] = {}

    def channel(self, number: int) -> Source:
        """Return what to read the planes of a channel from."""
        if number not in self._made:
            self._made[number] = self._readied(number)
        return self._made[number]

    def _readied(self, number: int) -> Source:
        channel = self._decision.channels[number]
        scaling, source = channel.scaling, self._source
        if not isinstance(scaling, Stabilized):
            return source
        # The scaling is that of means.
        noise = channel.frames * scaling.gain, channel.frames * scaling.constant
        if self._decision.hot_pixels == "auto":
            source = WithoutHotPixels(source, *noise)
        return Averaged(source, *noise) if channel.frames > 1 else source
