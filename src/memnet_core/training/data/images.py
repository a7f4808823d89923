"""Training images: clean ones, or pairs of degraded and clean ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from memnet_core.errors import TrainingError
from memnet_core.training.data.clean_images import read_clean_images
from memnet_core.training.data.pairs import read_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.training.config import TrainingConfig

__all__ = ["TrainingImages", "training_images", "validation_images"]

_LARGE = 400


@dataclass(frozen=True)
class TrainingImages:
    """Planes on a scale of 0 to 255.

    Attributes
    ----------
    clean : list of ndarray, shape (H, W) or (H, W, 3)
        What the network is to restore.
    degraded : list of ndarray, shape (H, W), optional
        What it is to restore them from, where that is not made on the fly.
    levels : list of float
        Of the degraded ones, where the network is told them.
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
