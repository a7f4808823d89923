"""Animated PNG, GIF and WebP: frames in and out, with their times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.errors import ImageError
from memnet_core.io import create_image, open_image, probe, save_image
from memnet_core.io.core.image import Animation
from memnet_core.io.core.limits import VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TIMES = [100, 250, 100, 40]
RNG = np.random.default_rng(0)
KINDS = ["png", "gif", "webp"]
# At most 250 colors a frame, so that a palette holds them.
COLORS = RNG.integers(0, 256, (4, 10, 25, 3), np.uint8)


def write_animation(path: Path, frames: NDArray[Any], **options: Any) -> Path:
    told: dict[str, Any] = {"duration": TIMES, "loop": 2, "lossless": True} | options
    first, *others = map(PillowImage.fromarray, frames)
    first.save(path, save_all=True, append_images=others, **told)
    return path


def copy_of(source: Path, result: Path) -> tuple[str, ...]:
    with open_image(source) as file, create_image(result, file) as sink:
        count, height, width, _ = file.shape
        for plane in range(count):
            whole = slice(0, height), slice(0, width)
            sink.write(plane, *whole, file.read(plane, *whole))
        return sink.dropped


def times_and_loop(path: Path) -> tuple[list[float], int | None]:
    with PillowImage.open(path) as image:
        times = []
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            image.load()
            times.append(image.info["duration"])
        return times, image.info.get("loop")


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_planes_along_time(kind: str, tmp_path: Path) -> None:
    path = write_animation(tmp_path / f"a.{kind}", COLORS)
    with open_image(path) as file:
        assert (file.axes, file.sizes) == ("TYXS", (4, 10, 25, 3))
        assert file.is_stack
        np.testing.assert_array_equal(file.image().pixels, COLORS)
        native = file.metadata.native
    assert native == Animation(tuple(TIMES), 3 if kind == "gif" else 2)
    header = probe(path)
    assert (header.shape, header.dtype, header.is_stack) == (COLORS.shape, "uint8", 1)


@pytest.mark.parametrize("into", ["png", "webp"])
@pytest.mark.parametrize("kind", KINDS)
def test_animation_is_written_as_one_with_its_times(
    kind: str, into: str, tmp_path: Path
) -> None:
    source = write_animation(tmp_path / f"a.{kind}", COLORS)
    result = tmp_path / f"b.{into}"
    assert not [d for d in copy_of(source, result) if "palette" not in d]
    times, loop = times_and_loop(result)
    assert (times, loop) == (TIMES, 3 if kind == "gif" else 2)
    with open_image(result) as file:
        np.testing.assert_array_equal(file.image().pixels, COLORS)


def test_gif_is_written_with_the_colors_that_it_holds(tmp_path: Path) -> None:
    few = COLORS // 64 * 64
    source = write_animation(tmp_path / "a.gif", few)
    dropped = copy_of(source, tmp_path / "b.gif")
    assert "all but 256 colors (as many as GIF holds)" in dropped
    assert times_and_loop(tmp_path / "b.gif") == (TIMES, 2)
    with open_image(tmp_path / "b.gif") as file:
        np.testing.assert_array_equal(file.image().pixels, few)


def test_gray_gif_loses_nothing(tmp_path: Path) -> None:
    gray = COLORS[..., 0]
    source = write_animation(tmp_path / "a.gif", gray, loop=None)
    with open_image(source) as file:
        assert file.axes == "TYX"
        native = file.metadata.native
    assert isinstance(native, Animation)
    assert native.plays == 1
    assert copy_of(source, tmp_path / "b.gif") == ()
    assert times_and_loop(tmp_path / "b.gif") == (TIMES, None)
    with open_image(tmp_path / "b.gif") as file:
        np.testing.assert_array_equal(file.image().pixels, gray)


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_alpha_of_frames_returns(kind: str, tmp_path: Path) -> None:
    frames = RNG.integers(1, 256, (4, 12, 9, 4), np.uint8)
    source = write_animation(tmp_path / f"a.{kind}", frames, exact=True)
    copy_of(source, tmp_path / f"b.{kind}")
    with open_image(tmp_path / f"b.{kind}") as file:
        np.testing.assert_array_equal(file.image().pixels, frames)


def test_even_frames_give_the_step_of_time_to_a_tiff(tmp_path: Path) -> None:
    source = write_animation(tmp_path / "a.png", COLORS[..., 0], duration=125)
    dropped = copy_of(source, tmp_path / "b.tif")
    assert dropped == ("times of frames and number of repetitions",)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.series[0].axes == "TYX"
    with open_image(tmp_path / "b.tif") as again:
        known = again.metadata.calibration
        assert (known.spacing["T"], known.units["T"]) == (0.125, "second")
        np.testing.assert_array_equal(again.image().pixels, COLORS[..., 0])


@pytest.mark.parametrize("kind", ["jpg", "bmp"])
def test_formats_of_one_picture_refuse_animations(kind: str, tmp_path: Path) -> None:
    source = write_animation(tmp_path / "a.png", COLORS)
    with pytest.raises(ImageError, match="holds one picture, not a stack of 4"):
        copy_of(source, tmp_path / f"b.{kind}")


def test_metadata_of_an_animation_are_kept(tmp_path: Path) -> None:
    profile = b"profile" * 20
    source = write_animation(tmp_path / "a.webp", COLORS, icc_profile=profile)
    for kind in ("png", "webp"):
        copy_of(source, tmp_path / f"b.{kind}")
        with PillowImage.open(tmp_path / f"b.{kind}") as image:
            assert image.info["icc_profile"] == profile


def test_poster_of_an_animation_is_none_of_its_frames(tmp_path: Path) -> None:
    source = write_animation(
        tmp_path / "a.png", COLORS, default_image=True, duration=50
    )
    with open_image(source) as file:
        assert file.sizes == (3, 10, 25, 3)
        np.testing.assert_array_equal(file.image().pixels, COLORS[1:])
        assert "picture for programs that show no animation" in file.metadata.dropped
    assert probe(source).shape == (3, 10, 25, 3)


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_gif_of_one_picture_is_a_picture(mode: str, tmp_path: Path) -> None:
    picture = PillowImage.fromarray(COLORS[0]).convert(mode)
    picture.save(tmp_path / "a.gif")
    with open_image(tmp_path / "a.gif") as file:
        assert file.axes == "YXS"
        pixels = file.image().pixels
        save_image(tmp_path / "b.gif", file.image())
    seen = picture if mode == "RGB" else picture.convert("RGB")
    np.testing.assert_array_equal(pixels, np.asarray(seen))
    assert probe(tmp_path / "a.gif").shape == pixels.shape
    with open_image(tmp_path / "b.gif") as file:
        np.testing.assert_array_equal(file.image().pixels, pixels)


def test_frames_count_together_for_the_bound_of_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_animation(tmp_path / "a.gif", COLORS)
    monkeypatch.setenv(VARIABLE, "999")
    with pytest.raises(
        ImageError, match=r"the sum of its 4 frames claims 0\.001 megapixels"
    ):
        open_image(path)
