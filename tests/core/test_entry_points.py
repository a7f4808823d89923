"""One picture through every door: the same range, level, model and pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as PillowImage

from memnet_core.batch import BatchRun, Job
from memnet_core.inference.api import restore
from memnet_core.inference.plan import RestorePlan, plan_restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import open_image, probe
from memnet_core.sources.sampling import sampled_blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SETTINGS = RestoreOptions(task="denoise")


@pytest.fixture
def picture() -> NDArray[Any]:
    """Make a noisy picture that is wider than blocks of a sample, with a bright border.

    Who looks at its middle alone takes the noise for twice as strong.
    """
    rng = np.random.default_rng(0)
    values = np.full((60, 2600), 8000.0)
    values[:3] = values[-3:] = values[:, :60] = values[:, -60:] = 40_000
    return (values + rng.normal(0, 1500, values.shape)).clip(0).astype(np.uint16)


@pytest.fixture
def doors(picture: NDArray[Any], tmp_path: Path) -> dict[str, Path]:
    """Write the picture in every way that keeps its values."""
    paths = {
        kind: tmp_path / "in" / f"{kind}{suffix}"
        for kind, suffix in [
            ("picture", ".png"),
            ("page", ".tif"),
            ("stack", ".ome.tif"),
            ("zarr", ".ome.zarr"),
        ]
    }
    (tmp_path / "in").mkdir()
    PillowImage.fromarray(picture).save(paths["picture"])
    tifffile.imwrite(paths["page"], picture)
    stack = picture[None]
    plain: Any = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
    tifffile.imwrite(paths["stack"], stack, **plain)
    group = zarr.open_group(paths["zarr"], mode="w")
    group.create_array("0", data=stack, chunks=(1, 32, 512))
    axes = [{"name": name} for name in "zyx"]
    image = {"axes": axes, "datasets": [{"path": "0"}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return paths


@pytest.fixture(autouse=True)
def models(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Install two models, and let the picture count as a large one."""
    install("mild", 2, 14, task="denoise", unshuffle=2)
    install("strong", 14, 75, task="denoise", unshuffle=2)
    few = {"pixels": 50_000}
    monkeypatch.setattr(sampled_blocks, "__kwdefaults__", few)


def decided(path: Path) -> RestorePlan:
    with open_image(path) as source:
        return plan_restore(source, SETTINGS)


def test_every_door_decides_the_same(doors: dict[str, Path]) -> None:
    first, *others = (decided(path) for path in doors.values())
    assert others == [first] * len(others)
    assert first.model.endswith("mild.safetensors")
    (channel,) = first.channels
    assert channel.scaling is not None
    assert channel.scaling.high > 40_000


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ome.tif", ".ome.zarr"])
def test_every_door_gives_the_same_pixels(
    doors: dict[str, Path], picture: NDArray[Any], suffix: str, tmp_path: Path
) -> None:
    expected = restore(picture)
    assert np.mean(expected != picture) > 0.9
    jobs = [
        Job(path, tmp_path / "out" / f"{kind}{suffix}", probe(path))
        for kind, path in doors.items()
    ]
    run = BatchRun(jobs, SETTINGS)
    list(run.events())
    told = {(o.status, o.level, o.remark, o.model, o.message) for o in run.outcomes}
    assert len(told) == 1, told
    for outcome in run.outcomes:
        with open_image(outcome.job.output) as file:
            found = np.squeeze(file.image().pixels)
        # Sums of shards and of whole rows round differently.
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert np.mean(found != expected) < 1e-3
