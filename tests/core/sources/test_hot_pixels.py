"""Single pixels that are far too bright are replaced; what a lens can show stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture
from PIL import ImageDraw
from skimage.filters import gaussian

from memnet_core import restore
from memnet_core.inference.plan import plan_restore
from memnet_core.inference.settings import RestoreOptions
from memnet_core.io import Image, in_memory
from memnet_core.noise.estimation import estimate_noise_model
from memnet_core.sources.hot_pixels import HotPixelsRemoved, replaced
from memnet_core.sources.protocols import ArraySource

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Install = Callable[..., Path]

GAIN, BLACK, READ = 2.0, 100.0, 3.0
NOISE = (GAIN, READ**2 - GAIN * BLACK)
blur: Any = gaussian


def photographed(electrons: NDArray[np.float64], seed: int = 0) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, READ, electrons.shape)
    values = BLACK + GAIN * rng.poisson(electrons) + noise
    return np.rint(values).clip(0, 65535).astype(np.uint16)


def uneven(side: int = 192) -> NDArray[np.float64]:
    y, x = np.mgrid[:side, :side] / 30
    return np.asarray(40 * (1 + np.sin(x) * np.cos(y)) ** 2 / 4 + 0.2)


def planted(count: int = 60) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Photograph uneven ground with single pixels 120 to 1000 electrons brighter."""
    pixels = photographed(uneven())
    rng = np.random.default_rng(7)
    places = rng.choice(48 * 48, count, replace=False)
    hot = np.zeros(pixels.shape, bool)
    hot[4 * (places // 48) + 1, 4 * (places % 48) + 2] = True
    pixels[hot] += (GAIN * rng.uniform(120, 1000, count)).astype(np.uint16)
    return pixels, hot


def test_hot_pixels_in_noise_of_photons_become_as_their_neighbors() -> None:
    pixels, hot = planted()
    found, count = replaced(pixels[..., None], *NOISE)
    assert count == hot.sum()
    np.testing.assert_array_equal(found[..., 0] != pixels, hot)
    error = found[hot][:, 0] - (BLACK + GAIN * uneven()[hot])
    assert np.abs(error).max() < 30
    assert found.dtype == np.uint16


@pytest.mark.parametrize("peak", [10, 50, 300, 3000, 20_000])
@pytest.mark.parametrize("deviation", [0.6, 0.8, 1.0, 1.6])
def test_points_seen_through_a_lens_stay_bit_for_bit(
    deviation: float, peak: float
) -> None:
    rng = np.random.default_rng(3)
    fine = np.zeros((16 * 60, 16 * 60))  # four steps to a pixel, for any position
    fine[rng.integers(0, 960, 250), rng.integers(0, 960, 250)] = 1
    seen = blur(fine, 4 * deviation).reshape(240, 4, 240, 4).mean((1, 3))
    pixels = photographed(0.5 + peak * seen / seen.max())
    found, count = replaced(pixels[..., None], *NOISE)
    assert count == 0
    np.testing.assert_array_equal(found[..., 0], pixels)


def drawing(kind: str, text: str = "Lowercase TEXT 123 + 4") -> NDArray[np.uint8]:
    picture = Picture.new("L", (200, 120), 20)
    draw = ImageDraw.Draw(picture)
    if kind == "lines":
        for n in range(12):
            draw.line((5, 5 + 9 * n, 190, 115 - 7 * n), fill=60 + 15 * n)
            draw.line((10 + 15 * n, 3, 10 + 15 * n, 116), fill=250)
    else:
        for n in range(10):
            draw.text((3 + n, 11 * n), text, fill=235)
    return np.asarray(picture)


@pytest.mark.parametrize("kind", ["lines", "text"])
@pytest.mark.parametrize("scale", [1, 200], ids=["8 bits", "16 bits"])
def test_lines_of_a_pixel_and_text_stay_bit_for_bit(kind: str, scale: int) -> None:
    pixels = drawing(kind).astype(np.uint16) * scale
    for noise in (NOISE, (0.01, 1.0)):
        found, count = replaced(pixels[..., None], *noise)
        assert count == 0
        np.testing.assert_array_equal(found[..., 0], pixels)


@pytest.mark.parametrize("scale", [1, 200], ids=["8 bits", "16 bits"])
def test_full_stops_of_a_pixel_stay_as_no_photons_are_found(
    install: Install, scale: int
) -> None:
    install("noise", 0, 255, task="denoise")
    page = drawing("text", "Tiny text, 12.5 µm; i.e. :: ~")
    pixels = page.astype(np.uint16) * scale if scale > 1 else page
    assert replaced(pixels[..., None], *NOISE)[1] > 0
    source = in_memory(Path("image"), Image(pixels, "YX"))
    decision = plan_restore(source, RestoreOptions(task="denoise", nearest=True))
    assert not decision.channels[0].is_stabilized
    assert not any("hot pixel" in remark for remark in decision.remarks)


def test_noise_alone_has_no_hot_pixels() -> None:
    for mean in (0.05, 0.5, 3, 30, 1000):
        pixels = photographed(np.full((300, 300), mean), seed=2)
        assert replaced(pixels[..., None], *NOISE)[1] == 0


def test_window_is_that_part_of_the_whole() -> None:
    pixels, _ = planted()
    source = HotPixelsRemoved(ArraySource(pixels[None, ..., None]), *NOISE)
    whole = source.read(0, slice(0, 192), slice(0, 192))
    assert np.any(whole[..., 0] != pixels)
    for top, left in ((0, 0), (1, 2), (57, 30), (100, 101)):
        rows, columns = slice(top, top + 23), slice(left, left + 51)
        part = source.read(0, rows, columns)
        np.testing.assert_array_equal(part, whole[rows, columns])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_or_beside_it_stays(bad: float) -> None:
    pixels, hot = planted()
    values = pixels.astype(np.float32)
    y, x = np.argwhere(hot)[5]
    values[y, x + 1] = bad
    found, count = replaced(values[..., None], *NOISE)
    changed = (found[..., 0] != values) & np.isfinite(values)
    assert count == changed.sum() == hot.sum() - 1
    assert not changed[y, x]


def test_alpha_stays_and_colors_are_looked_at_each_by_itself() -> None:
    pixels, hot = planted()
    clean = photographed(uneven(), seed=1)
    stack = np.stack([pixels, clean, clean, pixels], -1)
    found, count = replaced(stack, *NOISE)
    np.testing.assert_array_equal(found[..., 1:], stack[..., 1:])
    assert count == hot.sum()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (5, 3)], ids=str)
