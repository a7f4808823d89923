"""Results on disk, with levels where a plane is too large to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.errors import UsageError
from napari_memnet.form_state import Preferences
from napari_memnet.layers import result_store
from napari_memnet.layers.result_store import ResultStore, is_for_disk

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

UINT16 = np.dtype(np.uint16)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def small_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take planes of more than 1000 pixels for large ones."""
    monkeypatch.setattr(result_store, "LARGEST_PLANE", 1000)
    monkeypatch.setattr(result_store, "_SMALLEST_LEVEL", 16)


def filled(pixels: NDArray[Any], rows: int, columns: int, *, rgb: bool) -> ResultStore:
    """Write the planes of an array in windows that fit no chunk and no level."""
    store = ResultStore(pixels.shape, pixels.dtype, rgb=rgb)
    leading = pixels.shape[: pixels.ndim - 2 - rgb]
    height, width = pixels.shape[len(leading) : len(leading) + 2]
    for place in np.ndindex(leading):
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                window = pixels[place][top : top + rows, left : left + columns]
                store.write(place, top, left, window)
    return store


def test_many_or_large_planes_go_to_disk() -> None:
    small: tuple[int, ...] = (100, 100)
    memory: dict[str, Any] = {"rgb": False, "memory_limit": 2**20}
    assert not is_for_disk(small, UINT16, **memory)
    assert is_for_disk((100, *small), UINT16, **memory)
    assert is_for_disk((9000, 9000), np.dtype(np.uint8), rgb=False, memory_limit=2**40)


def test_a_stack_of_usual_planes_is_one_array() -> None:
    pixels = np.arange(2 * 40 * 30, dtype=np.uint16).reshape(2, 40, 30)
    store = filled(pixels, 7, 11, rgb=False)
    assert store.data.shape == pixels.shape
    np.testing.assert_array_equal(store.data[:], pixels)


@pytest.mark.usefixtures("small_planes")
@pytest.mark.parametrize("rgb", [False, True])
def test_levels_of_a_large_plane_are_every_second_pixel(rgb: bool) -> None:
    shape = (61, 45, 3) if rgb else (2, 61, 45)
    pixels = np.random.default_rng(0).integers(0, 9999, shape).astype(np.uint16)
    levels = filled(pixels, 7, 11, rgb=rgb).data
    sides = [level.shape[:2] if rgb else level.shape[1:] for level in levels]
    assert sides == [(61, 45), (31, 23), (16, 12)]
    for number, level in enumerate(levels):
        step = slice(None, None, 2**number)
        expected = pixels[step, step] if rgb else pixels[:, step, step]
        np.testing.assert_array_equal(level[:], expected)


def test_what_has_not_come_is_black() -> None:
    store = ResultStore((40, 30), UINT16, rgb=False)
    store.write((), 0, 0, np.ones((8, 30), np.uint16))
    assert (store.data[:8] == 1).all()
    assert (store.data[8:] == 0).all()


def test_it_goes_to_the_folder_that_was_chosen(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = scratch / "chosen"
    chosen.mkdir()
    monkeypatch.setattr(
        result_store, "preferences", lambda: Preferences(folder=str(chosen))
    )
    store = ResultStore((40, 30), UINT16, rgb=False)
    assert store.path.parent == chosen
    store.discard()
    assert not list(chosen.iterdir())
    chosen.rmdir()
    with pytest.raises(UsageError, match="is no folder; choose another"):
        ResultStore((40, 30), UINT16, rgb=False)


def test_a_full_disk_is_one_sentence_beforehand(scratch: Path) -> None:
    with pytest.raises(UsageError, match=r"GiB on disk, and .* GiB free; restore a"):
        ResultStore((2**20, 2**20, 2**10), UINT16, rgb=False)
    assert not list(scratch.iterdir())
