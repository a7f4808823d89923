"""Small files that describe, or unpack to, far more than they hold."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from memnet_core.io import open_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LITTLE = 400
"""MiB; the libraries that read files take 60 to 200."""

# The child reads its own VmHWM: ru_maxrss is never below that of the parent.
READ = """
import sys
from pathlib import Path
from memnet_core.errors import ImageError
from memnet_core.io import open_image, probe
try:
    probe(Path(sys.argv[1]))
    with open_image(Path(sys.argv[1])) as file:
        file.image()
    print("it was read")
except ImageError as error:
    print(error)
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


def refusal(path: Path) -> str:
    """Read a file in a process of its own; check that it costs little memory."""
    command = [sys.executable, "-c", READ, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stderr == ""
    message, peak = ended.stdout.splitlines()
    assert int(peak) < LITTLE
    return message


def write_ome(path: Path, planes: int = 1, count: int = 1, more: str = "") -> Path:
    """Write an OME-TIFF of one page with a description of its own."""
    description = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image '
        'ID="Image:0"><Pixels ID="Pixels:0" Type="uint8" DimensionOrder="XYZCT" '
        f'SizeX="24" SizeY="16" SizeZ="1" SizeC="1" SizeT="{planes}">'
        f'<TiffData IFD="0" PlaneCount="{count}"/></Pixels></Image>{more}</OME>'
    )
    pixels = np.zeros((16, 24), np.uint8)
    tifffile.imwrite(path, pixels, metadata=None, description=description)
    return path


@pytest.mark.parametrize("depth", [200, 2000, 200_000])
@pytest.mark.parametrize("kind", ["ome", "scn"])
def test_xml_that_nests_too_deep_is_one_sentence(
    kind: str, depth: int, tmp_path: Path
) -> None:
    path, nested = tmp_path / "a.tif", "<a>" * depth + "</a>" * depth
    if kind == "ome":
        write_ome(path, more=nested)
    else:
        text = f'<scn xmlns="http://www.leica-microsystems.com/scn/2010">{nested}</scn>'
        tifffile.imwrite(path, np.zeros((8, 8), "u1"), metadata=None, description=text)
    assert "XML nests more than 100 deep" in refusal(path)


def test_xml_of_too_many_elements_is_refused(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.ome.tif", more="<a/>" * 1_000_000)
    assert "its OME-XML has more than 500,000 elements" in refusal(path)


@pytest.mark.parametrize(("planes", "count"), [(10**8, 1), (1, 10**8)])
def test_planes_that_the_file_does_not_hold_take_no_memory(
    planes: int, count: int, tmp_path: Path
) -> None:
    path = write_ome(tmp_path / "a.ome.tif", planes, count)
    assert "it describes 100,000,000 planes" in refusal(path)


def test_zarr_of_millions_of_planes_takes_no_memory(tmp_path: Path) -> None:
    axes = [{"name": name} for name in "tyx"]
    image: Any = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["multiscales"] = [image]
    group.create_array("0", shape=(20_000_000, 2, 2), chunks=(1, 2, 2), dtype="u1")
    assert "it describes 20,000,000 planes" in refusal(tmp_path / "a.zarr")


def test_canvas_of_an_animation_is_measured_before_it_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    frames = [Image.new("RGB", (64, 56), (0, 0, 9 * n)) for n in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    data = bytearray(path.read_bytes())
    data[24:27] = (1_048_616 - 1).to_bytes(3, "little")
    path.write_bytes(data)
    assert "its 3 frames of 1048616 × 56 pixels take " in refusal(path)


STREAMS: dict[str, Callable[..., Any]] = {
    "jpeg": imagecodecs.jpeg_encode,
    "png": imagecodecs.png_encode,
    "lerc": imagecodecs.lerc_encode,
    "jpeg2000": imagecodecs.jpeg2k_encode,
    "jpegxr": imagecodecs.jpegxr_encode,
    "webp": lambda pixels: imagecodecs.webp_encode(np.dstack([pixels] * 3)),
}


def write_stream(path: Path, kind: str, side: int) -> Path:
    """Write a TIFF of 64 × 64 px whose compressed stream says other sides."""
    stream = STREAMS[kind](np.zeros((side, side), np.uint8))
    is_color = kind == "webp"
    tifffile.imwrite(
        path,
        iter([stream]),
        shape=(64, 64, 3) if is_color else (64, 64),
        dtype=np.uint8,
        compression=kind,
        tile=(64, 64),
        photometric="rgb" if is_color else "minisblack",
        metadata=None,
    )
    return path


@pytest.mark.parametrize("kind", STREAMS)
def test_stream_that_is_larger_than_its_page_is_refused(
    kind: str, tmp_path: Path
) -> None:
    fitting = write_stream(tmp_path / "a.tif", kind, 64)
    with open_image(fitting) as image:
        assert image.image().pixels.max() <= 1
    bomb = write_stream(tmp_path / "b.tif", kind, 8000)
    assert "has 8000 × 8000 pixels, more than its page" in refusal(bomb)


@pytest.mark.parametrize("kind", ["webp", "png"])
def test_animation_is_measured_with_what_its_decoder_takes(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind}"
    frames = [Image.new("RGBA", (8000, 3600), (0, 0, n, 99)) for n in range(3)]
    options: dict[str, Any] = {"lossless": True, "method": 0} if kind == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert "its 3 frames of 8000 × 3600 pixels take " in refusal(path)


@pytest.mark.parametrize(
    ("compression", "reason"),
    [(6, "in the style of TIFF 6.0"), (7, "the file is damaged"), (5, "is damaged")],
)
def test_stream_that_is_damaged_is_told_in_words_of_ours(
    compression: int, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    kind = "lzw" if compression == 5 else "jpeg"
    tifffile.imwrite(path, pixels, compression=kind, metadata=None)
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
        tag = file.pages.first.tags[259].valueoffset
    data = bytearray(path.read_bytes())
    data[start : start + 300] = b"\xff" * 300
    data[tag : tag + 2] = compression.to_bytes(2, "little")
    path.write_bytes(data)
    assert reason in refusal(path)
