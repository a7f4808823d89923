"""What a user can ask for, the same at every entry point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from memnet_core.errors import UsageError
from memnet_core.noise.correlation import Grain
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from memnet_core.model.card import Card

__all__ = [
    "MOST_STRENGTH",
    "Channels",
    "Context",
    "GrainChoice",
    "HotPixels",
    "NoiseChoice",
    "Precision",
    "RangeChoice",
    "RestoreOptions",
    "check_strength",
    "strength_in_words",
]


Channels = Literal["luminance", "each", "joint"]
Precision = Literal["float32", "bfloat16", "float16"]
GrainChoice = Literal["auto"] | Grain
Context = Literal[1, 3]
HotPixels = Literal["auto", "keep"]
NoiseChoice = Literal["auto", "gaussian", "photons"] | tuple[float, float]
RangeChoice = Literal["auto", "dtype", "percentile", "plane"] | tuple[float, float]

MOST_STRENGTH = 1.5
"""Beyond it pictures lose more of their own than of what was done to them."""


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """How to restore.

    Attributes
    ----------
    task : str
        Name of one of `memnet_core.tasks.TASKS`.
    level : float, optional
        JPEG quality, noise deviation in gray levels of 255, or scale; None to find
        it out for each input.
    channels : str, optional
        ``luminance`` restores luminance and carries chroma, ``each`` restores every
        channel by itself, ``joint`` all together, with a model for color. The default
        depends on task and model.
    value_range : str or (float, float)
        Which values become 0 and 1; see `memnet_core.inference.scaling`.
    noise : str or (float, float)
        Denoising: ``gaussian`` takes noise to be the same everywhere; a pair (A, B)
        takes it to have the variance A · mean + B, as photons make it, and evens it out
        before the network; ``photons`` estimates that line, and takes it however sure
        it is; ``auto`` only beyond doubt, and with 8 bits only of dark gray pictures,
        unless the level is given.
    strength : float
        How much of the level the network is told, from 0, which leaves everything as it
        is, to 1.5; other than 1 only with a model that has a level map.
    noise_grain : str
        Denoising: whether neighboring pixels share the noise (``correlated``) or not
        (``white``), which decides on the model; ``auto`` finds that out.
    hot_pixels : str
        Denoising: ``auto`` replaces single pixels that are far too bright, where noise
        is of photons; ``keep`` leaves them.
    context : int
        Denoising: 3 averages each plane with the ones before and after it in time, else
        in depth, where these show the same and noise is of photons.
    model : str, optional
        Name or file of the model; by default the one that was trained for the level.
    nearest : bool
        Whether to accept the model that comes closest to the level.
    device : str
        ``auto`` or one of `memnet_core._util.devices.available_devices`.
    exit_block : int, optional
        Stop after memory block m = 1..M.
    tta : bool
        Whether to average the results of the eight flips and rotations.
    precision : str
        Type that the network computes in.
    consistency : bool
        Whether a restored JPEG is held to what its file says of it: every DCT
        coefficient stays in its quantization interval.

    Raises
    ------
    UsageError
        If there is no such strength.
    """

    task: str
    level: float | None = None
    channels: Channels | None = None
    value_range: RangeChoice = "auto"
    noise: NoiseChoice = "auto"
    noise_grain: GrainChoice = "auto"
    hot_pixels: HotPixels = "auto"
    context: Context = 1
    strength: float = 1.0
    model: str | None = None
    nearest: bool = False
    device: str = "auto"
    exit_block: int | None = None
    tta: bool = False
    precision: Precision = "float32"
    consistency: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= MOST_STRENGTH:
            raise UsageError(
                f"There is no strength of {self.strength:g}; give a number from 0 to "
                f"{MOST_STRENGTH:g}."
            )


def check_strength(settings: RestoreOptions, card: Card) -> None:
    """Check that a model can do what a strength asks for.

    Raises
    ------
    UsageError
        If its strength cannot be chosen, but was.
    """
    if settings.strength == 1 or card.takes_strength:
        return
    if not find_task(card.task).graded:
        raise UsageError(
            f"The task {card.task} has no strength; leave the strength at 1."
        )
    raise UsageError(
        f"The model {card.name!r} is not told the level and knows one strength only; "
        "leave the strength at 1, or name a model with a level map."
    )


def strength_in_words(strength: float, level: float, card: Card) -> str:
    """Return as what level a model works, and whether it was trained for that.

    Parameters
    ----------
    strength : float
        What was asked for, in [0, 1.5].
    level : float
        What was given, or found.
    card : Card
        The model's.
    """
    if strength == 0:
        return "strength 0, which changes nothing"
    task = find_task(card.task)
    applied = task.at_strength(level, strength)
    said = f"strength {strength:g}, as {task.symbol} {applied:.3g}"
    served = [task.level_map_value(value) for value in card.levels.values]
    if not min(served) <= task.level_map_value(applied) <= max(served):
        said += f", beyond what the model is trained for ({card.serves})"
    return said
