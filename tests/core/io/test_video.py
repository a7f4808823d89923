"""Movies: frames in, with their rate and, of MJPEG, what its JPEGs say."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from memnet_core.batch import find_inputs
from memnet_core.errors import ImageError
from memnet_core.io import create_image, open_image, probe, suffix_of_format
from memnet_core.io.core.limits import VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

Y, X = np.mgrid[:48, :64]
FRAMES = np.stack(
    [
        np.stack([(3 * X + 5 * t) % 256, 4 * Y % 256, (X + Y) % 256], -1)
        for t in range(7)
    ]
).astype(np.uint8)

has_av = importlib.util.find_spec("av") is not None
needs_av = pytest.mark.skipif(not has_av, reason="movies need PyAV")


def write_movie(path: Path, codec: str, layout: str, **options: str) -> Path:
    import av

    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, layout
        for frame in FRAMES:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return path


def write_jpegs(path: Path, qualities: list[int]) -> Path:
    """Write an AVI whose frames are what Pillow makes of them."""
    import io

    import av

    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, quality in enumerate(qualities):
            data = io.BytesIO()
            PillowImage.fromarray(FRAMES[number]).save(data, "JPEG", quality=quality)
            packet = av.Packet(data.getvalue())
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, 25)
            packet.is_keyframe = True
            file.mux(packet)
    return path


@needs_av
@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("a.mp4", "libx264rgb", "rgb24"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.avi", "rawvideo", "bgr24"),
        ("a.mov", "png", "rgb24"),
    ],
)
def test_frames_are_planes_along_time(
    name: str, codec: str, layout: str, tmp_path: Path
) -> None:
    path = write_movie(tmp_path / name, codec, layout, qp="0")
    assert probe(path).shape == FRAMES.shape
    with open_image(path) as file:
        assert (file.axes, file.sizes) == ("TYXS", FRAMES.shape)
        assert file.dtype == np.uint8
        known = file.metadata.calibration
        assert (known.spacing["T"], known.units["T"]) == (0.1, "second")
        for number in (0, 1, 5, 2, 6):
            whole = slice(0, 48), slice(0, 64)
            np.testing.assert_array_equal(file.read(number, *whole), FRAMES[number])
        window = file.read(3, slice(5, 9), slice(7, 30))
        np.testing.assert_array_equal(window, FRAMES[3, 5:9, 7:30])


@needs_av
def test_motion_jpeg_is_read_as_the_jpegs_that_it_holds(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "a.avi", [20] * 3)
    PillowImage.fromarray(FRAMES[1]).save(tmp_path / "b.jpg", quality=20)
    with open_image(path) as movie, open_image(tmp_path / "b.jpg") as picture:
        assert movie.format == "MJPEG movie"
        assert movie.sizes == (3, 48, 64, 3)
        assert movie.jpeg_tables == picture.jpeg_tables
        assert movie.jpeg_coding == picture.jpeg_coding
        whole = slice(0, 48), slice(0, 64)
        np.testing.assert_array_equal(movie.read(1, *whole), picture.read(0, *whole))


@needs_av
def test_qualities_that_differ_are_named(tmp_path: Path) -> None:
    with open_image(write_jpegs(tmp_path / "a.avi", [20, 30])) as movie:
        assert movie.jpeg_tables == ()
        told = "JPEG quality (it differs between frames)"
        assert movie.metadata.dropped == (told,)
        assert movie.image().pixels.shape == (2, 48, 64, 3)


@needs_av
def test_movie_becomes_a_tiff_with_its_rate(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "a.mkv", "ffv1", "bgr0")
    result = tmp_path / f"b{suffix_of_format('auto', path)}"
    assert result.suffix == ".tif"
    with open_image(path) as file, create_image(result, file) as sink:
        for plane in range(7):
            whole = slice(0, 48), slice(0, 64)
            sink.write(plane, *whole, file.read(plane, *whole))
    with open_image(result) as again:
        np.testing.assert_array_equal(again.image().pixels, FRAMES)
        assert again.metadata.calibration.spacing["T"] == pytest.approx(0.1)


@needs_av
def test_damaged_and_foreign_movies_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_movie(tmp_path / "a.mkv", "ffv1", "bgr0")
    whole = path.read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[:200])
    with pytest.raises(ImageError, match=r"b\.mkv cannot be read"):
        open_image(tmp_path / "b.mkv")
    (tmp_path / "c.mkv").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="3 of about 7 frames are in the file"):
        open_image(tmp_path / "c.mkv")
    monkeypatch.setenv(VARIABLE, "3000")
    with pytest.raises(ImageError, match=r"each frame of it claims 0\.003072 megap"):
        open_image(path)


@pytest.mark.skipif(has_av, reason="PyAV is installed")
@pytest.mark.parametrize(
    "head", [b"RIFF\0\0\0\0AVI LIST", b"\0\0\0\x20ftypisom", b"\x1aE\xdf\xa3"]
)
def test_without_pyav_it_is_told_what_to_install(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(head + bytes(50))
    for read in (open_image, probe):
        with pytest.raises(ImageError, match=r"pip install 'napari-memnet\[movies\]'"):
            read(tmp_path / "a.mp4")


def test_movies_are_restored_where_they_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.mp4"):
        (folder / name).touch()
    out = tmp_path / "out"
    found = find_inputs([str(folder)], out, recursive=False)
    assert [s.path.name for s in found.sources] == ["a.png"]
    assert found.foreign == 1
    for argument in ("b.mp4", "*.mp4"):
        found = find_inputs([str(folder / argument)], out, recursive=False)
        assert [s.path.name for s in found.sources] == ["b.mp4"]
