"""Zarr folders whose files do not end, or are larger than what is read of them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr

from memnet_core.errors import ImageError
from memnet_core.io import open_image, probe
from memnet_core.io.core.limits import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METADATA = {
    2: (".zgroup", ".zattrs", "0/.zarray", ".zmetadata"),
    3: ("zarr.json", "0/zarr.json"),
}


def write_image(path: Path, zarr_format: Any, **options: Any) -> None:
    axes = [{"name": name, "type": "space"} for name in "yx"]
    described = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    attributes: Any = described if zarr_format == 2 else {"ome": described}
    group = zarr.open_group(
        path, mode="w", zarr_format=zarr_format, attributes=attributes
    )
    array = group.create_array(
        "0", shape=(20, 30), chunks=(16, 16), dtype="u1", **options
    )
    array[...] = np.ones((20, 30))


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [link_to_zeros, os.mkfifo])
@pytest.mark.parametrize(
    ("zarr_format", "name"), [(v, name) for v in METADATA for name in METADATA[v]]
)
def test_metadata_without_an_end_are_refused(
    make: Callable[[Path], None], zarr_format: int, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, zarr_format)
    (path / name).unlink(missing_ok=True)
    make(path / name)
    with pytest.raises(ImageError, match=f"a.zarr cannot be read: {name} in it is a p"):
        probe(path)


@pytest.mark.parametrize(
    "name", [name for names in METADATA.values() for name in names]
)
def test_metadata_above_their_bound_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 3 if name.endswith("json") else 2)
    (path / name).touch()
    os.truncate(path / name, 2**34)
    with pytest.raises(ImageError, match=f"{name} in it has 16,384 MiB, more than the"):
        probe(path)


@pytest.mark.parametrize("make", [link_to_zeros, os.mkfifo])
@pytest.mark.parametrize("zarr_format", METADATA)
def test_chunk_without_an_end_is_refused(
    make: Callable[[Path], None], zarr_format: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, zarr_format)
    name = "0/c/1/0" if zarr_format == 3 else "0/1.0"
    (path / name).unlink()
    make(path / name)
    whole = slice(0, 30)
    with open_image(path) as file:
        assert np.all(file.read(0, slice(0, 16), whole) == 1)
        with pytest.raises(ImageError, match=f"{name} in it is a pipe, a device"):
            file.read(0, slice(16, 20), whole)


def test_links_to_ordinary_files_are_followed(tmp_path: Path) -> None:
    path, stored = tmp_path / "a.zarr", tmp_path / "store"
    write_image(path, 3)
    (path / "0").rename(stored)
    (path / "0").symlink_to(stored)
    with open_image(path) as file:
        assert np.all(file.image().pixels == 1)


def rewrite_array(path: Path, **changes: Any) -> None:
    mark = path / "0/zarr.json"
    described = json.loads(mark.read_text())
    described.update(changes)
    mark.write_text(json.dumps(described))


@pytest.mark.parametrize("side", [2**31, 2**40])
def test_shape_needs_the_bytes_for_it(
    side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 3)
    rewrite_array(path, shape=[side, side])
    with pytest.raises(ImageError, match=r"bytes of pixels claim \d\.\d+e\+1"):
        probe(path)
    monkeypatch.setenv(VARIABLE, "9" * 19)
    if side == 2**31:
        assert probe(path).shape == (side, side)


def test_chunks_above_the_bound_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 3)
    grid = {"name": "regular", "configuration": {"chunk_shape": [2**20, 2**20]}}
    rewrite_array(path, chunk_grid=grid)
    with pytest.raises(ImageError, match=r"each chunk of '0' in it claims 1\.09"):
        probe(path)


BOMB = bytes(2**27)
RAW: Any = {"format": lzma.FORMAT_RAW, "filters": [{"id": lzma.FILTER_LZMA2}]}
ZSTD = numcodecs.Zstd()
SKIPPED = b"\x50\x2a\x4d\x18\4\0\0\0abcd"
PACKED: dict[str, tuple[Any, bytes]] = {
    "raw lzma": (numcodecs.LZMA(**RAW), lzma.compress(BOMB, **RAW)),
    "zstd behind what is skipped": (ZSTD, SKIPPED + ZSTD.encode(BOMB)),
    "zstd behind a small frame": (ZSTD, ZSTD.encode(b"a") + ZSTD.encode(BOMB)),
    "gzip": (numcodecs.GZip(), gzip.compress(BOMB, 1)),
    "members": (numcodecs.GZip(), 128 * gzip.compress(bytes(2**20), 1)),
    "zlib": (numcodecs.Zlib(), zlib.compress(BOMB, 1)),
    "bz2": (numcodecs.BZ2(), bz2.compress(BOMB, 1)),
    "lzma": (numcodecs.LZMA(), lzma.compress(BOMB, preset=0)),
    "zstd": (numcodecs.Zstd(), numcodecs.Zstd().encode(BOMB)),
    "lz4": (numcodecs.LZ4(), numcodecs.LZ4().encode(BOMB)),
    "blosc": (numcodecs.Blosc(), numcodecs.Blosc().encode(BOMB)),
}


@pytest.mark.parametrize("kind", PACKED)
def test_chunk_that_unpacks_to_too_much_is_refused(kind: str, tmp_path: Path) -> None:
    codec, bomb = PACKED[kind]
    path = tmp_path / "a.zarr"
    write_image(path, 2, compressors=codec)
    with open_image(path) as file:
        assert np.all(file.image().pixels == 1)
    (path / "0/0.0").write_bytes(bomb)
    with open_image(path) as file:
        tracemalloc.start()
        try:
            with pytest.raises(ImageError, match="a chunk that is larger than its pix"):
                file.image()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 2**25


@pytest.mark.parametrize("rows", [16, 32])
def test_shard_that_unpacks_to_too_much_is_refused(rows: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    codec = zarr.codecs.GzipCodec()
    write_image(path, 3, compressors=codec, shards=(32, 32))
    with open_image(path) as file:
        assert np.all(file.image().pixels == 1)
    file_of_shard = path / "0/c/0/0"
    shard = file_of_shard.read_bytes()
    bomb = gzip.compress(BOMB, 1)
    index = np.frombuffer(shard[-68:-4], "<u8").copy()
    index[:2] = 0, len(bomb)
    index[2::2] += len(bomb)
    told = index.tobytes()
    check = google_crc32c.value(told).to_bytes(4, "little")
    file_of_shard.write_bytes(bomb + shard[:-68] + told + check)
    with (
        open_image(path) as file,
        pytest.raises(ImageError, match="a chunk that is larger than its pixels"),
    ):
        file.read(0, slice(0, min(rows, 20)), slice(0, 30))


def test_what_is_compressed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 3, compressors=(zarr.codecs.GzipCodec(),) * 2)
    with pytest.raises(ImageError, match="compressed more than once, by gzip and gzip"):
        probe(path)


SHARD = zarr.codecs.ShardingCodec(chunk_shape=(8, 8))
GZIP: Any = [zarr.codecs.BytesCodec(), zarr.codecs.GzipCodec()]


@pytest.mark.filterwarnings("ignore:Combining a")
@pytest.mark.parametrize(
    ("codecs", "reason"),
    [
        (
            [zarr.codecs.ShardingCodec(chunk_shape=(16, 16), codecs=[SHARD])],
            "its shards hold shards, which is not supported",
        ),
        ([SHARD, zarr.codecs.GzipCodec()], "its shards are compressed as a whole"),
        (
            [zarr.codecs.ShardingCodec(chunk_shape=(8, 8), index_codecs=GZIP)],
            "the index of its shards is compressed",
        ),
    ],
)
def test_shards_that_cannot_be_measured_are_refused(
    codecs: list[Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 3)
    rewrite_array(path, codecs=[codec.to_dict() for codec in codecs])
    with pytest.raises(ImageError, match=reason):
        probe(path)


def test_codec_that_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 2)
    metadata = json.loads((path / "0/.zarray").read_text())
    metadata["filters"] = [{"id": "base64"}]
    (path / "0/.zarray").write_text(json.dumps(metadata))
    with pytest.raises(ImageError, match="its codec 'base64' is not supported"):
        probe(path)


def renamed_level(path: Path, name: str) -> None:
    mark = path / ".zattrs"
    described = json.loads(mark.read_text())
    described["multiscales"][0]["datasets"] = [{"path": name}]
    mark.write_text(json.dumps(described))


def test_level_is_found_with_slashes_around_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 2)
    renamed_level(path, "/0/")
    with open_image(path) as file:
        assert np.all(file.image().pixels == 1)


@pytest.mark.parametrize("name", ["../secret/0", "..", "a//0", "C:0", "..\\0"])
def test_level_outside_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, 2)
    write_image(tmp_path / "secret", 2)
    renamed_level(path, name)
    with pytest.raises(ImageError, match="which is no folder in it"):
        probe(path)
