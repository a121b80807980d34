"""Preprocessing against scikit-image, and rectangles against the whole, on any image."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from skimage.exposure import equalize_adapthist
from skimage.transform import resize

from cellbatch.geometry.mirror import mirror_indices
from cellbatch.postprocessing.resize import resize_labels
from cellbatch.preprocessing import clahe, preprocess
from cellbatch.preprocessing.clip import nonzero_percentile
from cellbatch.preprocessing.resize import resize_image
from cellbatch.preprocessing.statistics import bin_pixels, compute_statistics, equalize
from cellbatch.spec import PreprocessingOptions, Window
from tests.labels_equal import assert_labels_equal
from tests.reference import clahe as reference
from tests.reference.clip import nonzero_percentile as reference_percentile
from tests.reference.resize import resize_image as reference_resize

KERNELS = st.none() | st.integers(2, 70)
KINDS = ("noise", "counts", "heavy", "sparse", "negative", "gradient")


@st.composite
def images(draw: st.DrawFn, longest: int = 90, channels: int = 2) -> np.ndarray:
    """Images of several kinds, thin ones too."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (height, width, channels)
    image = {
        "noise": lambda: rng.random(shape),
        "counts": lambda: rng.poisson(2, shape),
        "heavy": lambda: rng.lognormal(0, 3, shape),
        "sparse": lambda: rng.random(shape) * (rng.random(shape) < 0.02),
        "negative": lambda: rng.normal(0, 50, shape),
        "gradient": lambda: np.add.outer(np.arange(height), np.arange(width))[..., None] + 1000 * np.arange(channels),
    }[draw(st.sampled_from(KINDS))]()
    return np.asarray(image, np.float32)


@settings(max_examples=40)
@given(image=images(channels=1), kernel_size=KERNELS)
@example(image=np.array([[[0.0], [0.27]]], np.float32), kernel_size=None)
def test_clahe_equals_scikit_image(image, kernel_size):
    channel = image[..., 0]
    found = preprocess(image, percentile=None, clahe_kernel_size=kernel_size)[..., 0]
    if channel.min() == channel.max():
        assert (found == 0).all()
        return
    rescaled = (channel - channel.min()) / (channel.max() - channel.min())
    # DeepCell rescales before; the first step within is the same again, on a range that is 0 … 1 already
    np.testing.assert_array_equal(found, equalize_adapthist(rescaled, kernel_size=kernel_size).astype(np.float32))


@settings(max_examples=40)
@given(image=images(), height=st.integers(1, 120), width=st.integers(1, 120))
def test_resize_equals_scikit_image(image, height, width):
    expected = resize(image, (height, width), order=1, mode="constant", anti_aliasing=True, preserve_range=True)
    np.testing.assert_array_equal(resize_image(image, (height, width)), expected.astype(np.float32))
    np.testing.assert_array_equal(resize_image(image, (height, width)), reference_resize(image, (height, width)))


@settings(max_examples=100)
@given(image=images(longest=200, channels=1), tile=st.tuples(*[st.integers(1, 140)] * 2), data=st.data())
def test_native_steps_equal_the_references(image, tile, data):
    channel = image[..., 0]
    lowest, highest = channel.min(), channel.max()
    if lowest == highest:
        return
    bins = reference.bin_channel(channel, lowest, highest)
    np.testing.assert_array_equal(clahe.bin_channel(channel, lowest, highest), bins, strict=True)
    maps = reference.equalization_maps(bins, tile)
    np.testing.assert_array_equal(clahe.equalization_maps(bins, tile), maps, strict=True)
    y0, x0 = (data.draw(st.integers(0, n - 1)) for n in channel.shape)
    window = Window(y0, data.draw(st.integers(y0 + 1, channel.shape[0])), x0, channel.shape[1])
    expected = reference.interpolate_maps(bins[window.slices], maps, tile, window)
    found = clahe.interpolate_maps(bins[window.slices], maps, tile, window)
    np.testing.assert_array_equal(found, expected, strict=True)


@settings(max_examples=100)
@given(image=images(channels=1), percentile=st.one_of(st.just(99.9), st.floats(0, 100)))
def test_native_percentile_equals_the_references(image, percentile):
    channel = image[..., 0]
    assert nonzero_percentile(channel, percentile) == reference_percentile(channel, percentile)
    assert nonzero_percentile(channel.T[::-1], percentile) == reference_percentile(channel, percentile)


@settings(max_examples=40)
@given(data=st.data(), image=images(longest=150), kernel_size=KERNELS, percentile=st.floats(0, 100))
def test_any_rectangle_equals_the_whole(data, image, kernel_size, percentile):
    statistics = compute_statistics(image, PreprocessingOptions(percentile, kernel_size))
    whole = preprocess(image, percentile=percentile, clahe_kernel_size=kernel_size)
    height, width = image.shape[:2]
    for _ in range(3):
        y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
        window = Window(y0, y1, x0, x1)
        bins = bin_pixels(image[window.slices], statistics)
        np.testing.assert_array_equal(equalize(bins, statistics, window), whole[window.slices], strict=True)


@settings(max_examples=60)
@given(image=images(channels=1), percentile=st.floats(0, 100))
def test_percentile_lies_between_its_ranks_and_grows(image, percentile):
    channel = image[..., 0]
    found = nonzero_percentile(channel, percentile)
    values = np.sort(channel[channel != 0])
    if values.size == 0:
        assert found is None
        return
    rank = int((values.size - 1) * (percentile / 100))
    assert values[rank] <= found <= values[min(rank + 1, values.size - 1)]
    assert nonzero_percentile(channel, 0) <= found <= nonzero_percentile(channel, 100)


@settings(max_examples=60)
@given(size=st.integers(1, 40), start=st.integers(-200, 200), length=st.integers(0, 100))
def test_mirror_equals_a_walk_to_and_fro(size, start, length):
    there_and_back = [*range(size), *range(size - 2, 0, -1)]
    expected = [there_and_back[position % len(there_and_back)] for position in range(start, start + length)]
    assert mirror_indices(start, start + length, size).tolist() == expected


@settings(max_examples=60)
@given(height=st.integers(1, 60), width=st.integers(1, 60), factor=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_label_resize_is_the_identity_at_the_same_size_and_undoes_whole_factors(height, width, factor, seed):
    labels = np.random.default_rng(seed).integers(0, 9, (height, width)).astype(np.uint32)
    assert_labels_equal(resize_labels(labels, (height, width)), labels)
    larger = resize_labels(labels, (height * factor, width * factor))
    assert set(np.unique(larger)) <= set(np.unique(labels))
    assert_labels_equal(resize_labels(larger, (height * factor, width * factor)), larger)
