"""Labels that wait on disk."""

import numpy as np
import pytest

from cellbatch.io.label_store import TILE, LabelStore
from cellbatch.io.labels import write_labels


def test_a_store_is_an_array(tmp_path):
    """Random rectangles, written and read, over tile borders and up to the image's border."""
    rng = np.random.default_rng(3)
    expected = np.zeros((2 * TILE + 40, 3 * TILE - 7), np.uint32)
    with LabelStore(expected.shape, tmp_path) as store:
        assert not store[:, :].any()
        for _ in range(60):
            y0, y1 = np.sort(rng.integers(0, expected.shape[0] + 1, 2))
            x0, x1 = np.sort(rng.integers(0, expected.shape[1] + 1, 2))
            # noise needs more room than flat pieces, so tiles move; zeros take none
            top = int(rng.choice([1, 3, 2**32 - 1]))
            values = rng.integers(0, top, (y1 - y0, x1 - x0), dtype=np.uint32)
            store[y0:y1, x0:x1] = values
            expected[y0:y1, x0:x1] = values
            y, x = rng.integers(0, 300, 2)
            np.testing.assert_array_equal(store[y : y + 200, x:], expected[y : y + 200, x:])
        np.testing.assert_array_equal(store[:, :], expected)
        assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused(tmp_path):
    with LabelStore((10, 10), tmp_path) as store:
        with pytest.raises(ValueError, match="expected uint32"):
            store[0:2, 0:2] = np.zeros((2, 3), np.uint32)
        with pytest.raises(ValueError, match="expected uint32"):
            store[0:2, 0:2] = np.zeros((2, 2), np.int32)
        with pytest.raises(ValueError, match="no steps"):
            store[::2, 0:2]


def test_a_label_file_has_the_same_bytes_from_memory_and_from_disk(tmp_path):
    """With several threads too, and with a pyramid of odd sizes."""
    rng = np.random.default_rng(5)
    labels = np.kron(rng.integers(0, 900, (613, 70), dtype=np.uint32), np.ones((7, 9), np.uint32))
    labels[1000:1700] = 0
    assert labels.shape == (4291, 630)
    write_labels(tmp_path / "memory.tif", labels, 0.5, "nuclear")
    with LabelStore(labels.shape, tmp_path) as store:
        store[:, :] = labels
        write_labels(tmp_path / "disk.tif", store, 0.5, "nuclear", threads=3)
    assert (tmp_path / "memory.tif").read_bytes() == (tmp_path / "disk.tif").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.tif", "memory.tif"]
