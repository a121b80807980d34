"""Chunks of Zarr arrays that decode to far more than a chunk: refused before the memory is taken."""

import bz2
import gzip
import json
import lzma
import resource
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import pytest
import zarr

from cellbatch.errors import InputError
from cellbatch.io.images import open_image
from cellbatch.io.zarr_shards import crc32c

SIZE = 512
PIXELS = np.random.default_rng(1).integers(0, 4000, (SIZE, SIZE), np.uint16)
MEGABYTE = bytes(1 << 20)
# one gigabyte of zeros as members that follow each other
GIGABYTE = 1000
# less than the bombs give, more than a chunk takes
ROOM = 128 << 20


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Let this process grow by no more than ``ROOM``: what takes a bomb's memory ends with a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def write(path: Path, version: int, **options: Any) -> Path:
    """A sound image of one chunk; gives the file of the chunk, or of its shard."""
    group = zarr.create_group(path, zarr_format=version)
    array = group.create_array("0", shape=PIXELS.shape, chunks=PIXELS.shape, dtype="uint16", **options)
    array[:] = PIXELS
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    scales = [{"version": f"0.{version + 2}", "axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs.update({"multiscales": scales} if version == 2 else {"ome": {"version": "0.5", "multiscales": scales}})
    return path / "0" / ("0.0" if version == 2 else "c/0/0")


def deflated(megabytes: int) -> bytes:
    coder = zlib.compressobj(1)
    return b"".join(coder.compress(MEGABYTE) for _ in range(megabytes)) + coder.flush()


def blosc_header(decoded: int) -> Callable[[], bytes]:
    return lambda: struct.pack("<4B3I", 2, 1, 0x33, 2, decoded, 1 << 16, 100) + bytes(84)


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(MEGABYTE) * GIGABYTE,
    "zlib": lambda: deflated(230),
    "bz2": lambda: bz2.compress(MEGABYTE) * GIGABYTE,
    "lzma": lambda: lzma.compress(MEGABYTE) * GIGABYTE,
    "zstd": lambda: imagecodecs.zstd_encode(MEGABYTE) * GIGABYTE,
    "lz4": lambda: struct.pack("<I", 2**31 - 1) + bytes(60),
    "blosc": blosc_header(2**31 - 1),
}


@pytest.mark.parametrize("codec", BOMBS)
def test_zarr_2(tmp_path: Path, codec: str, request: pytest.FixtureRequest) -> None:
    chunk = write(tmp_path / "a.zarr", 2, compressors=numcodecs.get_codec({"id": codec}))
    with open_image(tmp_path / "a.zarr") as reader:
        assert np.array_equal(reader.read(0), PIXELS)
    chunk.write_bytes(BOMBS[codec]())
    request.getfixturevalue("little_memory")
    with open_image(tmp_path / "a.zarr") as reader, pytest.raises(InputError, match=r"decodes to|too small"):
        reader.read(0)


@pytest.mark.parametrize("name", ["gzip", "zstd", "blosc"])
def test_zarr_3(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    kinds = {"gzip": zarr.codecs.GzipCodec, "zstd": zarr.codecs.ZstdCodec, "blosc": zarr.codecs.BloscCodec}
    chunk = write(tmp_path / "a.zarr", 3, compressors=kinds[name]())
    with open_image(tmp_path / "a.zarr") as reader:
        assert np.array_equal(reader.read(0), PIXELS)
    chunk.write_bytes(BOMBS[name]())
    request.getfixturevalue("little_memory")
    with open_image(tmp_path / "a.zarr") as reader, pytest.raises(InputError, match=r"decodes to|too small"):
        reader.read(0)


def test_inside_a_shard(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shard = write(tmp_path / "a.zarr", 3, shards=PIXELS.shape, compressors=zarr.codecs.GzipCodec())
    with open_image(tmp_path / "a.zarr") as reader:
        assert np.array_equal(reader.read(0), PIXELS)
    bomb = BOMBS["gzip"]()
    index = struct.pack("<QQ", 0, len(bomb))
    shard.write_bytes(bomb + index + crc32c(index).to_bytes(4, "little"))
    request.getfixturevalue("little_memory")
    with open_image(tmp_path / "a.zarr") as reader, pytest.raises(InputError, match="decodes to"):
        reader.read(0)


@pytest.mark.parametrize("compressors", [None, "auto"])
def test_a_file_that_is_larger_than_any_chunk(tmp_path: Path, compressors: Any, request: pytest.FixtureRequest) -> None:
    chunk = write(tmp_path / "a.zarr", 2, compressors=compressors)
    with chunk.open("r+b") as file:
        file.truncate(1 << 32)
    request.getfixturevalue("little_memory")
    with open_image(tmp_path / "a.zarr") as reader, pytest.raises(InputError, match="is stored in 4294967296 bytes"):
        reader.read(0)


def test_a_shard_that_is_larger_than_its_chunks(tmp_path: Path) -> None:
    shard = write(tmp_path / "a.zarr", 3, shards=PIXELS.shape)
    data = shard.read_bytes()
    with shard.open("r+b") as file:
        file.seek((1 << 32) - 20)
        file.write(data[-20:])
    with open_image(tmp_path / "a.zarr") as reader, pytest.raises(InputError, match="has 4294967296 bytes, expected"):
        reader.read(0)


def test_a_blosc_chunk_that_was_cut(tmp_path: Path) -> None:
    chunk = write(tmp_path / "a.zarr", 2, compressors=numcodecs.Blosc())
    chunk.write_bytes(chunk.read_bytes()[:5000])
    with open_image(tmp_path / "a.zarr") as reader, pytest.raises(InputError, match="cut short"):
        reader.read(0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"filters": [{"id": "base64"}]}, "codec 'base64' is not read"),
        ({"compressor": {"id": "pickle"}}, "pickle"),
        ({"filters": [{"id": "zlib"}]}, r"codecs zlib \+ zstd are not read"),
    ],
)
def test_codecs_that_run_code_or_have_no_bound(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    write(tmp_path / "a.zarr", 2, compressors=numcodecs.Zstd())
    document = tmp_path / "a.zarr" / "0" / ".zarray"
    document.write_text(json.dumps({**json.loads(document.read_text()), **change}))
    with pytest.raises(InputError, match=text):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("codecs", [["delta"], ["fixedscaleoffset"], ["shuffle"], ["crc32"], ["delta", "fletcher32"]])
def test_filters_and_sums_are_read(tmp_path: Path, codecs: list[str]) -> None:
    settings = {"delta": {"dtype": "<u2", "astype": "<i4"}, "shuffle": {"elementsize": 2}}
    settings["fixedscaleoffset"] = {"dtype": "<u2", "astype": "<f8", "scale": 1, "offset": 0}
    filters = [numcodecs.get_codec({"id": name, **settings.get(name, {})}) for name in codecs]
    write(tmp_path / "a.zarr", 2, filters=filters, compressors=numcodecs.Zlib())
    with open_image(tmp_path / "a.zarr") as reader:
        assert np.array_equal(reader.read(0), PIXELS)


def test_a_header_that_claims_more_chunks_than_anybody_stored(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", 2)
    document = tmp_path / "a.zarr" / "0" / ".zarray"
    document.write_text(json.dumps({**json.loads(document.read_text()), "shape": [2**31, 2**31]}))
    with open_image(tmp_path / "a.zarr") as reader, pytest.raises(InputError, match="its files can hold 3"):
        reader.missing_chunks(0)


@pytest.mark.parametrize("shards", [None, PIXELS.shape])
def test_chunks_and_shards_without_pixels(tmp_path: Path, shards: tuple[int, int] | None) -> None:
    """Found by the fuzzer: seed 4, zarr 3099 and 4248."""
    write(tmp_path / "a.zarr", 3, shards=shards)
    document = tmp_path / "a.zarr" / "0" / "zarr.json"
    header = json.loads(document.read_text())
    header["chunk_grid"]["configuration"]["chunk_shape"] = [512, 0]
    document.write_text(json.dumps(header))
    with pytest.raises(InputError, match=r"claims chunks of \(512, 0\) px"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.usefixtures("little_memory")
def test_channels_without_number_are_refused_before_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.create_group(path, zarr_format=2)
    group.create_array("0", shape=(1 << 40, 8, 8), chunks=(1, 8, 8), dtype="uint16")
    axes = [{"name": axis} for axis in "cyx"]
    group.attrs.update({"multiscales": [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]})
    with pytest.raises(InputError, match="an axis 'c' of length 1099511627776"):
        open_image(path)
