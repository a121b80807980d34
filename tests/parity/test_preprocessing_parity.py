"""Resize, percentile and CLAHE against DeepCell's own arrays: every float equal."""

import numpy as np
import pytest

from cellbatch.geometry.scale import model_shape
from cellbatch.preprocessing import preprocess
from cellbatch.preprocessing.resize import resize_image
from cellbatch.preprocessing.statistics import PreprocessingStatistics, bin_pixels, compute_statistics, equalize
from cellbatch.spec import PreprocessingOptions, Window

MODEL_MPP = 0.5


def assert_floats_equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected, strict=True)


def test_golden_image_resizes_to_the_model(golden_case):
    image = golden_case["image"]
    shape = model_shape(image.shape[:2], float(golden_case["image_mpp"]), MODEL_MPP)
    assert_floats_equal(resize_image(image, shape), golden_case["resized"])


def test_golden_image_preprocesses(golden_case):
    assert_floats_equal(preprocess(golden_case["resized"]), golden_case["preprocessed"])


def test_hard_image_resizes_to_the_model(resize_case):
    image = resize_case["image"]
    shape = model_shape(image.shape[:2], float(resize_case["image_mpp"]), float(resize_case["model_mpp"]))
    assert_floats_equal(resize_image(image, shape), resize_case["resized"])


def test_hard_image_preprocesses(preprocess_case):
    assert_floats_equal(preprocess(preprocess_case["image"]), preprocess_case["preprocessed"])


@pytest.mark.parametrize("step", [(64, 200), (97, 61)])
def test_rectangles_from_stored_bytes_equal_the_whole(preprocess_case, step):
    image, expected = preprocess_case["image"], preprocess_case["preprocessed"]
    statistics = compute_statistics(image, PreprocessingOptions())
    statistics = PreprocessingStatistics.from_arrays(statistics.to_arrays())
    height, width = image.shape[:2]
    found = np.full_like(expected, np.nan)
    for y0 in range(0, height, step[0]):
        for x0 in range(0, width, step[1]):
            window = Window(y0, min(y0 + step[0], height), x0, min(x0 + step[1], width))
            found[window.slices] = equalize(bin_pixels(image[window.slices], statistics), statistics, window)
    assert_floats_equal(found, expected)
