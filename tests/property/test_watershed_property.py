"""deep_watershed against straightforward references, on small random maps full of ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import euler_number, label, regionprops
from skimage.morphology import h_maxima

from cellbatch._native import watershed as native
from cellbatch._native.gaussian import smooth
from cellbatch.postprocessing import deep_watershed
from cellbatch.postprocessing.blocks import BlockOptions, label_by_blocks
from cellbatch.spec import WatershedOptions
from tests.labels_equal import assert_contiguous, assert_labels_equal
from tests.reference import watershed as reference
from tests.reference.flooding import flood, flood_by_heap
from tests.reference.maps import draw_case
from tests.reference.maxima import disk, label_maxima
from tests.reference.objects import drop_small_objects, euler_numbers, fill_holes, renumber


@st.composite
def maps(draw: st.DrawFn, longest: int = 36) -> np.ndarray:
    """Noise, smooth, quantised or offset maps."""
    shape = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    return draw_map(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), shape)


@st.composite
def pairs(draw: st.DrawFn, longest: int = 36) -> tuple[np.ndarray, np.ndarray]:
    """Two maps of the same shape."""
    shape = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return draw_map(rng, shape), draw_map(rng, shape)


def draw_map(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Values around 0 … 1, or another range."""
    values = rng.random(shape)
    if rng.random() < 0.6:
        values = ndimage.gaussian_filter(values, rng.choice([0.7, 1.5, 3]))
        values = (values - values.min()) / max(np.ptp(values), 1e-9)
    if rng.random() < 0.5:
        levels = rng.integers(1, 30)
        values = np.round(values * levels) / levels
    if rng.random() < 0.2:
        values = values * 80 - 40
    return values.astype(np.float32)


def find_maxima_by_flooding(maxima: np.ndarray, threshold: float, radius: int) -> np.ndarray:
    """A pixel is a maximum if no flood from it, through less than the threshold down, meets a higher seed."""
    if float(maxima.max() - maxima.min()) < threshold:
        return np.zeros(maxima.shape, bool)
    height = np.float32(threshold)
    seed = (maxima - height) - np.float32(2e-6) * np.abs(maxima)
    steps = np.argwhere(disk(radius)) - radius
    found = np.zeros(maxima.shape, bool)
    for start in np.ndindex(maxima.shape):
        stack, seen, is_maximum = [start], {start}, True
        while stack and is_maximum:
            y, x = stack.pop()
            is_maximum = bool(maxima[start] - seed[y, x] >= height)
            for dy, dx in steps:
                near = (y + int(dy), x + int(dx))
                inside = 0 <= near[0] < maxima.shape[0] and 0 <= near[1] < maxima.shape[1]
                if inside and near not in seen and maxima[start] - maxima[near] < height:
                    seen.add(near)
                    stack.append(near)
        found[start] = is_maximum
    return found


@settings(max_examples=25)
@given(maxima=maps(longest=16), threshold=st.sampled_from([0.05, 0.075, 0.1, 0.5]), radius=st.integers(0, 3))
def test_maxima_equal_a_flood_from_every_pixel(maxima, threshold, radius):
    expected = label(find_maxima_by_flooding(maxima, threshold, radius), connectivity=2)
    assert_labels_equal(label_maxima(maxima, threshold, radius), expected)
    assert_labels_equal(native.label_maxima(maxima, threshold, radius), expected)


@settings(max_examples=60)
@given(maxima=maps(), threshold=st.sampled_from([0.05, 0.075, 0.1, 0.5, 2]), radius=st.integers(1, 10))
def test_maxima_equal_scikit_image(maxima, threshold, radius):
    expected = label(h_maxima(maxima, threshold, footprint=disk(radius).astype(np.uint8)), connectivity=2)
    assert_labels_equal(label_maxima(maxima, threshold, radius), expected)
    assert_labels_equal(native.label_maxima(maxima, threshold, radius, threads=2), expected)


@settings(max_examples=60)
@given(pair=pairs(), density=st.sampled_from([0.01, 0.05, 0.3]), threshold=st.sampled_from([-1e9, 0.2, 0.6]))
def test_all_floods_give_the_same_labels(pair, density, threshold):
    surface, noise = pair
    markers = ndimage.label(noise > np.quantile(noise, 1 - density), np.ones((3, 3)))[0].astype(np.int32)
    mask = surface > threshold
    expected = flood_by_heap(-surface, markers, mask)
    assert_labels_equal(flood(-surface, markers, mask), expected)
    assert_labels_equal(native.flood(-surface, markers, mask)[0], expected)
    assert_labels_equal(native.flood(-surface, markers, mask, is_heap_forced=True)[0], expected)


@settings(max_examples=60)
@given(values=maps(), sigma=st.floats(0, 6), threads=st.integers(1, 4))
def test_smoothing_equals_scipy(values, sigma, threads):
    np.testing.assert_array_equal(smooth(values, sigma, threads), ndimage.gaussian_filter(values, sigma))


