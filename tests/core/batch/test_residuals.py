"""What was removed, written beside results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from memnet_core.batch import Job
from memnet_core.batch.residuals import residual_path, write_residual
from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("out/a.tif", "out/a.residual.tif"),
        ("out/a.ome.tiff", "out/a.ome.residual.tif"),
        ("out/a.png", "out/a.png.residual.tif"),
        ("out/a.ome.zarr", "out/a.ome.zarr.residual.tif"),
    ],
)
def test_results_of_any_format_have_a_residual_of_their_own(
    output: str, expected: str
) -> None:
    assert residual_path(Path(output)) == Path(expected)


def stack(seed: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 60_000, (3, 2, 20, 24), dtype=np.uint16)


def test_planes_are_paired_by_their_axes(tmp_path: Path) -> None:
    before, after = stack(0), stack(1)
    tifffile.imwrite(tmp_path / "a.tif", before, imagej=True, metadata={"axes": "TCYX"})
    swapped = after.transpose(1, 0, 2, 3)
    tifffile.imwrite(tmp_path / "b.ome.tif", swapped, metadata={"axes": "CTYX"})
    path = write_residual(Job(tmp_path / "a.tif", tmp_path / "b.ome.tif"))
    found = tifffile.imread(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, before.astype(np.float32) - after)
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "TCYX"


def test_other_pixels_have_none(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack(0)[0, 0])
    tifffile.imwrite(tmp_path / "b.tif", stack(1)[0, 0, :10])
    job = Job(tmp_path / "a.tif", tmp_path / "b.tif")
    with pytest.raises(ImageError, match=r"is 10×24 \(YX\) and cannot be compared"):
        write_residual(job)
    assert not residual_path(job.output).exists()


def test_what_is_younger_than_its_result_stays(tmp_path: Path) -> None:
    for name, seed in (("a.tif", 0), ("b.tif", 1)):
        tifffile.imwrite(tmp_path / name, stack(seed)[0, 0])
    job = Job(tmp_path / "a.tif", tmp_path / "b.tif")
    path = write_residual(job)
    os.utime(job.output, (1, 1))
    made = path.stat().st_mtime_ns
    assert write_residual(job) == path
    assert path.stat().st_mtime_ns == made
    os.utime(job.output, (2**32, 2**32))
    write_residual(job)
    assert path.stat().st_mtime_ns != made


def test_values_that_are_not_finite_were_not_removed(tmp_path: Path) -> None:
    before = np.array([[1.5, np.nan], [np.inf, 4]], np.float32)
    after = np.array([[1.0, np.nan], [np.inf, 3]], np.float32)
    tifffile.imwrite(tmp_path / "a.tif", before)
    tifffile.imwrite(tmp_path / "b.tif", after)
    path = write_residual(Job(tmp_path / "a.tif", tmp_path / "b.tif"))
    np.testing.assert_array_equal(tifffile.imread(path), [[0.5, 0], [0, 1]])
