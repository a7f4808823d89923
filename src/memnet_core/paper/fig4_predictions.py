"""Predictions of networks for one image, side by side (Fig. 4 of the paper)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memnet_core.errors import UsageError
from memnet_core.evaluation.protocol import degraded_input, reference, scores
from memnet_core.evaluation.run import restored_plane
from memnet_core.paper.fig6_exits import BANDS, decibels, exits, spectrum_of
from memnet_core.paper.figures import Picture
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from memnet_core.model.architecture import Architecture
    from memnet_core.model.network import MemNet
    from memnet_core.paper.fig6_exits import Exit, Spectrum

__all__ = ["Comparison", "compare"]

_SIDE = 96
"""Side of the crop in pixels if none is given."""


@dataclass(frozen=True)
class Comparison:
    """Predictions of networks for one image.

    Attributes
    ----------
    common : tuple of Picture
        The degraded and the clean image.
    rows : dict of str to tuple of Picture
        Predictions of each network, by its name.
    pairs : tuple of (str, Spectrum, Spectrum)
        What is compared with what, and how that is called.
    spectra : dict of (str, str) to Spectrum
        All spectra, by network, or nothing, and image.
    """

    common: tuple[Picture, ...]
    rows: dict[str, tuple[Picture, ...]]
    pairs: tuple[tuple[str, Spectrum, Spectrum], ...]
    spectra: dict[tuple[str, str], Spectrum]

    def words(self) -> list[str]:
        """Return for each pair by how much its powers differ in thirds of frequencies.

        The clean image is compared with the first network, to tell what it lacks.
        """
        return [
            f"{name}: "
            + ", ".join(
                f"{band} {decibels(first.band(band), second.band(band)):+.2f} dB"
                for band in BANDS
            )
            for name, first, second in self.pairs
        ]


def compare(
    models: Mapping[str, MemNet],
    task_name: str,
    plane: NDArray[Any],
    level: float,
    *,
    names: Sequence[str] = (),
    crop: tuple[int, int, int] | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Comparison:
    """Restore an image by several predictions of several networks.

    Parameters
    ----------
    models : mapping of str to MemNet
        The networks, by name.
    task_name : str
        What they were trained for.
    plane : ndarray, shape (H, W)
        A clean image, pixels of 0 to 255.
    level : float
        How it is degraded.
    names : sequence of str
        Which predictions; by default those at two thirds of the blocks and at the last
        one, as the paper shows the fourth and the sixth.
    crop : (int, int, int), optional
        Top, left and side of what is shown, in pixels; 96 in the middle by default.
    device : str
        Where to compute.
    seed : int
        Determines the noise.

    Raises
    ------
    UsageError
        If a network does not make a prediction, or the crop is outside of the image.
    """
    task = find_task(task_name)
    clean = reference(plane, task, level)
    degraded = degraded_input(clean, task, level, seed=seed, number=0)
    window = _window(clean.shape, crop)

    def picture(title: str, image: NDArray[Any], *, scored: bool = True) -> Picture:
        if scored:
            psnr, ssim = scores(clean, image, task, level)
            title += f", {psnr:.2f} dB, {ssim:.4f}"
        return Picture(title, image[window], spectrum_of(image))

    inputs = picture(task.label(level), degraded)
    original = picture("clean", clean, scored=False)
    rows: dict[str, tuple[Picture, ...]] = {}
    spectra = {("", "degraded"): inputs.spectrum, ("", "clean"): original.spectrum}
    pairs: list[tuple[str, Spectrum, Spectrum]] = []
    outputs: list[tuple[str, Spectrum]] = []
    for name, model in models.items():
        made = {}
        for each in _chosen(name, model.architecture, names):
            engine = each.engine(model, device)
            restored = restored_plane(engine, degraded, task.level_map_value(level))
            made[each.name] = picture(each.name, restored)
            spectra[name, each.name] = made[each.name].spectrum
        rows[name] = tuple(made.values())
        first, *_, last = [*made, *made]
        if first != last:
            a, b = made[last].spectrum, made[first].spectrum
            pairs.append((f"{name} {last} against {first}", a, b))
        outputs.append((f"{name} {last}", made[last].spectrum))
    (base, power), *others = outputs
    pairs += [(f"{title} against {base}", other, power) for title, other in others]
    pairs.append((f"clean against {base}", original.spectrum, power))
    return Comparison((inputs, original), rows, tuple(pairs), spectra)


def _chosen(name: str, architecture: Architecture, names: Sequence[str]) -> list[Exit]:
    known = {each.name: each for each in exits(architecture)}
    if not names:
        blocks = architecture.memory_blocks
        shown = dict.fromkeys([f"y{math.ceil(2 * blocks / 3)}", f"y{blocks}"])
        names = [each for each in shown if each in known] or ["y"]
    for each in names:
        if each not in known:
            raise UsageError(
                f"The model {name!r} makes no prediction {each!r}; choose from "
                f"{', '.join(known)}."
            )
    return [known[each] for each in names]


def _window(
    shape: tuple[int, ...], crop: tuple[int, int, int] | None
) -> tuple[slice, slice]:
    height, width = shape
    if crop is None:
        side = min(_SIDE, height, width)
        crop = (height - side) // 2, (width - side) // 2, side
    top, left, side = crop
    if min(top, left) < 0 or side < 1 or top + side > height or left + side > width:
        raise UsageError(
            f"A crop of {side} px at row {top}, column {left} is not inside of "
            f"{height}×{width} px; give other numbers."
        )
    return slice(top, top + side), slice(left, left + side)
