"""What commands that train have in common: how they are stopped, and what they tell."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from memnet_core.training.events import Event

__all__ = ["StopSignal", "told"]


class StopSignal:
    """Turns the first Ctrl-C or SIGTERM into a request to stop after this step."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)


def told(event: Event) -> str:
    """Return an event of training in one line, or nothing."""
    from memnet_core.progress import Notice
    from memnet_core.training.events import Finished, Progress, Validated

    if isinstance(event, Notice):
        return event.text
    if isinstance(event, Progress):
        return (
            f"{event.minutes:6.1f} min {event.fraction:4.0%}  step {event.step:6d}  "
            f"loss {event.loss:.6f}  lr {event.learning_rate:.1e}  "
            f"{event.patches_per_second:.1f} patches/s  "
            f"{event.pixels_per_second / 1e3:.0f} kpx/s  "
            f"{event.minutes_left:.1f} min left"
        )
    if isinstance(event, Validated):
        gains = ", ".join(
            f"{level} {event.input_psnr[level]:.2f} -> {event.psnr[level]:.2f} dB"
            for level in event.psnr
        )
        best = "" if event.is_best else "  (not better than before)"
        return (
            f"{event.minutes:6.1f} min validation  {gains}  loss "
            f"{event.training_loss:.6f} training, {event.evaluation_loss:.6f} "
            f"evaluation{best}"
        )
    if isinstance(event, Finished):
        return (
            f"Finished after {event.minutes:.1f} min, {event.step} steps, "
            f"{event.megapixels:.1f} megapixels."
        )
    return ""
