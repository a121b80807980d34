"""A rectangle with context has the labels of the whole image."""

import numpy as np
import pytest
from scipy import ndimage

from cellbatch.postprocessing import deep_watershed
from cellbatch.postprocessing.crop import label_crop
from cellbatch.spec import WatershedOptions, Window

OPTIONS = WatershedOptions(maxima_threshold=0.02, interior_threshold=0.5)


def renumbered(labels: np.ndarray) -> np.ndarray:
    values = np.unique(labels)
    return np.searchsorted(values[values > 0], labels) + 1 if 0 not in values else np.searchsorted(values, labels)


class Watched:
    """A map that remembers what was read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.rows = values, values.shape, set()

    def __getitem__(self, key):
        self.rows |= set(range(key[0].start, key[0].stop))
        return self.values[key]


@pytest.fixture(scope="module")
def maps() -> list[np.ndarray]:
    """Smooth maps with some hundred cells."""
    rng = np.random.default_rng(3)
    smooth = [ndimage.gaussian_filter(rng.random((500, 400)), 3) for _ in range(2)]
    return [((one - one.min()) / np.ptp(one)).astype(np.float32) for one in smooth]


@pytest.fixture(scope="module")
def whole(maps) -> np.ndarray:
    return deep_watershed(*maps, maxima_threshold=0.02, interior_threshold=0.5)


def test_every_rectangle_has_the_labels_of_the_whole(maps, whole):
    rng = np.random.default_rng(1)
    for _ in range(25):
        (y0, y1), (x0, x1) = (sorted(rng.choice(size + 1, 2, replace=False).tolist()) for size in whole.shape)
        window = Window(y0, y1, x0, x1)
        crop = label_crop(*maps, window, OPTIONS, context_px=int(rng.choice([0, 7, 64])))
        assert crop.dtype == np.uint32
        np.testing.assert_array_equal(crop, renumbered(whole[window.slices]))


def test_only_the_surroundings_are_read(maps, whole):
    watched = [Watched(one) for one in maps]
    window = Window(10, 40, 100, 160)
    found = label_crop(*watched, window, OPTIONS, context_px=32)
    np.testing.assert_array_equal(found, renumbered(whole[window.slices]))
    assert max(max(one.rows) for one in watched) < 300


def test_an_object_longer_than_the_context_is_an_error():
    interior = np.zeros((2000, 40), np.float32)
    interior[:, 10:30] = 1
    inner_distance = np.zeros_like(interior)
    inner_distance[5:9, 18:22] = 1
    window = Window(0, 50, 0, 40)
    with pytest.raises(ValueError, match=r"a context of 256 px .* does not settle its labels"):
        label_crop(inner_distance, interior, window, OPTIONS, context_px=8, most_context_px=256)
    found = label_crop(inner_distance, interior, window, OPTIONS, context_px=8, most_context_px=4096)
    whole = deep_watershed(inner_distance, interior, maxima_threshold=0.02, interior_threshold=0.5)
    np.testing.assert_array_equal(found, whole[window.slices])


@pytest.mark.parametrize("window", [Window(0, 0, 0, 5), Window(-1, 4, 0, 5), Window(0, 5, 396, 401)])
def test_a_window_outside_is_refused(maps, window):
    with pytest.raises(ValueError, match="is empty or lies outside"):
        label_crop(*maps, window, OPTIONS)


def test_maps_of_two_shapes_are_refused(maps):
    with pytest.raises(ValueError, match="differ in shape"):
        label_crop(maps[0], maps[1][:-1], Window(0, 4, 0, 4), OPTIONS)
