"""Which networks the paper's tables compare, and what they are trained on: data alone.

Sections 4.1-4.4 of the paper. Its figures are in `memnet_core.evaluation.published`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from memnet_core.model.architecture import Architecture

__all__ = ["SETS_OF_IMAGES", "TABLES", "Network", "Table"]

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
