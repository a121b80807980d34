"""Hand-off files between phases."""

import threading
import time
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zarr

from cellbatch.errors import InputError
from cellbatch.io.handoff_format import DTYPES, chunk_shape
from cellbatch.io.handoffs import HandoffParts, HandoffReader, HandoffWriter
from cellbatch.spec import Window

RNG = np.random.default_rng(11)


def write_example(path: Path) -> dict[str, np.ndarray]:
    arrays = {name: (RNG.random((3, 5, 7)) * 3).astype(name) for name in DTYPES}
    with HandoffWriter(path) as handoff:
        for name, array in arrays.items():
            handoff.write("b", name, array, {"seen": name})
        handoff.write_attributes("a", {"minimum": [0.1, 2.0], "name": "µ"})
    return arrays


def test_arrays_and_attributes_come_back(tmp_path: Path) -> None:
    arrays = write_example(tmp_path / "a.zarr.zip")
    with HandoffReader(tmp_path / "a.zarr.zip") as handoff:
        assert handoff.samples() == ("a", "b")
        assert handoff.names("b") == tuple(sorted(arrays))
        assert handoff.names("a") == ()
        assert handoff.attributes("a") == {"minimum": [0.1, 2.0], "name": "µ"}
        assert handoff.attributes("b") == {"seen": DTYPES[-1]}
        for name, array in arrays.items():
            found = handoff.read("b", name)
            assert found.dtype == array.dtype
            assert handoff.shape("b", name) == array.shape
            np.testing.assert_array_equal(found, array)


def test_any_zarr_reader_opens_the_file(tmp_path: Path) -> None:
    arrays = write_example(tmp_path / "a.zarr.zip")
    big = RNG.random((2, 1500, 1100), dtype=np.float32)
    with HandoffWriter(tmp_path / "b.zarr.zip") as handoff:
        handoff.write("s", "heads", big)
    store = zarr.storage.ZipStore(tmp_path / "a.zarr.zip", mode="r")
    group = zarr.open_group(store, mode="r")
    assert group["a"].attrs["name"] == "µ"
    for name, array in arrays.items():
        np.testing.assert_array_equal(group[f"b/{name}"][...], array)
    store.close()
    store = zarr.storage.ZipStore(tmp_path / "b.zarr.zip", mode="r")
    np.testing.assert_array_equal(zarr.open_group(store, mode="r")["s/heads"][...], big)
    store.close()


@pytest.mark.parametrize("array", [np.float32(3).reshape(()), np.zeros((0, 4), "uint8"), np.arange(6, dtype=">u2")])
def test_unusual_arrays(tmp_path: Path, array: np.ndarray) -> None:
    with HandoffWriter(tmp_path / "a") as handoff:
        handoff.write("s", "x", array)
        handoff.write("s", "strided", np.arange(24).reshape(4, 6)[::2, ::-1])
    with HandoffReader(tmp_path / "a") as handoff:
        np.testing.assert_array_equal(handoff.read("s", "x"), array)
        np.testing.assert_array_equal(handoff.read("s", "strided"), np.arange(24).reshape(4, 6)[::2, ::-1])


def test_blocks_and_rectangles(tmp_path: Path) -> None:
    values = RNG.integers(0, 255, (2, 2500, 2100)).astype(np.uint8)
    with HandoffWriter(tmp_path / "a") as handoff:
        target = handoff.create("s", "bins", values.shape, np.uint8)
        assert target.chunks == (1, 1024, 1024)
        for row in range(0, 2500, 1024):
            target.write((0, row, 0), values[:, row : row + 1024])
    with HandoffReader(tmp_path / "a") as handoff:
        np.testing.assert_array_equal(handoff.read("s", "bins"), values)
        for window in (Window(0, 1, 0, 1), Window(1000, 2500, 1023, 1025), Window(2499, 2500, 0, 2100)):
            np.testing.assert_array_equal(handoff.read("s", "bins", window), values[(slice(None), *window.slices)])
        with pytest.raises(ValueError, match="outside of shape"):
            handoff.read("s", "bins", Window(0, 2501, 0, 1))


