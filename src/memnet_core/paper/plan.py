"""Plan of a reproduction: tables, scale and data folders."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from memnet_core._util.sanitize import join_limited
from memnet_core.errors import SettingRef, UsageError
from memnet_core.evaluation.published import known_set, published, published_sets
from memnet_core.model.architecture import Architecture
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.evaluation.published import KnownSet

__all__ = ["SETS_OF_IMAGES", "TABLES", "Network", "ReproductionPlan", "Table"]


SETS_OF_IMAGES = {
    91: ("T91",),
    291: ("T91", "BSDS500_train"),
    300: ("BSDS500_train", "BSDS500_val"),
}
"""Folders of the training images, by how many they are together."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that is trained.

    Attributes
    ----------
    name : str
        Of its folder and model.
    task : str
        What it learns, at the levels of the paper.
    images : int
        How many images it is trained on, see `SETS_OF_IMAGES`.
    architecture : Architecture
        At the paper's size.
    """

    name: str
    task: str
    images: int
    architecture: Architecture = field(default_factory=Architecture)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper.

    Attributes
    ----------
    number : int
        In the paper.
    title : str
        What it compares.
    networks : dict of str to Network
        Those that are trained, by what the table calls them.
    """

    number: int
    title: str
    networks: dict[str, Network]


def _enlarging(name: str, images: int = 291, **shape: int | bool) -> Network:
    return Network(
        name=f"sr-{name}-{images}",
        task="sr",
        images=images,
        architecture=Architecture(**shape),  # type: ignore[arg-type]
    )


_FULL = _enlarging("M6R6")

TABLES = {
    table.number: table
    for table in (
        Table(
            number=1,
            title="ablation: without long-term, and without short-term connections",
            networks={
                "MemNet_NL": _enlarging("M6R6-NL", long_term=False),
                "MemNet_NS": _enlarging("M6R6-NS", short_term=False),
                "MemNet": _FULL,
            },
        ),
        Table(
            number=2,
            title="training images and multi-supervision",
            networks={
                "MemNet, 91 images, one output": _enlarging(
                    "M6R6-one-output", 91, multi_supervised=False
                ),
                "MemNet, 91 images": _enlarging("M6R6", 91),
                "MemNet, 291 images": _FULL,
            },
        ),
        Table(
            number=3,
            title="denoising",
            networks={
                "MemNet": Network(name="denoise-M6R6-300", task="denoise", images=300)
            },
        ),
        Table(number=4, title="super-resolution", networks={"MemNet": _FULL}),
        Table(
            number=5,
            title="JPEG deblocking",
            networks={
                "MemNet": Network(name="deblock-M6R6-300", task="deblock", images=300)
            },
        ),
        Table(
            number=6,
            title="depth",
            networks={
                "M4R6": _enlarging("M4R6", memory_blocks=4),
                "M6R6": _FULL,
                "M6R8": _enlarging("M6R8", recursions=8),
                "M10R10": _enlarging("M10R10", memory_blocks=10, recursions=10),
            },
        ),
    )
}
"""The paper's tables by number."""

_FILTERS = 64
_PATCHES = 64
_STEPS = 1_600_000
"""Of the recipe ``paper`` on 291 images: 60 epochs of all patches, turns and scales."""

_VALIDATIONS = 4
"""Of short runs: enough for a curve, as each restores eight images at every level."""


@dataclass(frozen=True, kw_only=True)
class ReproductionPlan:
    """Plan of a reproduction.

    Attributes
    ----------
    tables : tuple of int
        Numbers of the paper's tables.
    data : Path
        Folder that holds those of the images, or folders of such folders.
    out : Path
        Where runs and tables go.
    factor : int
        1 for the paper's size; F for 64/F filters, 64/F patches a step, and 1/F⁴ of
        the steps.
    steps : int, optional
        How long to train instead.
    seed : int
        Determines weights, samples and noise.
    """

    tables: tuple[int, ...]
    data: Path
    out: Path
    factor: int = 1
    steps: int | None = None
    seed: int = 0

    def networks(self) -> list[Network]:
        """Return the networks of all tables, each once, at their size."""
        wanted = {
            network.name: self.scaled(network)
            for table in self.tables
            for network in TABLES[table].networks.values()
        }
        return list(wanted.values())

    def scaled(self, network: Network) -> Network:
        """Return a network with fewer filters."""
        filters = _FILTERS // self.factor
        shape = replace(network.architecture, channels=filters)
        return replace(network, architecture=shape)

    def settings(self, network: Network) -> dict[str, Any]:
        """Return the settings for `memnet_core.training.runner.train`.

        At the paper's size that is its recipe. With fewer steps its learning rate,
        which falls every 20 epochs, would never fall: then it is the recipe ``fast``,
        with the paper's patches and luminance.
        """
        settings: dict[str, Any] = {
            "recipe": "paper",
            "task": network.task,
            "levels": find_task(network.task).recipe_levels["paper"],
            "data": self.training_folders(network),
            "out": self.out / network.name,
            "architecture": asdict(self.scaled(network).architecture),
            "seed": self.seed,
        }
        if self.factor > 1:
            batch = _PATCHES // self.factor
            settings |= {
                "recipe": "fast",
                "phases": [{"until": 1.0, "patch": 31, "batch": batch}],
                "luminance": "studio",
                "plain_share": 0.0,
                "steps": max(1, _STEPS // self.factor**4),
                "validations": _VALIDATIONS,
            }
        return settings | ({"steps": self.steps} if self.steps else {})

    def training_folders(self, network: Network) -> list[Path]:
        """Return the folders of the images that a network is trained on.

        Raises
        ------
        UsageError
            If some are missing.
        """
        folders = self._folders()
        names = SETS_OF_IMAGES[network.images]
        if missing := [name for name in names if _plain(name) not in folders]:
            raise UsageError(
                f"{self.data} lacks the training images {join_limited(missing)}; "
                "put each into a folder of that name there."
            )
        return [folders[_plain(name)] for name in names]

    def tested(self, table: Table) -> dict[str, Path]:
        """Return the folders of a table's sets that are there, by the set's name."""
        known = {
            found.name: folder
            for folder in self._folders().values()
            if (found := known_set(folder.name))
        }
        sets = published_sets(table.number)
        return {each.name: known[each.name] for each in sets if each.name in known}

    def missing(self, table: Table) -> list[KnownSet]:
        """Return the sets of a table that are not there."""
        there = self.tested(table)
        return [each for each in published_sets(table.number) if each.name not in there]

    def tests(self, network: Network) -> dict[Path, list[float]]:
        """Return the folders that a network is scored on, and the levels."""
        wanted: dict[Path, set[float]] = {}
        for number in self.tables:
            table = TABLES[number]
            if network.name not in {each.name for each in table.networks.values()}:
                continue
            for name, folder in self.tested(table).items():
                wanted.setdefault(folder, set()).update(published(number, name))
        return {folder: sorted(levels) for folder, levels in wanted.items()}

    def _folders(self) -> dict[str, Path]:
        """Return folders in the folder of the data, and in these, by their plain name.

        Raises
        ------
        UsageError
            If it cannot be listed.
        """
        try:
            outer = [path for path in sorted(self.data.iterdir()) if path.is_dir()]
            inner = [p for path in outer for p in sorted(path.iterdir()) if p.is_dir()]
        except OSError as error:
            data = SettingRef("data")
            raise UsageError(
                f"{error.filename} cannot be listed: {error.strerror}; give the folder "
                f"of the images with {data}.",
                settings=[data],
            ) from error
        return {_plain(path.name): path for path in [*inner, *outer]}


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
