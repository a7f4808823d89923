"""The one table of settings: what a user can ask for, the same at every entry point."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from memnet_core.errors import SettingRef, UsageError
from memnet_core.tasks import AUTO, TASKS, find_task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memnet_core.model.card import Card
    from memnet_core.tasks import Task

__all__ = [
    "MOST_STRENGTH",
    "NO_GRAIN",
    "SETTINGS",
    "Channels",
    "Context",
    "HotPixels",
    "NoiseChoice",
    "Precision",
    "RangeChoice",
    "RestoreKeywords",
    "RestoreOptions",
    "Setting",
    "check_strength",
    "options_from",
    "strength_in_words",
]


Channels = Literal["luminance", "each", "joint"]
Precision = Literal["float32", "bfloat16", "float16"]
Context = Literal[1, 3]
HotPixels = Literal["auto", "keep"]
NoiseChoice = Literal["auto", "gaussian", "photons"] | tuple[float, float]
RangeChoice = Literal["auto", "dtype", "percentile", "plane"] | tuple[float, float]

NO_GRAIN = (
    "There is no grain to choose any more: noise that is measured is removed whether "
    "neighbors share it or not; where that is wrong, name a model."
)
"""What is said to those who ask for the grain of the noise."""

MOST_STRENGTH = 1.5
"""Above this strength more detail than degradation is removed."""


@dataclass(frozen=True)
class Pair:
    """Two numbers that a setting accepts besides its choices.

    Attributes
    ----------
    metavar : str
        How the command writes them: ``LO,HI``.
    words : str
        What they are, for messages.
    is_valid : callable
        Whether two numbers are accepted.
    only_text : bool
        Whether only text is checked here, and a pair of Python's where its meaning is
        known and can be explained.
    """

    metavar: str
    words: str
    is_valid: Callable[[float, float], bool]
    only_text: bool = False


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table of settings.

    Attributes
    ----------
    help : str
        What it does, in one sentence.
    group : str
        Heading that it belongs to: ``model``, ``values``, ``noise`` or ``computing``.
    label : str
        Name of the field in a window.
    option : str
        Name at the command, without hyphens in front, and of the keyword that Python
        accepts besides the field's own name; empty if it is the same.
    kind : type
        ``str``, ``float``, ``int`` or ``bool``.
    choices : tuple
        The values that are accepted; empty if any is.
    pair : Pair, optional
        Two numbers that are accepted, too.
    low, high : float
        Bounds of a number.
    metavar : str
        How the command's help writes a value.
    optional : bool
        Whether None is accepted.
    """

    help: str
    group: str
    label: str
    option: str = ""
    kind: type = str
    choices: tuple[str | int, ...] = ()
    pair: Pair | None = None
    low: float = -math.inf
    high: float = math.inf
    metavar: str = ""
    optional: bool = False

    @property
    def accepted(self) -> str:
        """What values are valid, in words."""
        if self.choices:
            listed = [repr(choice) for choice in self.choices]
            if self.pair:
                return f"{', '.join(listed)}, or {self.pair.words}"
            return " or ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))
        if self.kind is bool:
            return "True or False"
        if self.kind is str:
            return "a text"
        number = "a number" if self.kind is float else "a whole number"
        if math.isinf(self.high):
            return f"{number} from {self.low:g}"
        return f"{number} from {self.low:g} to {self.high:g}"

    def convert(self, value: Any) -> Any:
        """Return a value as `RestoreOptions` holds it.

        Parameters
        ----------
        value : object
            The value itself, or the text that stands for it at the command.

        Raises
        ------
        ValueError
            If it is not accepted.
        """
        if value is None and self.optional:
            return None
        if self.choices:
            return self._chosen(value)
        if self.kind is bool and isinstance(value, bool | np.bool_):
            return bool(value)
        if self.kind is str and isinstance(value, str | os.PathLike):
            return os.fspath(value)
        if self.kind in (bool, str):
            raise ValueError
        return self._number(value)

    def _chosen(self, value: Any) -> Any:
        for choice in self.choices:
            if str(value) == str(choice):
                return choice
        if self.pair is None:
            raise ValueError
        is_text = isinstance(value, str)
        ends = [float(part) for part in value.split(",")] if is_text else value
        if not isinstance(ends, tuple | list) or len(ends) != 2:
            raise ValueError
        if not all(_is_number(end) for end in ends):
            raise ValueError
        if (is_text or not self.pair.only_text) and not self.pair.is_valid(*ends):
            raise ValueError
        return tuple(ends)

    def _number(self, value: Any) -> Any:
        if not _is_number(value) or not self.low <= value <= self.high:
            raise ValueError
        if self.kind is int and value % 1:
            raise ValueError
        return self.kind(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        return False
    return not math.isnan(float(value))


def _rising(low: float, high: float) -> bool:
    # Values are divided by the span in float32.
    return float(np.finfo(np.float32).tiny) < high - low < math.inf


def _growing(gain: float, constant: float) -> bool:
    return gain > 0 and math.isfinite(gain) and math.isfinite(constant)


def _row(**row: Any) -> dict[str, Setting]:
    """Return the metadata of a dataclass field that is a row of the table."""
    return {"setting": Setting(**row)}


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """How to restore: the table of settings, one row a field.

    Values are checked; text is accepted as the command spells it, such as
    ``noise="2.17,-200"``.

    Attributes
    ----------
    task : str
        Name of one of `memnet_core.tasks.TASKS`, or ``auto`` for what an image needs;
        see `memnet_core.inference.steps`.
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
    hot_pixels : str
        Denoising: ``auto`` replaces single pixels that are far too bright, where noise
        is of photons; ``keep`` leaves them.
    cyclic : bool, optional
        Denoising: whether the ends of the range mean the same, as of phases from -π to
        π; such values are restored as sine and cosine. None: where floats show it
        beyond doubt.
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
    clean : bool
        Super-resolution: whether JPEG blocks and noise are removed first.

    Raises
    ------
    UsageError
        If a value is not valid.
    """

    task: str
    level: float | None = None
    model: str | None = field(
        default=None,
        metadata=_row(
            group="model",
            label="model",
            optional=True,
            metavar="NAME|FILE",
            help="Model to use instead of the best fit.",
        ),
    )
    nearest: bool = field(
        default=False,
        metadata=_row(
            group="model",
            label="nearest model",
            kind=bool,
            help="Accept the model closest to the level.",
        ),
    )
    channels: Channels | None = field(
        default=None,
        metadata=_row(
            group="values",
            label="colors",
            choices=("luminance", "each", "joint"),
            optional=True,
            help="What of colors to restore: their luminance, each channel by itself, "
            "or all together.  [default: what suits task and model]",
        ),
    )
    strength: float = field(
        default=1.0,
        metadata=_row(
            group="model",
            label="strength",
            kind=float,
            low=0,
            high=MOST_STRENGTH,
            metavar="S",
            help="Do less (down to 0) or more (up to 1.5) than the level asks for, "
            "with a model that has a level map.",
        ),
    )
    value_range: RangeChoice = field(
        default="auto",
        metadata=_row(
            group="values",
            label="intensity range",
            option="range",
            choices=("auto", "dtype", "percentile", "plane"),
            pair=Pair("LO,HI", "two rising values LO,HI", _rising),
            help="Which values are black and white: all that the type holds, or what "
            "the image holds mostly (auto: beyond 8 bits), or each plane.",
        ),
    )
    noise: NoiseChoice = field(
        default="auto",
        metadata=_row(
            group="noise",
            label="noise",
            choices=("auto", "gaussian", "photons"),
            pair=Pair(
                "A,B",
                "A,B of the variance A·mean + B with A above 0",
                _growing,
                only_text=True,
            ),
            help="denoise: the same everywhere (gaussian), or of variance A·mean + B, "
            "as photons make it, estimated (photons) or given (auto: estimated "
            "if it grows beyond doubt and no --sigma is given).",
        ),
    )
    hot_pixels: HotPixels = field(
        default="auto",
        metadata=_row(
            group="noise",
            label="replace hot pixels",
            choices=("auto", "keep"),
            help="denoise: replace single pixels that are far too bright where noise "
            "is of photons (auto), or leave them.",
        ),
    )
    cyclic: bool | None = field(
        default=None,
        metadata=_row(
            group="noise",
            label="cyclic values",
            kind=bool,
            optional=True,
            help="denoise: values come around, as phases do, and are restored as sine "
            "and cosine; --range LO,HI gives the period.  [default: where floats show "
            "it beyond doubt]",
        ),
    )
    context: Context = field(
        default=1,
        metadata=_row(
            group="noise",
            label="context",
            choices=(1, 3),
            help="denoise: each plane of a stack by itself, or averaged with the ones "
            "before and after it where these show the same and noise is of "
            "photons.",
        ),
    )
    device: str = field(
        default="auto",
        metadata=_row(
            group="computing",
            label="compute on",
            help="auto, cpu, cuda, cuda:N or mps.",
        ),
    )
    exit_block: int | None = field(
        default=None,
        metadata=_row(
            group="computing",
            label="network depth",
            kind=int,
            low=1,
            optional=True,
            metavar="M",
            help="Stop after memory block M: faster, less restored.",
        ),
    )
    tta: bool = field(
        default=False,
        metadata=_row(
            group="computing",
            label="average eight turns",
            kind=bool,
            help="Average eight flips and rotations: takes eight times as long.",
        ),
    )
    precision: Precision = field(
        default="float32",
        metadata=_row(
            group="computing",
            label="precision",
            choices=("float32", "bfloat16", "float16"),
            help="Number format of the network.",
        ),
    )
    consistency: bool = field(
        default=True,
        metadata=_row(
            group="values",
            label="consistency",
            kind=bool,
            help="Hold a restored JPEG to the intervals that its file states.",
        ),
    )
    clean: bool = field(
        default=True,
        metadata=_row(
            group="model",
            label="clean first",
            kind=bool,
            help="sr: remove JPEG blocks and noise first, if there are any.",
        ),
    )

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            value = getattr(self, name)
            try:
                converted = setting.convert(value)
            except (ValueError, TypeError):
                named = SettingRef(setting.option or name, value)
                raise UsageError(
                    f"{named} is not valid; give {setting.accepted}.",
                    settings=[named],
                ) from None
            object.__setattr__(self, name, converted)


SETTINGS: Mapping[str, Setting] = {
    row.name: row.metadata["setting"] for row in fields(RestoreOptions) if row.metadata
}
"""The table: every setting but task and level, by the name of its field."""

_OTHER_NAMES = {row.option: name for name, row in SETTINGS.items() if row.option}
"""Names of the command that Python accepts, too, and the fields that they stand for."""

Number = float | Literal["auto"]


class RestoreKeywords(TypedDict, total=False):
    """Settings as keywords of Python, for type checkers; `SETTINGS` is the table."""

    sigma: Number
    q: Number
    scale: int
    model: str | None
    nearest: bool
    channels: Channels | None
    strength: float
    value_range: RangeChoice
    range: RangeChoice
    noise: NoiseChoice
    hot_pixels: HotPixels
    cyclic: bool | None
    context: Context
    device: str
    exit_block: int | None
    tta: bool
    precision: Precision
    consistency: bool
    clean: bool


def options_from(
    task: str, level: object = "auto", keywords: Mapping[str, Any] | None = None
) -> RestoreOptions:
    """Build options from names and values as Python or the command gives them.

    Parameters
    ----------
    task : str
        Name of the task, or ``auto``.
    level : float or ``auto``
        Level, if it is not among the keywords.
    keywords : mapping of str to object
        Fields of `RestoreOptions`, ``range``, and the level by its name for the task:
        ``sigma``, ``q`` or ``scale``.

    Raises
    ------
    UsageError
        If a name or value is not valid; it lists what is.
    """
    wanted = None if task == AUTO else find_task(task)
    levels = {other.option: other for other in TASKS.values()}
    given: dict[str, Any] = {}
    symbol = "level"
    for name, value in (keywords or {}).items():
        field_name = _OTHER_NAMES.get(name, name)
        if name == "noise_grain":
            raise UsageError(NO_GRAIN)
        if name in levels:
            if wanted is None or name != wanted.option:
                raise _does_not_go(name, wanted)
            if level != "auto":
                raise _twice("level", name)
            level, symbol = value, name
        elif field_name not in SETTINGS:
            raise _unknown(name)
        elif field_name in given:
            raise _twice(field_name, name)
        else:
            given[field_name] = value
    options = RestoreOptions(task=task, level=_level(symbol, level), **given)
    if wanted is None:
        _check_auto(options)
    return options


def _check_auto(options: RestoreOptions) -> None:
    """Refuse what is about one task where each file gets those that it needs."""
    for name in ("level", "model", "exit_block"):
        if value := getattr(options, name):
            raise _does_not_go(name, None, value)


def _level(name: str, value: Any) -> float | None:
    """Return a level as a number, or None where it is to be found out."""
    if value is None or value == "auto":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        named = SettingRef(name, value)
        raise UsageError(
            f"{named} is not valid; give a number or 'auto'.", settings=[named]
        ) from None


def _does_not_go(name: str, task: Task | None, value: object = None) -> UsageError:
    wrong = SettingRef(name, value)
    asked = SettingRef("task", task.name if task else AUTO)
    if task is None:
        return UsageError(
            f"{wrong} does not go with {asked}; name a task.", settings=[wrong, asked]
        )
    right = SettingRef(task.option)
    return UsageError(
        f"{wrong} does not go with {asked}; give {right}.",
        settings=[wrong, asked, right],
    )


def _twice(first: str, second: str) -> UsageError:
    one, other = SettingRef(first), SettingRef(second)
    return UsageError(
        f"{one} and {other} are the same setting; give one of them.",
        settings=[one, other],
    )


def _unknown(name: str) -> UsageError:
    options = [task.option for task in TASKS.values()]
    known = ", ".join([*dict.fromkeys(options), *_OTHER_NAMES, *SETTINGS])
    return UsageError(f"There is no setting {name!r}; the settings are {known}.")


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
