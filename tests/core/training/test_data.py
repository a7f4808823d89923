from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from memnet_core.color import rgb2ycbcr_luminance
from memnet_core.degradations import jpeg
from memnet_core.errors import TrainingError
from memnet_core.training.data import Sampler, read_luminance_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig

    Make = Callable[..., TrainingConfig]


def test_batch_is_a_function_of_seed_and_step(make_config: Make) -> None:
    first, again = (Sampler(make_config(seed=3)) for _ in range(2))
    first.batch(0, 16, 2)
    for one, other in zip(first.batch(5, 16, 2), again.batch(5, 16, 2), strict=True):
        assert one.equal(other)
    assert not first.batch(6, 16, 2)[1].equal(again.batch(5, 16, 2)[1])
    assert (
        not Sampler(make_config(seed=4))
        .batch(5, 16, 2)[1]
        .equal(again.batch(5, 16, 2)[1])
    )


def test_batch_holds_planes_from_zero_to_one(make_config: Make) -> None:
    degraded, clean = Sampler(make_config()).batch(0, 16, 3)
    assert degraded.shape == clean.shape == (3, 1, 16, 16)
    assert 0 <= float(clean.min()) < float(clean.max()) <= 1
    assert not degraded.equal(clean)


def test_patches_are_cropped_after_compression_at_any_block_phase(
    make_config: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "single"
    folder.mkdir()
    plane = np.random.default_rng(1).integers(0, 256, (24, 24), np.uint8)
    Image.fromarray(plane).save(folder / "a.png")
    config = make_config(data=[folder], levels={"values": [30], "continuous": False})
    sampler = Sampler(config)
    turned = [np.rot90(p, k) for p in (plane, plane.T) for k in range(4)]
    pairs = {
        clean[y : y + 16, x : x + 16].tobytes(): (
            jpeg(np.ascontiguousarray(clean), 30)[y : y + 16, x : x + 16],
            (y, x),
        )
        for clean, y, x in product(turned, range(9), range(9))
    }
    phases = set()
    for step in range(40):
        degraded, clean = (255 * t[0, 0].numpy() for t in sampler.batch(step, 16, 1))
        expected, phase = pairs[np.rint(clean).astype(np.uint8).tobytes()]
        np.testing.assert_array_equal(np.rint(degraded), expected)
        phases.add(phase)
    assert len(phases) > 20


def test_folder_is_read_as_matlab_luminance_and_foreign_files_are_passed_over(
    clean_images: Path,
) -> None:
    (clean_images / "notes.txt").write_text("no image")
    (clean_images / "subfolder").mkdir()
    planes = read_luminance_folder(clean_images)
    colour = np.asarray(Image.open(clean_images / "2.png"))
    assert len(planes) == 3
    np.testing.assert_array_equal(planes[2], rgb2ycbcr_luminance(colour))


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no image"):
        read_luminance_folder(tmp_path)
    with pytest.raises(TrainingError, match="is not a folder"):
        read_luminance_folder(tmp_path / "missing")


def test_images_smaller_than_a_patch_are_refused(make_config: Make) -> None:
    config = make_config(phases=[{"until": 1, "patch": 96, "batch": 1}])
    with pytest.raises(TrainingError, match="at least 104 px"):
        Sampler(config)
