"""Animated PNG, GIF and WebP through imageio: frames are planes along T."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from memnet_core.io.core.image import Animation, Calibration, Metadata
from memnet_core.io.core.limits import check_frames, check_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile as PillowFile

__all__ = ["encoded_animation", "number_of_frames", "read_animation", "with_times"]


_MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}


def number_of_frames(image: PillowFile) -> int:
    """Return how many frames an opened picture has, 1 if it is no animation."""
    return int(getattr(image, "n_frames", 1)) - _poster(image)


def read_animation(
    source: BinaryIO, image: PillowFile, dropped: list[str]
) -> tuple[NDArray[np.uint8], Animation]:
    """Read all frames, each as it is seen.

    Parameters
    ----------
    source : BinaryIO
        The file.
    image : PIL.ImageFile.ImageFile
        The opened file, at its first frame.
    dropped : list of str
        What is not carried.

    Returns
    -------
    ndarray of uint8, shape (T, H, W) or (T, H, W, S)
        The frames.
    Animation
        Their times.

    Raises
    ------
    ValueError
        If it is not intact, or its pixels are not supported, or too many.
    """
    from imageio.v3 import imopen

    mode, first = _mode(image), _poster(image)
    shape = (number_of_frames(image), image.height, image.width)
    check_pixels(math.prod(shape), f"the sum of its {shape[0]} frames")
    check_frames(*shape, samples=len(mode))
    frames = np.empty((*shape, len(mode)), np.uint8)
    if first:
        dropped.append("picture for programs that show no animation")
    durations = []
    plays = 1
    file: Any
    with imopen(source, "r", plugin="pillow") as file:
        for number in range(len(frames)):
            pixels = file.read(index=first + number, mode=mode)
            frames[number] = pixels.reshape(frames.shape[1:])
            told = file.metadata(index=first + number, exclude_applied=False)
            durations.append(float(told.get("duration") or 0))
            plays = _plays(image.format or "", told.get("loop", None), plays)
    if image.mode == "P":
        if _is_gray(frames):
            frames = frames[..., [0, *range(3, len(mode))]]
        else:
            dropped.append("palette (expanded)")
    if frames.shape[-1] == 1:
        frames = frames[..., 0]
    return frames, Animation(tuple(durations), plays)


def with_times(metadata: Metadata, animation: Animation) -> Metadata:
    """Return metadata with an animation, and the step of T where it is one."""
    known = metadata.calibration
    step = animation.durations[0] / 1000
    if step and len(set(animation.durations)) == 1:
        known = Calibration(
            spacing={**known.spacing, "T": step}, units={**known.units, "T": "second"}
        )
    stated = known if known.spacing else None
    return replace(metadata, native=animation, stated=stated)


def encoded_animation(
    frames: Sequence[NDArray[Any]], animation: Animation, kind: str, **options: Any
) -> bytes:
    """Return the bytes of an animation; frames that are equal are shown as one.

    Parameters
    ----------
    frames : sequence of ndarray of uint8, shape (H, W) or (H, W, S)
        What is shown.
    animation : Animation
        How long.
    kind : str
        ``png``, ``gif`` or ``webp``.
    **options
        Of Pillow's writer.
    """
    from imageio.v3 import imopen

    loops: dict[str, int] = {"loop": animation.plays}
    if kind == "gif":  # it tells the number of repetitions, and nothing for none
        loops = {"loop": max(animation.plays - 1, 0)} if animation.plays != 1 else {}
    encoded = io.BytesIO()
    file: Any
    with imopen(encoded, "w", plugin="pillow", extension=f".{kind}") as file:
        file.write(
            [*frames],
            duration=[round(duration) for duration in animation.durations],
            **loops,
            **options,
        )
    return encoded.getvalue()


def _poster(image: PillowFile) -> int:
    """Return 1 if the first picture of an animated PNG is none of its frames."""
    is_apart = getattr(image, "default_image", False) and image.format == "PNG"
    return int(bool(is_apart) and getattr(image, "n_frames", 1) > 1)


def _mode(image: PillowFile) -> str:
    if image.format == "PNG" and str(image.tile[0][3]).partition(";")[2] == "16B":
        raise ValueError("animations of 16 bits are not supported; split its frames")
    if image.mode not in _MODES:
        raise ValueError(f"pixels of the kind {image.mode!r} are not supported")
    mode = _MODES[image.mode]
    is_keyed = "transparency" in image.info and not mode.endswith("A")
    return mode + "A" * is_keyed


def _is_gray(frames: NDArray[np.uint8]) -> bool:
    red, green, blue = (frames[..., n] for n in range(3))
    return np.array_equal(red, green) and np.array_equal(red, blue)


def _plays(kind: str, loop: int | None, known: int) -> int:
    """Return how often frames are shown, as far as one of them tells."""
    if loop is None:
        return known
    return loop + 1 if kind == "GIF" and loop else loop
