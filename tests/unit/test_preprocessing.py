"""Preprocessing as a whole, and its split into statistics, bytes and rectangles."""

import numpy as np
import pytest

from cellbatch.preprocessing import preprocess
from cellbatch.preprocessing.statistics import PreprocessingStatistics, bin_pixels, compute_statistics, equalize
from cellbatch.spec import PreprocessingOptions, Window


@pytest.fixture
def image() -> np.ndarray:
    """Two channels of heavy-tailed counts."""
    rng = np.random.default_rng(0)
    return rng.lognormal(2, 1.5, (150, 190, 2)).astype(np.float32)


def test_result_is_float32_from_0_to_1(image):
    result = preprocess(image)
    assert result.dtype == np.float32
    assert result.shape == image.shape
    assert (result.min(axis=(0, 1)) == 0).all()
    assert (result.max(axis=(0, 1)) == 1).all()


def test_blank_and_constant_channels_become_zeros(image):
    image[..., 0] = 0
    assert (preprocess(image)[..., 0] == 0).all()
    image[..., 0] = -7.5
    result = preprocess(image)
    assert (result[..., 0] == 0).all()
    np.testing.assert_array_equal(result[..., 1:], preprocess(image[..., 1:]))


@pytest.mark.parametrize("image", [[[0, 0.27]], [[0.1], [0.4]], [[0, 0.3], [0.1, 0.7]], [[0.7, 0.0]]])
def test_a_tiny_image_that_equalization_makes_flat_is_clipped(image):
    """Values of scikit-image 0.25.2's equalize_adapthist: its last step clips an image of one grey level to 0 … 1."""
    expected = [[1, 0]] if image == [[0.7, 0.0]] else np.ones(np.shape(image))
    channels = np.stack([np.zeros(np.shape(image)), image], axis=-1).astype(np.float32)
    options = PreprocessingOptions(None, None)
    statistics = compute_statistics(channels, options)
    whole = Window(0, channels.shape[0], 0, channels.shape[1])
    for found in (
        preprocess(channels, percentile=None, clahe_kernel_size=None),
        equalize(bin_pixels(channels, statistics), statistics, whole),
    ):
        np.testing.assert_array_equal(found[..., 1], expected)
        assert not found[..., 0].any()


def test_percentile_none_keeps_bright_spots(image):
    image[3, 4, 0] = 1e6
    clipped, whole = preprocess(image), preprocess(image, percentile=None)
    assert compute_statistics(image, PreprocessingOptions(percentile=None)).channels[0].ceiling is None
    assert compute_statistics(image, PreprocessingOptions()).channels[0].ceiling < 1e4
    assert not np.array_equal(clipped[..., 0], whole[..., 0])


def test_channels_do_not_see_each_other(image):
    both = preprocess(image)
    for channel in range(2):
        np.testing.assert_array_equal(preprocess(image[..., [channel]])[..., 0], both[..., channel])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 2), (300, 1, 1), (2, 7, 3)])
def test_thin_images(shape):
    image = np.random.default_rng(1).random(shape, np.float32)
    result = preprocess(image)
    assert result.shape == shape
    assert np.isfinite(result).all()


def test_layout_dtype_and_flags_of_the_input_do_not_matter(image):
    expected = preprocess(image)
    view = np.asfortranarray(image)
    view.flags.writeable = False
    np.testing.assert_array_equal(preprocess(view), expected)
    np.testing.assert_array_equal(preprocess(np.repeat(image, 2, axis=1)[:, ::2]), expected)
    counts = np.minimum(image, 60000).astype(np.uint16)
    np.testing.assert_array_equal(preprocess(counts), preprocess(counts.astype(np.float32)))
    np.testing.assert_array_equal(preprocess(counts.astype(">u2")), preprocess(counts))


def test_input_is_left_as_it_was(image):
    before = image.copy()
    preprocess(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (np.zeros((4, 4), np.float32), ValueError, "found shape"),
        (np.full((4, 4, 1), np.nan, np.float32), ValueError, "NaN or infinite"),
        (np.array([[[-3e38], [3e38]]], np.float32), ValueError, "wider than float32"),
        (np.zeros((4, 4, 1), "M8[s]"), TypeError, "real numbers"),
    ],
)
def test_bad_images_are_refused(bad, error, match):
    with pytest.raises(error, match=match):
        preprocess(bad)


@pytest.mark.parametrize(
    ("kernel_size", "error"), [(0, ValueError), (-3, ValueError), (12.5, TypeError), (True, TypeError)]
)
def test_bad_kernel_sizes_are_refused(image, kernel_size, error):
    with pytest.raises(error, match="clahe_kernel_size"):
        preprocess(image, clahe_kernel_size=kernel_size)


def test_statistics_survive_storage(image):
    image[..., 1] = 0
    statistics = compute_statistics(image, PreprocessingOptions())
    arrays = statistics.to_arrays()
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "iuf" for array in arrays.values())
    restored = PreprocessingStatistics.from_arrays(arrays)
    assert (restored.shape, restored.tile) == (statistics.shape, statistics.tile)
    assert restored.channels[1].ceiling is None
    assert restored.channels[1].is_constant
    window = Window(0, 150, 0, 190)
    bins = bin_pixels(image, restored)
    np.testing.assert_array_equal(equalize(bins, restored, window), preprocess(image))
    with pytest.raises(ValueError, match="version 99"):
        PreprocessingStatistics.from_arrays({**arrays, "version": np.array(99)})


def test_bins_are_one_byte_per_pixel_and_channel(image):
    bins = bin_pixels(image, compute_statistics(image, PreprocessingOptions()))
    assert bins.dtype == np.uint8
    assert bins.shape == image.shape
    assert bins.max() == 252


def test_rectangles_are_checked_against_the_statistics(image):
    statistics = compute_statistics(image, PreprocessingOptions())
    bins = bin_pixels(image, statistics)
    with pytest.raises(ValueError, match="expected 2 channels, found 1"):
        bin_pixels(image[..., :1], statistics)
    with pytest.raises(ValueError, match="expected 2 channels, found 1"):
        equalize(bins[..., :1], statistics, Window(0, 150, 0, 190))
    with pytest.raises(ValueError, match=r"expected bins of shape .*\(\*\(10, 10\), C\)"):
        equalize(bins, statistics, Window(0, 10, 0, 10))
    with pytest.raises(ValueError, match="leaves the image of 150x190 px"):
        equalize(bins[:10, :10], statistics, Window(145, 155, 0, 10))
    with pytest.raises(TypeError, match="dtype uint8, found float32"):
        equalize(image, statistics, Window(0, 150, 0, 190))
    with pytest.raises(ValueError, match="do not belong"):
        bin_pixels(image - 1000, statistics)
