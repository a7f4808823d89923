"""What a training run is made of, validated before anything starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from memnet_core.errors import LevelError, TrainingError, UsageError
from memnet_core.inference.settings import RangeChoice
from memnet_core.model.architecture import Architecture
from memnet_core.tasks import CORRELATED, Grain, Levels, Task, find_task

__all__ = ["Phase", "TrainingConfig", "file_name", "validated_config"]

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, lt=2**40)]


def _absolute(path: Path) -> Path:
    """Return a path that does not depend on where one stands, links kept."""
    return Path(os.path.abspath(path))


def file_name(name: str) -> str:
    """Return a name that a file can have.

    Raises
    ------
    ValueError
        If it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"a name begins with a letter or digit and holds only these, '.', '_' and "
            f"'-', unlike {name!r}; give another name"
        )
    return name


def _task_name(name: str) -> str:
    try:
        return find_task(name).name
    except UsageError as error:
        raise ValueError(str(error)) from error


def _several(value: object) -> object:
    """Return a single path as one of several."""
    return (value,) if isinstance(value, (str, Path)) else value


Folder = Annotated[Path, AfterValidator(_absolute)]
Name = Annotated[str, AfterValidator(file_name)]
TaskName = Annotated[str, AfterValidator(_task_name)]


class Phase(BaseModel):
    """Batches of one shape, used until a fraction of the run is over.

    Attributes
    ----------
    until : float
        Fraction of the run, in (0, 1], at which the phase ends.
    patch : int
        Side of the square patches in pixels.
    batch : int
        Patches in a step, over all processes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: Annotated[float, Field(gt=0, le=1)]
    patch: Annotated[int, Field(ge=8, le=4096)]
    batch: Annotated[int, Field(ge=1, le=2**16)]


class TrainingConfig(BaseModel):
    """A training run; `memnet_core.training.recipes` fills in what is not given.

    Attributes
    ----------
    recipe, task : str
        The recipe that the settings come from, and what to learn.
    data : tuple of Path
        Folders with clean images, which are degraded on the fly; all are absolute.
    pairs : (Path, Path), optional
        Folders with degraded images and clean ones of the same names, instead.
    validation, validation_pairs
        As `data` and `pairs`, to validate on; the training images by default.
    value_range : str or (float, float)
        How images of other than 8 bits map to the network's [0, 1].
    out : Path
        Folder for the model, the logs and the state of the run.
    name, license : str
        For the card of the model.
    levels : Levels
        Degradation levels.
    grain : str
        Of noise to remove: ``white``, or ``correlated``, which neighboring pixels
        share; see `memnet_core.tasks.denoise`.
    noise : str
        Of noise to remove: ``white``, or ``all``, blurred, of photons and uneven, with
        the map of its deviation as level; see `memnet_core.noise.synthesis`.
    architecture : Architecture
        The network to train.
    minutes, steps, epochs
        How long the run takes; one of the three. With `minutes` the schedule follows
        the clock, which stands still in validations, and a run cannot be repeated bit
        by bit.
    start : str, optional
        Name or file of a model to start from, of the same shape or a smaller one; see
        `memnet_core.training.finetune.expand_model`.
    seed : int
        Determines the initial weights and every sample.
    phases : tuple of Phase
        Shapes of the batches.
    luminance : str
        How color images become gray training patches, unless the network restores
        colors jointly or the task is scored in full range:
        ``studio``, the luminance from 16 to 235 that the protocol scores, or ``both``,
        half of the patches in full range.
    plain_share : float
        Fraction of the patches that are flat, cut off at white or black, or made by
        program; see `memnet_core.training.data.synthetic_pictures`.
    dim_share : float
        Fraction of the patches that are darkened or lose contrast.
    history_share : float
        Fraction of the JPEGs to learn from that were saved twice; see
        `memnet_core.training.jpeg_histories`.
    border_share : float
        Fraction of the patches at a border or in a corner of their picture, as far as
        the degradation depends on what lies around a patch.
    stride : int, optional
        Patches on a grid of this stride, every one once in an epoch; by default they
        are drawn at random.
    teacher : tuple of Path
        Files of networks to learn from, too; see `memnet_core.training.distillation`.
        One, or for super-resolution one for each scale.
    teacher_share : float
        Part of a teacher's answer in the target, the rest being the clean image; plain
        patches are learned from clean images alone.
    batches : str
        ``device``: images stay on the device, and batches are made there; ``workers``:
        a thread of the CPU makes them; ``auto``: the former on a GPU, and with a
        teacher.
    optimizer : str
        ``muon`` (for convolutions, AdamW for the rest), ``adamw`` or ``sgd`` (momentum
        0.9).
    learning_rate, weight_decay : float
        The decay is for the weights of convolutions, which each step multiplies by
        1 - rate · decay.
    schedule : str
        ``cosine`` and ``linear``: to zero at the end of the run. ``steps``: divided by
        ten every `decay_epochs` epochs.
    warmup_steps : int
        Steps over which the learning rate rises from zero, in short runs fewer.
    clip_norm, clip_theta : float, optional
        Largest norm of all gradients; largest gradient times learning rate (adjustable
        gradient clipping).
    alpha : float, optional
        Weight α of the final output in the loss (eq. 12); 1/(M + 1) by default.
    loss : str
        ``log``: logarithm of the mean squared error of each patch. ``euclidean``:
        eq. 12, summed over the pixels of a patch. ``charbonnier``: Charbonnier's
        smooth absolute error, and squared error from the fraction
        `squared_error_from` of the run on, averaged over pixels.
    loss_floor : float
        What ``log`` adds to the mean squared error of a patch. Where patches are left
        as they are by a degradation, as flat ones by JPEG, a small one rewards doing
        nothing so much that networks die; 1e-4 is an error of 2.5 gray levels.
    average_decay : float
        Decay of the exponential moving average of the weights; 0 for none.
    freeze_norm_from : float
        Fraction of the run from which BatchNorm uses fixed statistics, recalibrated for
        the averaged weights, from which training goes on; 0 where a run starts from a
        model keeps those of that model. Without effect where there is no BatchNorm.
    recalibration_batches : int
        Batches over which statistics are taken anew.
    precision : str
        ``bfloat16``: convolutions are computed in it, until BatchNorm is fixed if there
        is any, weights and their updates in float32; ``float32``; ``auto``: the former
        on GPUs and CPUs that are faster so.
    compile : bool
        Whether PyTorch compiles the network first, which takes minutes.
    activation_checkpointing : bool
        Whether to compute activations twice and keep few, for deep networks on small
        cards.
    validations : int, optional
        How often to validate in the run; every ten minutes by default, at least four
        times, and ten times in runs of given steps or epochs.
    report_every, save_every : float
        Seconds between two reports, and between two saved states.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    recipe: Literal["fast", "tune", "paper"]
    task: TaskName
    data: tuple[Folder, ...] = ()
    pairs: tuple[Folder, Folder] | None = None
    validation: tuple[Folder, ...] = ()
    validation_pairs: tuple[Folder, Folder] | None = None
    value_range: RangeChoice = "auto"
    out: Path
    name: Name
    license: str = Field(
        "unspecified", validation_alias=AliasChoices("license", "licence")
    )
    levels: Levels
    grain: Grain = "white"
    noise: Literal["white", "all"] = "white"
    architecture: Architecture
    minutes: Positive | None = None
    steps: Count | None = None
    epochs: Count | None = None
    start: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    phases: tuple[Phase, ...]
    luminance: Literal["studio", "both"] = "studio"
    plain_share: Fraction = 0.0
    dim_share: Fraction = 0.0
    border_share: Fraction = 0.0
    history_share: Fraction = 0.0
    stride: Count | None
    teacher: Annotated[tuple[Folder, ...], BeforeValidator(_several)] = ()
    teacher_share: Fraction = 0.0
    batches: Literal["auto", "device", "workers"] = "auto"
    optimizer: Literal["muon", "adamw", "sgd"]
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cosine", "linear", "steps"]
    decay_epochs: Count = 20
    warmup_steps: Annotated[int, Field(ge=0)]
    clip_norm: Positive | None
    clip_theta: Positive | None
    alpha: Fraction | None
    loss: Literal["charbonnier", "euclidean", "log"]
    loss_floor: Positive = 1e-6
    squared_error_from: Fraction = 0.7
    average_decay: Fraction
    freeze_norm_from: Fraction
    recalibration_batches: Count = 30
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    compile: bool = False
    activation_checkpointing: bool = False
    validations: Count | None = None
    report_every: Positive = 15.0
    save_every: Positive = 60.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        lengths = [n for n in (self.minutes, self.steps, self.epochs) if n is not None]
        if len(lengths) != 1:
            raise ValueError("give one of minutes, steps and epochs")
        if bool(self.data) == bool(self.pairs):
            raise ValueError("give either data, folders of clean images, or pairs")
        if self.validation_pairs and not self.pairs:
            raise ValueError("validation_pairs go with pairs")
        if self.validation and not self.data:
            raise ValueError("validation goes with data; give validation_pairs")
        if self.stride and (self.pairs or len(self.phases) != 1):
            raise ValueError("a grid of patches needs clean images and a single phase")
        if self.stride is None and (self.epochs or self.schedule == "steps"):
            raise ValueError("only patches on a grid (stride) are counted in epochs")
        if self.pairs and self.architecture.level_map and not self.kind.noisy:
            raise ValueError("pairs tell no level; a level_map needs clean images")
        if self.grain == "correlated" and self.task != "denoise":
            raise ValueError("only noise has a grain; give the task denoise")
        if self.noise == "all" and (self.task != "denoise" or self.pairs):
            raise ValueError("noise: all is for the task denoise and clean images")
        if self.noise == "all" and (self.grain == "correlated" or self.stride):
            raise ValueError("noise: all has no grain, and no patches on a grid")
        if self.architecture.chroma_level and (
            self.task != "deblock" or not self.data or self.stride
        ):
            raise ValueError(
                "a chroma_level is for the task deblock, clean images, and patches "
                "that are drawn"
            )
        if self.history_share and (self.task != "deblock" or not self.data):
            raise ValueError("only JPEGs made of clean images have a history_share")
        shares = self.plain_share, self.dim_share, self.border_share
        if self.stride and (
            any(shares) or self.history_share or self.luminance == "both"
        ):
            raise ValueError("patches on a grid are taken as they are")
        if self.stride and self.batches == "device":
            raise ValueError("patches on a grid are made by batches: workers")
        if bool(self.teacher) != (self.teacher_share > 0):
            raise ValueError("a teacher and its share of the target go together")
        if self.teacher and (self.pairs or self.stride or self.batches == "workers"):
            raise ValueError(
                "a teacher needs clean images, patches that are drawn (no stride), and "
                "batches that are made on the device"
            )
        self._check_levels()
        self._check_phases()
        return self

    def _check_levels(self) -> None:
        task = find_task(self.task)
        try:
            task.check_levels(self.levels)
        except LevelError as error:
            raise ValueError(str(error)) from error
        if self.pairs and len({task.scale(level) for level in self.levels.values}) > 1:
            raise ValueError("pairs have a single scale; give one level")

    def _check_phases(self) -> None:
        ends = [phase.until for phase in self.phases]
        if not ends or ends[-1] != 1 or ends != sorted(set(ends)):
            raise ValueError(
                "the phases have to end at rising fractions of the run, the last at 1"
            )
        unshuffle = self.architecture.unshuffle
        if odd := [p.patch for p in self.phases if p.patch % unshuffle]:
            raise ValueError(
                f"a patch of {odd[0]} px is not a multiple of unshuffle {unshuffle}"
            )

    @property
    def kind(self) -> Task:
        """What is learnt: the task, with the grain of its noise."""
        return CORRELATED if self.grain == "correlated" else find_task(self.task)

    @property
    def tunes(self) -> bool:
        """Whether a trained network is changed with care, its statistics kept."""
        return self.start is not None and self.freeze_norm_from == 0

    def phase(self, fraction: float) -> Phase:
        """Return the phase at a fraction of the run in [0, 1]."""
        return next(p for p in self.phases if fraction < p.until or p.until == 1)

    @property
    def validation_count(self) -> int:
        """How often the run is validated."""
        if self.validations is not None:
            return self.validations
        return max(4, round(self.minutes / 10)) if self.minutes else 10


def validated_config(**settings: object) -> TrainingConfig:
    """Return a configuration or say in one sentence what is wrong with it.

    Raises
    ------
    TrainingError
        If a setting is unknown, missing, or out of range.
    """
    try:
        return TrainingConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        message = first["msg"].removeprefix("Value error, ").removesuffix(".")
        raise TrainingError(f"Training setting {field}: {message}.") from error