def test_chunks() -> None:
    assert chunk_shape((2, 64, 64), "uint8") == (2, 64, 64)
    assert chunk_shape((2, 5000, 700), "float32") == (1, 256, 700)
    assert chunk_shape((10**7,), "float32") == (1024,)
    assert chunk_shape((0, 3), "uint8") == (1, 3)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    heads = RNG.random((1200, 1300), dtype=np.float32)
    for name in ("a", "b"):
        with HandoffWriter(tmp_path / name) as handoff:
            for sample in ("y", "x"):
                handoff.write(sample, "heads", heads, {"b": 1, "a": 2})
        time.sleep(0.01)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_threads_may_write_and_read(tmp_path: Path) -> None:
    values = {f"s{index}": RNG.integers(0, 9, (50, 60)).astype(np.uint8) for index in range(40)}
    with HandoffWriter(tmp_path / "a") as handoff:
        threads = [threading.Thread(target=handoff.write, args=(name, "x", array)) for name, array in values.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with HandoffReader(tmp_path / "a") as reader:
        assert reader.samples() == tuple(sorted(values))
        for name, array in values.items():
            np.testing.assert_array_equal(reader.read(name, "x"), array)


def write_and_fail(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.write("s", "x", np.zeros(3))
        raise RuntimeError("stop")


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def write_once_too_often(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.write("s", "x", np.zeros(3))
        handoff.write("s", "x", np.zeros(3))


def write_too_little(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.create("s", "x", (3000, 3000), np.float32).write((0, 0), np.zeros((1024, 1024), np.float32))


def write_unaligned(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.create("s", "x", (3000, 3000), np.float32).write((10, 0), np.zeros((1024, 1024), np.float32))


def write_not_a_number(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.write_attributes("s", {"x": float("nan")})


def write_bad_name(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.write("../s", "x", np.zeros(3))


def write_complex(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.write("s", "x", np.zeros(3, "complex64"))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_once_too_often, "s/x is written twice"),
        (write_too_little, "32 chunks .* were never written"),
        (write_unaligned, "not aligned to chunks"),
        (write_not_a_number, "not JSON compliant"),
        (write_bad_name, "cannot name a part"),
        (write_complex, "arrays of complex64 are not stored"),
    ],
)
def test_wrong_calls_leave_no_file(tmp_path: Path, write: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "a")  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_what_is_absent_or_damaged_is_named(tmp_path: Path) -> None:
    write_example(tmp_path / "a")
    with HandoffReader(tmp_path / "a") as handoff:
        with pytest.raises(InputError, match=r"holds no b/other/zarr\.json"):
            handoff.read("b", "other")
        with pytest.raises(InputError, match="holds no c"):
            handoff.attributes("c")
        with pytest.raises(InputError, match="holds no sample c"):
            handoff.names("c")
    with zipfile.ZipFile(tmp_path / "a") as archive:
        entry = archive.getinfo("b/float32/c/0/0/0")
    data = bytearray((tmp_path / "a").read_bytes())
    data[entry.header_offset + 60] ^= 0xFF
    (tmp_path / "b").write_bytes(data)
    with HandoffReader(tmp_path / "b") as handoff, pytest.raises(InputError, match="b/float32/c/0/0/0 is damaged"):
        handoff.read("b", "float32")
    (tmp_path / "c").write_bytes(data[:-30])
    with pytest.raises(InputError, match="cannot be read as hand-off file"):
        HandoffReader(tmp_path / "c")
    with pytest.raises(InputError, match="cannot be read as hand-off file"):
        HandoffReader(tmp_path / "absent")
    with zipfile.ZipFile(tmp_path / "d", "w") as archive:
        archive.writestr("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(InputError, match="no hand-off file"):
        HandoffReader(tmp_path / "d")


def test_two_thousand_small_samples_take_seconds(tmp_path: Path) -> None:
    bins, maps = RNG.integers(0, 253, (2, 64, 64)).astype(np.uint8), np.ones((2, 1, 1, 256), np.uint16)
    started = time.process_time()
    with HandoffWriter(tmp_path / "a") as handoff:
        for index in range(2000):
            handoff.write(f"s{index}", "bins", bins, {"minimum": [0.0, 1.0]})
            handoff.write(f"s{index}", "maps", maps)
    with HandoffReader(tmp_path / "a") as handoff:
        for sample in handoff.samples():
            assert handoff.read(sample, "bins").shape == (2, 64, 64)
            assert handoff.attributes(sample) == {"minimum": [0.0, 1.0]}
    assert time.process_time() - started < 6


def test_parts_of_any_size_make_the_array_and_only_once(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.random((1500, 2500), np.float32)
    downs, acrosses = np.r_[0, 1, 190, 382, 1000, 1500], np.r_[0, 700, 1024, 2499, 2500]
    with HandoffWriter(tmp_path / "whole.zip") as handoff:
        handoff.write("s", "a", values)
    with HandoffWriter(tmp_path / "parts.zip") as handoff:
        array = handoff.create("s", "a", values.shape, "float32")
        parts = HandoffParts(array)
        for y0, y1 in pairwise(downs):
            for x0, x1 in pairwise(acrosses):
                parts.write(Window(y0, y1, x0, x1), values[y0:y1, x0:x1])
        with pytest.raises(ValueError, match="written twice"):
            parts.write(Window(0, 256, 0, 1024), values[:256, :1024])
        with pytest.raises(ValueError, match="pixels of shape"):
            parts.write(Window(0, 1, 0, 1), values[:2, :2])
    with HandoffReader(tmp_path / "parts.zip") as found:
        np.testing.assert_array_equal(found.read("s", "a"), values, strict=True)


def test_parts_that_leave_a_hole_are_found(tmp_path):
    def write() -> None:
        with HandoffWriter(tmp_path / "parts.zip") as handoff:
            parts = HandoffParts(handoff.create("s", "a", (20, 20), "float32"))
            parts.write(Window(0, 20, 0, 19), np.zeros((20, 19), np.float32))

    with pytest.raises(ValueError, match="never written"):
        write()