def test_tiny_pictures_stay(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 1), 100, np.uint16)
    assert replaced(pixels, *NOISE)[1] == 0


@pytest.mark.parametrize("choice", ["auto", "keep"])
def test_result_has_none_unless_they_are_kept(choice: Any) -> None:
    pixels, hot = planted()
    restored = restore(pixels, hot_pixels=choice, device="cpu")
    error = np.abs(restored - BLACK - GAIN * uneven())[hot]
    assert (error < 40).all() if choice == "auto" else (error > 100).all()


def test_report_says_how_many(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    pixels, hot = planted()
    source = in_memory(Path("image"), Image(pixels, "YX"))
    choices: list[Any] = ["auto", "keep"]
    told = [
        plan_restore(source, RestoreOptions(task="denoise", hot_pixels=c))
        for c in choices
    ]
    assert [decision.hot_pixels for decision in told] == choices
    assert told[0].remarks[-1] == f"{hot.sum()} hot pixels replaced"
    assert not any("hot pixel" in remark for remark in told[1].remarks)


def test_of_a_long_stack_it_is_said_about_how_many(install: Install) -> None:
    install("noise", 0, 255, task="denoise")
    pixels, hot = planted()
    source = in_memory(Path("stack"), Image(np.stack([pixels] * 40), "TYX"))
    told = plan_restore(source, RestoreOptions(task="denoise")).remarks[-1]
    assert told == f"about {40 * hot.sum()} hot pixels replaced"


@pytest.mark.parametrize("settings", [{"noise": "gaussian"}, {"level": 20}], ids=str)
def test_noise_that_is_the_same_everywhere_leaves_them(
    install: Install, settings: Any
) -> None:
    install("noise", 0, 255, task="denoise")
    pixels, _ = planted()
    source = in_memory(Path("image"), Image(pixels, "YX"))
    decision = plan_restore(source, RestoreOptions(task="denoise", **settings))
    assert not any("hot pixel" in remark for remark in decision.remarks)


def test_hot_pixel_of_a_real_camera_is_found_where_it_is(shared_data: Path) -> None:
    movie = tifffile.imread(shared_data / "micro/lysosome/5.tif")[:16, ..., None]
    line = estimate_noise_model(list(movie))
    assert line
    changed = [
        np.argwhere(replaced(plane, line.gain, line.constant)[0] != plane)[:, :2]
        for plane in movie
    ]
    places, counts = np.unique(np.concatenate(changed), axis=0, return_counts=True)
    assert places.tolist() == [[97, 8]]
    assert counts[0] >= 12


@pytest.mark.parametrize(
    "name", ["lysosome/1", "lysosome/2", "lysosome/8", "cc-by/IXMtest_A02_s9"]
)
def test_real_pictures_without_hot_pixels_stay(shared_data: Path, name: str) -> None:
    stack = tifffile.imread(shared_data / f"micro/{name}.tif")
    planes = list(stack.reshape(-1, *stack.shape[-2:], 1)[:16])
    line = estimate_noise_model(planes)
    assert line
    for plane in planes:
        assert replaced(plane, line.gain, line.constant)[1] == 0
