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
"""Folders of training images, by their total number of images."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network to train.

    Attributes
    ----------
    name : str
        Name of its folder and model.
    task : str
        Task, trained at the levels of the paper.
    images : int
        Number of training images, a key of `SETS_OF_IMAGES`.
    architecture : Architecture
        Architecture at the paper's size.
    """

    name: str
    task: str
    images: int
    architecture: Architecture = field(default_factory=Architecture)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper; `networks` maps its column names to networks to train."""

    number: int
    title: str
    networks: dict[str, Network]


def _sr_network(name: str, images: int = 291, **shape: int | bool) -> Network:
    return Network(
        name=f"sr-{name}-{images}",
        task="sr",
        images=images,
        architecture=Architecture(**shape),  # type: ignore[arg-type]
    )


_FULL = _sr_network("M6R6")

TABLES = {
    table.number: table
    for table in (
        Table(
            number=1,
            title="ablation: without long-term, and without short-term connections",
            networks={
                "MemNet_NL": _sr_network("M6R6-NL", long_term=False),
                "MemNet_NS": _sr_network("M6R6-NS", short_term=False),
                "MemNet": _FULL,
            },
        ),
        Table(
            number=2,
            title="training images and multi-supervision",
            networks={
                "MemNet, 91 images, one output": _sr_network(
                    "M6R6-one-output", 91, multi_supervised=False
                ),
                "MemNet, 91 images": _sr_network("M6R6", 91),
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
                "M4R6": _sr_network("M4R6", memory_blocks=4),
                "M6R6": _FULL,
                "M6R8": _sr_network("M6R8", recursions=8),
                "M10R10": _sr_network("M10R10", memory_blocks=10, recursions=10),
            },
        ),
    )
}
"""The paper's tables by number."""

_FILTERS = 64
_PATCHES = 64
_STEPS = 1_600_000
"""Steps of the recipe ``paper`` on 291 images: 60 epochs of all patches, flips,
rotations and scales."""

_VALIDATIONS = 4
"""Validations of short runs: enough for a curve, as each restores eight images at
every level."""


@dataclass(frozen=True, kw_only=True)
class ReproductionPlan:
    """Plan of a reproduction.

    Attributes
    ----------
    tables : tuple of int
        Numbers of the paper's tables.
    data : Path
        Folder of the image folders, which may lie one folder deeper.
    out : Path
        Output folder of runs and tables.
    factor : int
        1 for the paper's size; F for 64/F filters, 64/F patches per step, and 1/F⁴ of
        the steps.
    steps : int, optional
        Number of training steps to use instead.
    seed : int
        Seed of weights, samples and noise.
    """

    tables: tuple[int, ...]
    data: Path
    out: Path
    factor: int = 1
    steps: int | None = None
    seed: int = 0

    def networks(self) -> list[Network]:
        """Return the networks of all tables, each once, scaled by the factor."""
        networks = {
            network.name: self.scaled(network)
            for table in self.tables
            for network in TABLES[table].networks.values()
        }
        return list(networks.values())

    def scaled(self, network: Network) -> Network:
        """Return a network with fewer filters."""
        filters = _FILTERS // self.factor
        shape = replace(network.architecture, channels=filters)
        return replace(network, architecture=shape)

    def settings(self, network: Network) -> dict[str, Any]:
        """Return the settings for `memnet_core.training.runner.train`.

        At the paper's size that is the recipe ``paper``. Its learning rate falls every
        20 epochs, which smaller runs do not reach: they take the recipe ``fast`` with
        the paper's patches and luminance.
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
        """Return the folders of a network's training images.

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
        """Return the folders of a table's test sets that exist, by name of the set."""
        known = {
            found.name: folder
            for folder in self._folders().values()
            if (found := known_set(folder.name))
        }
        sets = published_sets(table.number)
        return {each.name: known[each.name] for each in sets if each.name in known}

    def missing(self, table: Table) -> list[KnownSet]:
        """Return the test sets of a table that do not exist."""
        found = self.tested(table)
        return [each for each in published_sets(table.number) if each.name not in found]

    def tests(self, network: Network) -> dict[Path, list[float]]:
        """Return the folders to score a network on, and the levels of each."""
        tests: dict[Path, set[float]] = {}
        for number in self.tables:
            table = TABLES[number]
            if network.name not in {each.name for each in table.networks.values()}:
                continue
            for name, folder in self.tested(table).items():
                tests.setdefault(folder, set()).update(published(number, name))
        return {folder: sorted(levels) for folder, levels in tests.items()}

    def _folders(self) -> dict[str, Path]:
        """Return the folders within the data folder, two deep, by their plain name.

        Raises
        ------
        UsageError
            If a folder cannot be listed.
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
