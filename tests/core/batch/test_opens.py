"""How often a run opens its input, and the files of models."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.batch import BatchRun, InputFile, Outcome, plan_jobs
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io.api import scenes_of
from memnet_core.io.core.opened import OpenedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_opened: list[str] = []
_listening = False


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "open" and isinstance(arguments[0], str | os.PathLike):
        _opened.append(os.path.realpath(arguments[0]))


@pytest.fixture(scope="module", autouse=True)
def audit() -> None:
    """Hear of each file that is opened; a hook stays as long as the process."""
    sys.addaudithook(_note)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Collect the paths that are opened during a test."""
    global _listening
    _opened.clear()
    _listening = True
    yield _opened
    _listening = False


@pytest.fixture
def source(picture: Callable[..., Path], tmp_path: Path) -> dict[str, Path]:
    """Write a JPEG and an OME-TIFF of three planes."""
    tiff = tmp_path / "stack.ome.tif"
    planes = np.random.default_rng(0).integers(0, 4000, (3, 32, 40)).astype(np.uint16)
    tifffile.imwrite(tiff, planes, metadata={"axes": "ZYX"})
    return {"jpeg": picture("a.jpg", 32, 40, 3, quality=10), "tiff": tiff}


def _run(path: Path, out: Path, file_format: str) -> list[Outcome]:
    settings = RestoreOptions(task="deblock", level=10)
    inputs = [InputFile(path, path.relative_to(path.parent))]
    jobs = plan_jobs(inputs, out, file_format, overwrite=False, settings=settings)
    run = BatchRun(jobs, settings)
    for _ in run.events():
        pass
    return run.outcomes


@pytest.mark.parametrize(
    ("kind", "file_format", "most"),
    [("jpeg", "auto", 2), ("tiff", "auto", 3), ("tiff", "ome-zarr", 4)],
)
def test_an_input_is_opened_once_by_the_plan_and_once_by_each_step(
    install: Callable[..., Path],
    source: dict[str, Path],
    tmp_path: Path,
    opened: list[str],
    kind: str,
    file_format: str,
    most: int,
) -> None:
    install("low", 5, 20)
    path, out = source[kind], tmp_path / "out"
    opened.clear()
    assert [o.status for o in _run(path, out, file_format)] == ["done"]
    assert 1 <= opened.count(os.path.realpath(path)) <= most
    opened.clear()
    assert [o.status for o in _run(path, out, file_format)] == ["skipped"]
    assert opened.count(os.path.realpath(path)) == 1


def test_cards_of_models_are_read_once_a_process(
    install: Callable[..., Path],
    source: dict[str, Path],
    tmp_path: Path,
    opened: list[str],
) -> None:
    model = install("low", 5, 20)
    _run(source["jpeg"], tmp_path / "first", "auto")
    opened.clear()
    outcomes = _run(source["jpeg"], tmp_path / "first", "auto")
    assert [o.status for o in outcomes] == ["skipped"]
    assert not [path for path in opened if path.endswith(".safetensors")]
    content = model.read_bytes()
    model.write_bytes(content)
    os.utime(model, ns=(1, 1))
    _run(source["jpeg"], tmp_path / "first", "auto")
    assert opened.count(os.path.realpath(model)) >= 1


def test_an_animation_leaves_the_handle_of_its_job_open(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    frames = [PillowImage.new("L", (8, 8), shade) for shade in (0, 90)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with OpenedFile(path) as file, scenes_of(file).open(0) as image:
        assert image.shape[0] == 2
        file.check_unchanged()
