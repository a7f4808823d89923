"""Pictures made by program are what they are called, and follow from their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core.training.data.synthetic_pictures import (
    COUNT,
    KINDS,
    SIDE,
    synthetic_crop,
    synthetic_picture,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOME = 12


def pictures(kind: str) -> list[NDArray[np.uint8]]:
    first = [*KINDS].index(kind)
    return [synthetic_picture(first + len(KINDS) * n) for n in range(SOME)]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_a_kind_differ_and_follow_from_their_number(kind: str) -> None:
    made = pictures(kind)
    assert {p.shape for p in made} == {(SIDE, SIDE, 3)}
    assert {p.dtype for p in made} == {np.dtype(np.uint8)}
    assert len({p.tobytes() for p in made}) == SOME
    assert min(len(np.unique(p)) for p in made) > 1
    synthetic_picture.cache_clear()
    for one, again in zip(made, pictures(kind), strict=True):
        np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize("kind", ["text", "screenshot", "line art", "flat art"])
def test_drawn_pictures_have_flat_areas_and_sharp_edges(kind: str) -> None:
    for picture in pictures(kind):
        steps = np.abs(np.diff(picture.astype(int), axis=1)).max(axis=2)
        assert np.mean(steps == 0) > 0.5
        assert steps.max() > 40


def test_flat_art_is_saturated() -> None:
    chroma = [np.ptp(picture, axis=2) for picture in pictures("flat art")]
    assert np.mean([np.mean(c > 150) for c in chroma]) > 0.15


def test_text_of_screens_has_colored_edges() -> None:
    colored = [np.any(np.ptp(p, axis=2) > 30) for p in pictures("text")]
    assert 2 < sum(colored) < SOME


@pytest.mark.parametrize("kind", ["spots", "filaments", "cells"])
def test_micrographs_are_bright_on_a_dark_ground(kind: str) -> None:
    for picture in pictures(kind):
        light = picture.max(axis=2)
        assert np.median(light) < 0.75 * light.max()
    assert np.median([np.median(p) for p in pictures(kind)]) < 40


def test_gray_pictures_are_the_luminance_of_colored_ones() -> None:
    for number in range(len(KINDS)):
        gray = synthetic_picture(number, is_gray=True)
        weighted = synthetic_picture(number) @ [0.299, 0.587, 0.114]
        np.testing.assert_allclose(gray, weighted, atol=1)


@pytest.mark.parametrize("shape", [(48, 48), (33, 40, 3), (300, 300), (300, 300, 3)])
def test_crops_are_of_the_asked_shape_and_come_from_everywhere(
    shape: tuple[int, ...],
) -> None:
    crops = [synthetic_crop(shape, np.random.default_rng(seed)) for seed in range(30)]
    assert {crop.shape for crop in crops} == {shape}
    assert len({crop.tobytes() for crop in crops}) > 20
    again = synthetic_crop(shape, np.random.default_rng(3))
    np.testing.assert_array_equal(crops[3], again)


def test_pictures_are_never_changed_by_who_has_them() -> None:
    for is_gray in (True, False):
        with pytest.raises(ValueError, match="read-only"):
            synthetic_picture(0, is_gray=is_gray)[:] = 0
    assert COUNT % len(KINDS) == 0
