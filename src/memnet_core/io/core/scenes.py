"""The images of a file or folder that can hold several of them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from memnet_core._util.sanitize import join_limited
from memnet_core.errors import ImageError
from memnet_core.io.core.errors import wrap_read_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from memnet_core.io.core.image_file import ImageFile

__all__ = ["Scenes", "chosen_image"]


class Scenes:
    """What a file or folder holds, one image or several; for a ``with`` statement.

    Parameters
    ----------
    path : Path
        The file or folder.
    names : sequence of str
        What each image is called there; empty if it has no name.
    opener : callable
        ``opener(number, axes)``: an `ImageFile`.
    title : str
        What people call the whole, such as ``OME-Zarr plate``.
    left_out : sequence of str
        What it holds besides, such as thumbnails, and why that is no scene.
    are_folders : bool
        Whether `names` are folders below `path`, each an image of its own.
    resources : ExitStack, optional
        What to close in the end.

    Attributes
    ----------
    path, names, title, left_out, are_folders
        As given.
    """

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        opener: Callable[[int, str], ImageFile],
        *,
        title: str = "",
        left_out: Sequence[str] = (),
        are_folders: bool = False,
        resources: ExitStack | None = None,
    ) -> None:
        self.path = path
        self.names = tuple(names)
        self.title = title
        self.left_out = tuple(left_out)
        self.are_folders = are_folders
        self._opener = opener
        self._resources = resources or ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.names)

    def close(self) -> None:
        """Close the file, and with it the images that were opened."""
        self._resources.close()

    def close_also(self, resources: ExitStack) -> None:
        """Have the file that this was found in closed after it."""
        resources.callback(self._resources.close)
        self._resources = resources

    def open(self, number: int, axes: str = "") -> ImageFile:
        """Open an image; it can be read as long as this is open.

        Parameters
        ----------
        number : int
            From 0, in the order of `names`.
        axes : str
            As for `memnet_core.io.open_image`.

        Raises
        ------
        ImageError
            If it is damaged or of a kind that is not supported, or the axes do not fit.
        """
        with wrap_read_errors(self.path):
            return self._opener(number, axes)

    def label(self, number: int) -> str:
        """Return how an image is told from the others: its number, and its name."""
        name = self.names[number]
        if self.are_folders:
            return name
        return f"scene {number} {name!r}" if name else f"scene {number}"

    def number(self, scene: int | str | None) -> int:
        """Return the number of the image that a user means.

        Parameters
        ----------
        scene : int or str, optional
            Number from 0, or name; nothing where there is only one.

        Raises
        ------
        ImageError
            If there is no such image, or there are several.
        """
        if scene is None and len(self) == 1:
            return 0
        if scene in self.names:
            found = [n for n, name in enumerate(self.names) if name == scene]
            if len(found) == 1:
                return found[0]
        elif scene is not None and str(scene).isdecimal() and int(scene) < len(self):
            return int(scene)
        labels = join_limited([self.label(n) for n in range(len(self))])
        if scene is None:
            told = "choose one of them as scene"
        elif scene in self.names:
            told = f"several are called {scene!r}, choose one by its number"
        else:
            told = f"{scene!r} is none of them"
        raise ImageError(
            f"{self.path} cannot be opened as one image: it holds {len(self)}, "
            f"{labels}; {told}.",
            path=self.path,
        )


def chosen_image(
    scenes: Scenes, axes: str = "", scene: int | str | None = None
) -> ImageFile:
    """Return one image, which closes its file when it is closed.

    Raises
    ------
    ImageError
        As `Scenes.number` and `Scenes.open`; then the file is closed.
    """
    with ExitStack() as resources:
        resources.enter_context(scenes)
        image = scenes.open(scenes.number(scene), axes)
        if not image.is_in_memory:
            image.close_also(resources.pop_all())
        return image
