"""Reading by rectangle: no more than is needed, nothing decoded twice, other resolutions, parts that are absent."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import cellbatch.io.images
import cellbatch.io.tiff_bytes
import cellbatch.io.tiff_segments
from cellbatch.errors import EngineError, InputError
from cellbatch.io.images import open_image, read_header
from cellbatch.io.prefetch import read_ahead, read_together
from cellbatch.io.scratch import ScratchPlanes
from cellbatch.spec import Window

SHAPE = (300, 500)


def draw(channels: int = 3, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).integers(1, 4000, (channels, *shape)).astype(np.uint16)


@pytest.fixture
def reads(monkeypatch):
    """Length of every read from a TIFF file."""
    lengths: list[int] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        data = pread(descriptor, size, offset)
        lengths.append(len(data))
        return data

    monkeypatch.setattr(cellbatch.io.tiff_bytes.os, "pread", counted)
    return lengths


def write_tiff(path: Path, image: np.ndarray, **layout: object) -> Path:
    tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": "CYX"}, **layout)
    return path


def test_neighbours_are_fetched_in_one_read_and_other_channels_not_at_all(tmp_path, reads):
    path = write_tiff(tmp_path / "a.ome.tif", draw(), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        band = sum(tif.pages[1].databytecounts[8:16])
    with open_image(path) as reader:
        assert reader.block_shape(1) == (64, 64)
        reads.clear()
        pixels = reader.read(1, Window(64, 128, 0, 500))
        assert sum(reads) <= band + 4096
        assert len(reads) == 1
        reads.clear()
        np.testing.assert_array_equal(reader.read(1, Window(64, 128, 0, 500)), pixels)
        assert reads == []


def test_a_pass_over_blocks_with_halo_reads_each_segment_once(tmp_path, reads):
    image = draw(2)
    path = write_tiff(tmp_path / "a.ome.tif", image, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        stored = sum(tif.pages[0].databytecounts)
    with open_image(path) as reader:
        reads.clear()
        for y in range(0, 300, 64):
            for x in range(0, 500, 64):
                window = Window(max(y - 8, 0), min(y + 72, 300), max(x - 8, 0), min(x + 72, 500))
                np.testing.assert_array_equal(reader.read(0, window), image[0][window.slices])
        assert sum(reads) <= 1.2 * stored


@pytest.mark.parametrize("layout", [{"rowsperstrip": 300}, {"tile": (320, 512)}, {"planarconfig": "contig"}], ids=str)
def test_large_pieces_are_unpacked_to_disk_once(tmp_path, reads, monkeypatch, layout):
    monkeypatch.setattr(cellbatch.io.tiff_segments, "LARGE_SEGMENT_BYTES", 1000)
    image = draw()
    path = tmp_path / "a.tif"
    if "planarconfig" in layout:
        tifffile.imwrite(path, np.moveaxis(image, 0, -1), photometric="minisblack", compression="zlib", **layout)
    else:
        write_tiff(path, image, compression="zlib", **layout)
    with open_image(path) as reader:
        assert reader.header.forced_bytes >= image[0].nbytes
        for channel in (2, 0):
            for window in (Window(0, 10, 0, 500), Window(290, 300, 3, 499)):
                np.testing.assert_array_equal(reader.read(channel, window), image[channel][window.slices])
        reads.clear()
        reader.read(2, Window(100, 200, 0, 10))
        assert reads == []
    assert list(tmp_path.iterdir()) == [path]


def test_pieces_that_force_memory_are_remarked_upon(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cellbatch.io.tiff_segments, "LARGE_SEGMENT_BYTES", 1000)
    path = write_tiff(tmp_path / "a.ome.tif", draw(), compression="zlib", rowsperstrip=300)
    assert read_header(path).forced_bytes > 300 * 500 * 2
    assert caplog.messages == []
    monkeypatch.setattr(cellbatch.io.images, "REMARKED_BYTES", 1000)
    read_header(path)
    assert len(caplog.messages) == 1
    assert "reading any of them takes 1 MB; write it tiled" in caplog.messages[0]


def test_plain_and_small_pieces_force_nothing(tmp_path):
    for layout in ({}, {"rowsperstrip": 7, "compression": "zlib"}, {"tile": (64, 64)}):
        assert read_header(write_tiff(tmp_path / "a.ome.tif", draw(), **layout)).forced_bytes == 0


def test_coarser_levels_of_a_pyramid(tmp_path):
    image = draw()
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        options = {"photometric": "minisblack", "tile": (64, 64), "compression": "zlib"}
        tif.write(image, subifds=2, metadata={"axes": "CYX"}, **options)
        for step in (2, 4):
            tif.write(image[:, ::step, ::step], subfiletype=1, **options)
    with open_image(path) as reader:
        assert reader.levels == (SHAPE, (150, 250), (75, 125))
        np.testing.assert_array_equal(reader.read(2, level=2), image[2, ::4, ::4])
        window = Window(10, 20, 200, 250)
        np.testing.assert_array_equal(reader.read(1, window, level=1), image[1, ::2, ::2][window.slices])
        with pytest.raises(ValueError, match="level 3"):
            reader.read(1, level=3)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[0].tags["SubIFDs"].valueoffset
    data[place : place + 8] = (len(data) + 1000).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.ome\.tif"):
        read_header(path)


def write_zarr(path: Path, image: np.ndarray, shards: tuple[int, ...] | None = None, **options: object) -> Path:
    """OME-Zarr with two levels, of which empty chunks are left out."""
    version = 3 if shards else 2
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for level in (0, 1):
        step = 2**level
        values = image[:, ::step, ::step]
        array = group.create_array(
            str(level),
            shape=values.shape,
            dtype=values.dtype,
            chunks=(1, 64, 64),
            shards=shards,
            fill_value=0,
            **options,
        )
        array[:] = values
    axes = [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in "cyx"]
    multiscales = [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}], "version": "0.4"}]
    group.attrs.update(
        {"ome": {"version": "0.5", "multiscales": multiscales}} if shards else {"multiscales": multiscales}
    )
    return path


@pytest.mark.parametrize("shards", [None, (1, 128, 256), (3, 128, 128)], ids=str)
def test_chunks_that_were_left_out_are_counted(tmp_path, shards):
    image = draw()
    image[1, :130, :200] = 0
    path = write_zarr(tmp_path / "a.ome.zarr", image, shards)
    with open_image(path) as reader:
        assert reader.block_shape(0) == (64, 64)
        assert reader.levels == (SHAPE, (150, 250))
        assert [reader.missing_chunks(channel) for channel in range(3)] == [0, 6, 0]
        np.testing.assert_array_equal(reader.read(1), image[1])
        window = Window(100, 140, 30, 220)
        np.testing.assert_array_equal(reader.read(1, window), image[1][window.slices])
        np.testing.assert_array_equal(
            reader.read(1, window._replace(y1=150), level=1), image[1, ::2, ::2][100:150, 30:220]
        )


def test_a_chunk_that_a_coarser_level_shows_is_an_error(tmp_path):
    path = write_zarr(tmp_path / "a.ome.zarr", draw())
    (path / "0" / "2.1.3").unlink()
    with open_image(path) as reader:
        assert reader.missing_chunks(0) == 0
        with pytest.raises(InputError, match=r"channel 2 at rows 64 to 128, columns 192 to 256 is not stored"):
            reader.missing_chunks(2)


def test_a_channel_without_any_chunk_is_an_error(tmp_path):
    image = draw()
    image[0] = 0
    with open_image(write_zarr(tmp_path / "a.ome.zarr", image)) as reader:
        with pytest.raises(InputError, match="none of the 40 chunks of channel 0"):
            reader.missing_chunks(0)


def test_a_shard_that_is_cut_short_is_an_error(tmp_path):
    path = write_zarr(tmp_path / "a.ome.zarr", draw(), (1, 128, 256))
    shard = path / "0/c/0/0/0"
    shard.write_bytes(shard.read_bytes()[-200:])
    with open_image(path) as reader:
        with pytest.raises(InputError, match="copy or write it again"):
            reader.missing_chunks(0)


def test_what_comes_next_is_read_while_the_consumer_works():
    started = threading.Semaphore(0)

    def read(key: int) -> int:
        started.release()
        return key

    values = read_ahead(range(10), read, ahead=3)
    assert next(values) == 0
    for _ in range(4):
        assert started.acquire(timeout=5)
    assert not started.acquire(blocking=False)
    assert list(values) == list(range(1, 10))


def test_an_error_comes_in_its_turn():
    def read(key: int) -> int:
        if key == 3:
            raise InputError("the file ends")
        return key

    values = read_ahead(range(10), read)
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="the file ends"):
        next(values)


def test_parts_are_read_at_once():
    barrier = threading.Barrier(4, timeout=5)
    read_together([barrier.wait] * 4)
    with pytest.raises(ZeroDivisionError):
        read_together([lambda: 1, lambda: 1 / 0])


def test_scratch_planes_hold_what_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = draw(2)
    with ScratchPlanes(image.shape, image.dtype) as planes:
        planes.write(1, Window(0, 100, 0, 500), image[1, :100])
        planes.write(1, Window(100, 300, 17, 500), image[1, 100:, 17:])
        planes.write(1, Window(100, 300, 0, 17), image[1, 100:, :17])
        np.testing.assert_array_equal(planes.read(1), image[1])
        np.testing.assert_array_equal(planes.read(1, Window(90, 110, 10, 20)), image[1, 90:110, 10:20])
        assert not planes.read(0).any()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EngineError, match="no room"):
        ScratchPlanes((1, 1 << 24, 1 << 24), np.uint64)
