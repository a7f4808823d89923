"""Pairs of degraded and clean images, or of two noisy ones of the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from memnet_core.errors import TrainingError
from memnet_core.image_ops.resize import imresize
from memnet_core.inference.analysis import analyze
from memnet_core.inference.scaling import AnscombeScaling, scaling_of
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_scenes, set_members
from memnet_core.noise.correlation import estimate_sigma
from memnet_core.sources.sampling import sampled_blocks, sampled_planes
from memnet_core.training.data.clean_images import clean_planes, image_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.inference.scaling import LinearScaling
    from memnet_core.sources.protocols import PixelSource
    from memnet_core.training.config import TrainingConfig

__all__ = ["Pair", "read_pairs"]

_CLEAN = 0.5
"""Share of the noise up to which a partner is clean: the mean of four has as much."""


@dataclass(frozen=True)
class Pair:
    """A plane as it is and as it should be, on a scale of 0 to 255.

    Attributes
    ----------
    degraded, clean : ndarray, shape (H, W) or (H, W, 3)
        Of one size.
    level : float, optional
        That was found in the degraded plane, for a network that is told it.
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
    """Yield the planes of two files, of which every image has its partner."""
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
    """What is found in a channel of a degraded image, in which level if it is told."""

    scaling: LinearScaling | AnscombeScaling
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
    judged = analyze(source, RestoreOptions(task=config.task, value_range=choice))
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
    noise = float(np.mean([estimate_sigma(plane) for plane in seen]))
    return noise < _CLEAN * scaling.level


def _unpaired_error(name: str, low: Path, high: Path) -> TrainingError:
    return TrainingError(
        f"{name} is in one of {low} and {high} only; pairs have the same "
        "name and number of planes in both folders."
    )
