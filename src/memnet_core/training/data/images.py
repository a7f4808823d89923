"""Training images: clean ones, or pairs of degraded and clean ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from memnet_core.errors import TrainingError
from memnet_core.image_ops.resize import imresize
from memnet_core.inference.analysis import analyze
from memnet_core.inference.noise_map import readings_of
from memnet_core.inference.scaling import AnscombeScaling, scaling_of
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_scenes, set_members
from memnet_core.noise.file import shipped_noise_network
from memnet_core.sources.sampling import sampled_blocks, sampled_planes
from memnet_core.training.data.clean_images import (
    clean_planes,
    image_files,
    read_clean_images,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.inference.scaling import Scaling
    from memnet_core.sources.protocols import PixelSource
    from memnet_core.training.config import TrainingConfig

__all__ = [
    "Pair",
    "TrainingImages",
    "read_pairs",
    "training_images",
    "validation_images",
]

_LARGE = 400


@dataclass(frozen=True)
class TrainingImages:
    """Planes on a scale of 0 to 255.

    Attributes
    ----------
    clean : list of ndarray, shape (H, W) or (H, W, 3)
        Targets.
    degraded : list of ndarray, shape (H, W), optional
        Inputs of given pairs; absent if clean planes are degraded on the fly.
    levels : list of float
        Levels of the degraded planes, for a network with a level map.
    use : str
        What they are for.
    """

    clean: list[NDArray[Any]]
    degraded: list[NDArray[Any]] | None = None
    levels: list[float] = field(default_factory=list)
    use: Literal["train", "validate"] = "train"

    def fitted(self, side: int) -> tuple[TrainingImages, str]:
        """Return the images that a region of `side` px fits into, and what to remark.

        Images of at least half that are extended by reflection at the lower right;
        smaller ones, which would hold more reflections than picture, are left out.

        Raises
        ------
        TrainingError
            If none is left.
        """
        least = -(-side // 2)
        kept = [n for n, p in enumerate(self.clean) if min(p.shape[:2]) >= least]
        if not kept:
            raise TrainingError(
                f"No image to {self.use} on has both sides of at least {least} px, "
                f"half of the {side} px around a patch; give larger images or smaller "
                "patches (phases)."
            )
        remarks = []
        if lost := len(self.clean) - len(kept):
            remarks.append(
                f"{lost} of {len(self.clean)} images to {self.use} on are left out: "
                f"they have a side of less than {least} px, half of the {side} px "
                "around a patch."
            )
        if small := sum(min(self.clean[n].shape[:2]) < side for n in kept):
            remarks.append(
                f"{small} images to {self.use} on have a side of less than {side} px, "
                "and are extended by reflection."
            )
        clean = [_extended(self.clean[n], side) for n in kept]
        degraded = self.degraded and [_extended(self.degraded[n], side) for n in kept]
        levels = [self.levels[n] for n in kept] if self.levels else []
        fitted = replace(self, clean=clean, degraded=degraded, levels=levels)
        return fitted, " ".join(remarks)

    @property
    def digest(self) -> str:
        """A hash of all pixels."""
        hashed = hashlib.sha256()
        for plane in (*self.clean, *(self.degraded or ())):
            hashed.update(f"{plane.dtype} {plane.shape}".encode())
            hashed.update(np.ascontiguousarray(plane).data)
        return hashed.hexdigest()


def training_images(config: TrainingConfig) -> TrainingImages:
    """Read the images to train on.

    Raises
    ------
    MemnetError
        If a folder holds no image, or pairs do not fit.
    """
    if config.pairs:
        return _read_pairs(*config.pairs, config)
    clean = _read_clean(config.data, config)
    if config.recipe == "fast":
        clean += [_halved(p) for p in clean if min(p.shape[:2]) >= _LARGE]
    return TrainingImages(clean)


def validation_images(config: TrainingConfig) -> TrainingImages | None:
    """Read the images to validate on, if there are any.

    Raises
    ------
    MemnetError
        As for `training_images`.
    """
    if config.validation_pairs:
        images = _read_pairs(*config.validation_pairs, config)
    elif config.validation:
        scored = config.model_copy(update={"luminance": "studio"})
        images = TrainingImages(_read_clean(config.validation, scored))
    else:
        return None
    return replace(images, use="validate")


def _read_clean(
    folders: tuple[Path, ...], config: TrainingConfig
) -> list[NDArray[Any]]:
    full_range = config.kind.full_range or config.luminance == "both"
    return [
        plane
        for folder in folders
        for _, plane in read_clean_images(
            folder,
            full_range=full_range,
            value_range=config.value_range,
            colors=config.architecture.image_channels == 3,
        )
    ]


def _read_pairs(low: Path, high: Path, config: TrainingConfig) -> TrainingImages:
    pairs = read_pairs(low, high, config)
    levels = [pair.level for pair in pairs if pair.level is not None]
    return TrainingImages(
        [pair.clean for pair in pairs], [pair.degraded for pair in pairs], levels
    )


def _extended(plane: NDArray[Any], side: int) -> NDArray[Any]:
    """Reflect a plane at the lower right until both sides have `side` px."""
    missing = [(0, max(side - length, 0)) for length in plane.shape[:2]]
    missing += [(0, 0)] * (plane.ndim - 2)
    return np.pad(plane, missing, mode="symmetric") if np.any(missing) else plane


def _halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Return a plane at half its size, which is sharper."""
    height, width = plane.shape[:2]
    image = Image.fromarray(plane).resize(
        (width // 2, height // 2), Image.Resampling.LANCZOS
    )
    return np.asarray(image)


_CLEAN = 0.5
"""Share of the noise up to which a partner is clean: the mean of four has as much."""


@dataclass(frozen=True)
class Pair:
    """A degraded plane and its target, in [0, 255].

    Attributes
    ----------
    degraded, clean : ndarray, shape (H, W) or (H, W, 3)
        Of one size.
    level : float, optional
        Level estimated in the degraded plane, for a network with a level map.
    """

    degraded: NDArray[Any]
    clean: NDArray[Any]
    level: float | None = None


def read_pairs(low: Path, high: Path, config: TrainingConfig) -> list[Pair]:
    """Read pairs of the same name; small images are enlarged by interpolation.

    Values beyond 8 bits are mapped, of both images, by what is found in the degraded
    one, as it is when that is restored: its range, and where its noise is that of
    photons, the scale on which that is the same everywhere.

    Parameters
    ----------
    low, high : Path
        Folders with degraded and with clean images; for noisy ones of the same,
        which of the two has the noise that is learned from makes no difference.
    config : TrainingConfig
        The run.

    Raises
    ------
    MemnetError
        If a folder holds no image, or pairs do not fit.
    """
    names = [{path.name: path for path in image_files(f)} for f in (low, high)]
    if lonely := sorted(names[0].keys() ^ names[1].keys()):
        raise _unpaired_error(lonely[0], low, high)
    members: set[Path] = set()
    pairs: list[Pair] = []
    for name, path in names[0].items():
        if path not in members:
            members.update(set_members(path))
            pairs += _pairs_of(path, names[1][name], config)
    return pairs


def _pairs_of(low: Path, high: Path, config: TrainingConfig) -> Iterator[Pair]:
    """Yield pairs of planes of two files with the same number of images."""
    with open_scenes(low) as degraded, open_scenes(high) as clean:
        if len(degraded) != len(clean):
            raise _unpaired_error(low.name, low.parent, high.parent)
        for number in range(len(degraded)):
            with degraded.open(number) as a, clean.open(number) as b:
                if a.shape[0] != b.shape[0]:
                    raise _unpaired_error(low.name, low.parent, high.parent)
                yield from _pairs_of_planes(a, b, low, high, config)


def _pairs_of_planes(
    a: PixelSource, b: PixelSource, low: Path, high: Path, config: TrainingConfig
) -> Iterator[Pair]:
    found = _found(a, config)
    of_partner = [
        c.scaling.forward_mean if _is_clean(b, n, c) else c.scaling.forward
        for n, c in enumerate(found)
    ]
    planes = (
        clean_planes(
            source,
            config.kind.full_range,
            config.value_range,
            colors=config.architecture.image_channels == 3,
            mappings=mappings,
        )
        for source, mappings in (
            (a, [c.scaling.forward for c in found]),
            (b, of_partner),
        )
    )
    scale = config.kind.scale(config.levels.values[0])
    for number, (degraded, clean) in enumerate(zip(*planes, strict=True)):
        height, width = (scale * side for side in degraded.shape[:2])
        if (height, width) != clean.shape[:2]:
            raise TrainingError(
                f"{low.name} has {clean.shape[0]}×{clean.shape[1]} px in "
                f"{high.parent}, not {height}×{width} px as its partner in "
                f"{low.parent} asks for."
            )
        if scale > 1:
            large = imresize(degraded.astype(np.float64), (height, width))
            degraded = large.astype(np.float32)
        yield Pair(degraded, clean, found[a.channel(number)].level)


class _Found(NamedTuple):
    """Scaling of a degraded channel, and its level for a network with a level map."""

    scaling: Scaling
    level: float | None


def _found(source: PixelSource, config: TrainingConfig) -> list[_Found]:
    task, choice = config.kind, config.value_range
    if not task.noisy or choice == "plane":
        samples = (
            sampled_blocks(source, sampled_planes(source, channel))
            for channel in range(source.channels)
        )
        scalings = (scaling_of(blocks, source.dtype, choice) for blocks in samples)
        return [_Found(scaling, None) for scaling in scalings]
    options = RestoreOptions(task=config.task, value_range=choice, cyclic=False)
    judged = analyze(source, options)
    is_told = config.architecture.level_map
    return [
        _Found(channel.scaling, channel.level if is_told else None)
        for channel in judged.channels
        if channel.scaling
    ]


def _is_clean(partner: PixelSource, channel: int, found: _Found) -> bool:
    """Whether a channel has too little noise to be one more noisy image of the same."""
    scaling = found.scaling
    if not isinstance(scaling, AnscombeScaling):
        return False  # it makes no difference
    planes = sampled_planes(partner, channel)
    middle = sampled_blocks(partner, [planes[len(planes) // 2]])
    seen = [scaling.forward(block[..., 0].astype(np.float64)) for block in middle]
    read = readings_of(shipped_noise_network(), seen)
    return read.level(read.curve()) < _CLEAN * scaling.level


def _unpaired_error(name: str, low: Path, high: Path) -> TrainingError:
    return TrainingError(
        f"{name} is in one of {low} and {high} only; pairs have the same "
        "name and number of planes in both folders."
    )
