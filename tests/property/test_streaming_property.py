"""Images and maps in pieces against the same in one piece, bit for bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cellbatch._native.gaussian import blur
from cellbatch.geometry.tiles import TileGrid
from cellbatch.inference.blending import Blender, blend_tiles
from cellbatch.preprocessing.resize import resize_image, resize_window
from cellbatch.preprocessing.statistics import bin_pixels, compute_statistics
from cellbatch.preprocessing.streaming import stream_statistics
from cellbatch.spec import PreprocessingOptions, Window
from tests.property.test_preprocessing_property import images
from tests.property.test_tiles_property import grids


@settings(max_examples=60)
@given(
    image=images(),
    percentile=st.one_of(st.none(), st.floats(0, 100)),
    kernel_size=st.none() | st.integers(1, 64),
    strip_rows=st.integers(1, 100),
    is_stored=st.booleans(),
)
def test_statistics_from_strips_are_those_of_the_whole(image, percentile, kernel_size, strip_rows, is_stored):
    options = PreprocessingOptions(percentile, kernel_size)
    expected = compute_statistics(image, options)
    store = np.full(image.shape, 255, np.uint8) if is_stored else None
    found = stream_statistics(
        lambda y0, y1: image[y0:y1], image.shape[:2], image.shape[2], options, bins=store, strip_rows=strip_rows
    )
    found_arrays = found.to_arrays()
    for name, values in expected.to_arrays().items():
        np.testing.assert_array_equal(found_arrays[name], values, strict=True, err_msg=name)
    if store is not None:
        np.testing.assert_array_equal(store, bin_pixels(image, expected))


@settings(max_examples=80)
@given(image=images(longest=70), height=st.integers(1, 90), width=st.integers(1, 90), data=st.data())
def test_a_resized_rectangle_is_part_of_the_resized_whole(image, height, width, data):
    expected = resize_image(image, (height, width))
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(y0, data.draw(st.integers(y0 + 1, height)), x0, data.draw(st.integers(x0 + 1, width)))
    found = resize_window(
        lambda source: image[source.slices],
        image.shape[:2],
        (height, width),
        window,
        (image.min(), image.max()),
    )
    np.testing.assert_array_equal(found, expected[window.slices], strict=True)


@settings(max_examples=80)
@given(
    image=images(),
    sigmas=st.tuples(st.sampled_from([0, 0.3, 1, 2.7, 12]), st.sampled_from([0, 0.3, 1, 2.7, 12])),
    is_wide=st.booleans(),
)
def test_blur_equals_scipy(image, sigmas, is_wide):
    if is_wide:
        image = np.ascontiguousarray(np.repeat(image, 9, axis=1))
    expected = ndimage.gaussian_filter(image, (*sigmas, 0), mode="constant", cval=0.0)
    np.testing.assert_array_equal(blur(image, sigmas), expected, strict=True)


@settings(max_examples=60)
@given(grid=grids(), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_rows_of_tiles_blend_to_the_bits_of_the_whole(grid: TileGrid, seed, data):
    rows, columns = grid.counts
    heads = np.random.default_rng(seed).normal(0, 1, (len(grid), *grid.tile_shape, 2)).astype(np.float32)
    expected = blend_tiles(heads, grid)
    first = data.draw(st.integers(0, rows - 1))
    last = data.draw(st.integers(first + 1, rows))
    blender = Blender(grid, 2, (first, last))
    found = [one for one in map(blender.add, heads[first * columns : last * columns]) if one]
    axis = grid.axes[0]
    y0 = max((first - 1) * axis.stride + axis.tile - axis.before, 0) if first else 0
    y1 = min(axis.size if last == rows else last * axis.stride - axis.before, axis.size)
    times = np.zeros(grid.shape, int)
    for one in found:
        times[one.window.slices] += 1
        np.testing.assert_array_equal(one.pixels, expected[one.window.slices], strict=True)
    assert (times[y0 : max(y1, y0)] == 1).all()
    assert times.sum() == max(y1 - y0, 0) * grid.shape[1]
