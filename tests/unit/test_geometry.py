"""Sizes at a model's pixel size, and mirrored axes."""

import math

import numpy as np
import pytest

from cellbatch.geometry.mirror import mirror_indices
from cellbatch.geometry.scale import model_shape


@pytest.mark.parametrize(
    ("shape", "image_mpp", "model_mpp", "expected"),
    [
        ((512, 512), 0.390625, 0.5, (400, 400)),
        ((102, 148), 0.499, 0.5, (101, 147)),
        ((39, 115), 0.65, 0.5, (50, 149)),
        ((100, 30), 0.5, 0.5, (100, 30)),
        # 0.6 / 0.2 is 2.9999999999999996 in double: the quotient comes first and is not rounded
        ((10, 100), 0.6, 0.2, (29, 299)),
    ],
)
def test_model_shape_truncates_after_the_quotient(shape, image_mpp, model_mpp, expected):
    assert model_shape(shape, image_mpp, model_mpp) == expected


@pytest.mark.parametrize("mpp", [0, -0.5, math.nan, math.inf])
def test_model_shape_refuses_impossible_pixel_sizes(mpp):
    with pytest.raises(ValueError, match="image_mpp must be a positive number"):
        model_shape((10, 10), mpp, 0.5)
    with pytest.raises(ValueError, match="model_mpp must be a positive number"):
        model_shape((10, 10), 0.5, mpp)


def test_model_shape_refuses_an_image_that_vanishes():
    with pytest.raises(ValueError, match="no pixel left"):
        model_shape((100, 3), 0.1, 0.5)


@pytest.mark.parametrize("size", [2, 3, 7, 64])
def test_mirror_equals_numpy_within_one_reflection(size):
    reach = size - 1
    expected = np.pad(np.arange(size), reach, mode="reflect")
    np.testing.assert_array_equal(mirror_indices(-reach, size + reach, size), expected)


def test_mirror_is_periodic_and_knows_a_single_pixel():
    assert mirror_indices(-9, 9, 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert mirror_indices(-2, 3, 1).tolist() == [0] * 5
    with pytest.raises(ValueError, match="nothing to reflect"):
        mirror_indices(0, 1, 0)