@pytest.mark.parametrize("first_seed", range(0, 2000, 100))
def test_native_labels_equal_the_references(first_seed):
    """2,000 images of all kinds, each with random options, alternately on 1, 2 and 4 threads."""
    for seed in range(first_seed, first_seed + 100):
        inner_distance, interior, options = draw_case(seed)
        expected = reference.deep_watershed(inner_distance, interior, **options)
        found = deep_watershed(inner_distance, interior, threads=(1, 2, 4)[seed % 3], **options)
        assert np.array_equal(found, expected), f"seed {seed}: {np.count_nonzero(found != expected)} px differ"


@settings(max_examples=60)
@given(labels=maps(), count=st.integers(1, 12))
def test_euler_numbers_equal_scikit_image(labels, count):
    objects = np.round(labels * count).astype(np.int32) % (count + 1)
    found = euler_numbers(objects)
    for number in range(1, int(objects.max()) + 1):
        assert found[number] == euler_number(objects == number, connectivity=2)


def fill_holes_plainly(labels: np.ndarray, threshold: float) -> np.ndarray:
    """The hole rule, one object and one component at a time."""
    filled = labels.copy()
    objects = [(region.label, region.bbox) for region in regionprops(labels) if region.euler_number < 1]
    for number, (y0, x0, y1, x1) in sorted(objects):
        is_object = filled[y0:y1, x0:x1] == number
        others = label(~is_object, connectivity=1)
        for component in range(1, others.max() + 1):
            if (others == component).sum() < threshold:
                filled[y0:y1, x0:x1][others == component] = number
    return filled


@settings(max_examples=60)
@given(values=maps(), count=st.integers(1, 8), threshold=st.integers(1, 60))
def test_holes_equal_the_plain_rule(values, count, threshold):
    labels = np.round(np.abs(values) * count).astype(np.int32) % (count + 1)
    filled = fill_holes_plainly(labels, threshold)
    assert_labels_equal(fill_holes(labels, threshold), filled)
    assert_labels_equal(native.clean(labels, 0, threshold), renumber(filled))


@settings(max_examples=60)
@given(values=maps(), count=st.integers(1, 200), threshold=st.integers(0, 9))
def test_dropping_and_renumbering_keep_order_and_areas(values, count, threshold):
    labels = np.round(np.abs(values) * count).astype(np.int32)
    kept = drop_small_objects(labels, threshold)
    numbers, areas = np.unique(labels[labels > 0], return_counts=True)
    survivors = numbers[areas >= threshold]
    np.testing.assert_array_equal(np.unique(kept[kept > 0]), survivors)
    renumbered = renumber(kept)
    assert_contiguous(renumbered)
    for new, old in enumerate(survivors, start=1):
        np.testing.assert_array_equal(renumbered == new, labels == old)
    assert_labels_equal(renumber(renumbered.astype(np.int32)), renumbered)


@settings(max_examples=60)
@given(
    pair=pairs(longest=48),
    maxima_threshold=st.sampled_from([0.01, 0.075, 0.1]),
    interior_smooth=st.sampled_from([0, 1, 2]),
    radius=st.integers(1, 10),
    sizes=st.tuples(st.integers(0, 30), st.integers(0, 60)),
)
def test_deep_watershed_equals_the_steps_one_by_one(pair, maxima_threshold, interior_smooth, radius, sizes):
    inner_distance, interior = pair
    options = {
        "maxima_threshold": maxima_threshold,
        "interior_smooth": interior_smooth,
        "radius": radius,
        "small_objects_threshold": sizes[0],
        "fill_holes_threshold": sizes[1],
    }
    found = deep_watershed(inner_distance, interior, **options)
    assert_contiguous(found)
    assert_labels_equal(deep_watershed(inner_distance, interior, **options), found)

    smooth = ndimage.gaussian_filter(interior, interior_smooth)
    peaks = h_maxima(inner_distance, maxima_threshold, footprint=disk(radius).astype(np.uint8))
    markers = label(peaks, connectivity=2).astype(np.int32)
    expected = flood_by_heap(-smooth, markers, smooth > np.float32(0.2))
    for number in np.unique(expected):
        if number and (expected == number).sum() < sizes[0]:
            expected[expected == number] = 0
    expected = fill_holes_plainly(expected, sizes[1])
    _, expected = np.unique(np.append(expected, 0), return_inverse=True)
    assert_labels_equal(found, expected[:-1].reshape(found.shape))


@pytest.mark.parametrize("first_seed", range(0, 300, 50))
def test_labels_by_blocks_equal_those_of_the_whole(first_seed):
    for seed in range(first_seed, first_seed + 50):
        inner_distance, interior, options = draw_case(seed, longest=256)
        rng = np.random.default_rng(seed)
        blocks = BlockOptions(int(rng.integers(20, 301)), int(rng.choice([4, 16, 64])), threads=(1, 2, 4)[seed % 3])
        labels = np.zeros(inner_distance.shape, np.uint32)
        report = label_by_blocks(inner_distance, interior, labels, WatershedOptions(**options), blocks)
        expected = deep_watershed(inner_distance, interior, **options)
        assert report.uncertified == ()
        assert np.array_equal(labels, expected), f"seed {seed}: {np.count_nonzero(labels != expected)} px differ"
