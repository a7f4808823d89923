"""The kinds of attack: what writes each, and the commands that get to see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from endless_attacks import bomb, endless, links, looped_tiff, odd_name
from image_attacks import animation, imagej, jpeg, ome_xml, ome_zarr, png, tiff
from nested_attacks import broken_png, deep, existing_result, packed, stream
from run_attacks import model_file, plan, prepare, run_file, settings_file
from set_attacks import ome_set, plate

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["KINDS", "Kind", "prepare"]

DENOISE = ("batch", "--task", "denoise", "--sigma", "25", "--model", "{model}")
IMAGE = (("info", "{file}"), (*DENOISE, "{file}", "{out}"))
FOLDER = (("batch", "-r", *DENOISE[1:], "{file}", "{out}"),)
TRAIN = ("--device", "cpu", "--steps", "1", "--out", "{out}")
ANYTHING = (
    *IMAGE,
    ("models", "info", "{file}"),
    (*DENOISE[:-1], "{file}", "{stack}", "{out}"),
    ("train", "--config", "{file}", *TRAIN),
    ("train", "--data", "{file}", *TRAIN),
)


@dataclass(frozen=True)
class Kind:
    """A kind of attack.

    Attributes
    ----------
    make : callable
        Writes a hostile file into a folder, from a generator; returns its path.
    commands : tuple
        Arguments of the command; ``{file}``, ``{out}``, ``{model}`` are filled in.
    """

    make: Callable[[Path, random.Random, Path], Path]
    commands: tuple[tuple[str, ...], ...]


KINDS = {
    "PNG": Kind(png, IMAGE),
    "JPEG": Kind(jpeg, IMAGE),
    "animation": Kind(animation, IMAGE),
    "TIFF": Kind(tiff, IMAGE),
    "OME-XML": Kind(ome_xml, IMAGE),
    "ImageJ text": Kind(imagej, IMAGE),
    "OME-Zarr": Kind(ome_zarr, IMAGE),
    "OME set": Kind(ome_set, IMAGE),
    "plate": Kind(plate, IMAGE),
    "model": Kind(
        model_file, (("models", "info", "{file}"), ("models", "add", "{file}"))
    ),
    "settings": Kind(settings_file, (("train", "--config", "{file}", *TRAIN),)),
    "state": Kind(run_file("last.pt"), (("train", "--resume", "--out", "{file}"),)),
    "log": Kind(run_file("log.csv"), (("train", "--resume", "--out", "{file}"),)),
    "plan": Kind(plan, ((*DENOISE, "--format", "ome-zarr", "{stack}", "{file}"),)),
    "no end": Kind(endless, ANYTHING),
    "pages in a ring": Kind(looped_tiff, IMAGE),
    "bomb": Kind(bomb, IMAGE),
    "name": Kind(odd_name, (*FOLDER, (*FOLDER[0], "--format", "ome-zarr"))),
    "links": Kind(links, FOLDER),
    "stream in a page": Kind(stream, IMAGE),
    "deep tree": Kind(deep, IMAGE),
    "packed chunk": Kind(packed, IMAGE),
    "existing result": Kind(existing_result, FOLDER),
    "PngSuite": Kind(broken_png, IMAGE),
}
