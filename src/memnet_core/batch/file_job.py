"""The images of one file on their way into another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memnet_core._util.sanitize import join_limited
from memnet_core.errors import ImageError, NothingToDo
from memnet_core.inference.runner import restore
from memnet_core.progress import Notice, Progress
from memnet_core.sources.prefetch import prefetched

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from contextlib import ExitStack

    from memnet_core.inference.engine import EngineCache
    from memnet_core.inference.plan import Prepared
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.io import ImageFile, Scenes
    from memnet_core.sources.protocols import Sink

__all__ = ["SceneJob", "common_level", "opened_scenes", "prepared_parts", "summarize"]


@dataclass(frozen=True)
class SceneJob:
    """An image of a file.

    Attributes
    ----------
    label : str
        What tells it from the others; empty if it is the only one.
    source : ImageFile
        The open image.
    prepared : Prepared, optional
        How it is restored; None if it is copied, because it needs nothing.
    reason : str
        Why it needs nothing.
    """

    label: str
    source: ImageFile
    prepared: Prepared | None
    reason: str = ""

    @property
    def pixels(self) -> int:
        """Pixels of all its planes."""
        count, height, width, _ = self.source.shape
        return count * height * width

    def written(self, sink: Sink) -> Generator[float | str, None, None]:
        """Restore it into a sink; yield the fraction that is done, and notices."""
        with prefetched(self.source) as ahead:
            if self.prepared is None:
                count, height, width, _ = ahead.shape
                whole = slice(0, height), slice(0, width)
                for plane in range(count):
                    sink.write(plane, *whole, ahead.read(plane, *whole))
                    yield (plane + 1) / count
                return
            for event in restore(ahead, sink, self.prepared):
                if isinstance(event, Progress):
                    yield event.fraction
                elif isinstance(event, Notice):
                    told = f"{self.label}: " if self.label else ""
                    yield f"{told}{event.text}"


def opened_scenes(
    scenes: Scenes, axes: str, resources: ExitStack
) -> tuple[list[tuple[str, ImageFile]], list[str]]:
    """Open all images that can be read, as long as there is one.

    Parameters
    ----------
    scenes : Scenes
        The open file.
    axes : str
        Axes of all images, instead of those that they tell.
    resources : ExitStack
        Gets the open images.

    Returns
    -------
    list of (str, ImageFile)
        Their labels, empty for the only one, and themselves.
    list of str
        What cannot be read, and why, and what else the file holds.

    Raises
    ------
    ImageError
        If no image can be read: why the first cannot.
    """
    opened, lost = [], []
    first: ImageError | None = None
    several = len(scenes) > 1
    for number in range(len(scenes)):
        label = scenes.label(number) if several else ""
        try:
            source = resources.enter_context(scenes.open(number, axes))
        except ImageError as error:
            first = first or error
            _, _, why = str(error).partition(" cannot be read: ")
            lost.append(f"{label} ({(why or str(error)).rstrip('.')})")
        else:
            opened.append((label, source))
    if not opened and first:
        raise first
    return opened, [*lost, *(scenes.left_out if several else ())]


def prepared_parts(
    opened: Sequence[tuple[str, ImageFile]],
    settings: RestoreOptions,
    models: EngineCache,
) -> list[SceneJob]:
    """Decide how each image is restored.

    Raises
    ------
    MemnetError
        As `prepare`; `NothingToDo` only if no image needs anything.
    """
    from memnet_core.inference.engine import prepare  # imports PyTorch

    parts, idle = [], []
    for label, source in opened:
        try:
            parts.append(SceneJob(label, source, prepare(source, settings, models)))
        except NothingToDo as error:
            idle.append(error)
            parts.append(SceneJob(label, source, None, str(error)))
    if len(idle) == len(parts):
        raise idle[0]
    return parts


def summarize(parts: Sequence[SceneJob]) -> str:
    """Return what was found of each image, once where it is the same for all."""
    told = [
        "; ".join(part.prepared.decision.remarks)
        if part.prepared
        else f"left as it is: {part.reason}"
        for part in parts
    ]
    if len(set(told)) > 1:
        both = zip(parts, told, strict=True)
        each = [f"{part.label}: {text}" for part, text in both if text]
        return join_limited(each)
    count = f"{len(parts)} images" if len(parts) > 1 else ""
    return "; ".join(filter(None, (count, told[0])))


def common_level(parts: Sequence[SceneJob]) -> float | None:
    """Return the level of all images that are restored; None where they differ."""
    levels = {part.prepared.decision.level for part in parts if part.prepared}
    return levels.pop() if len(levels) == 1 else None
