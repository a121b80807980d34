"""Images to the model's size, labels back."""

import numpy as np
import pytest
from skimage.transform import resize

from cellbatch.postprocessing.resize import CENTRE, CORNER, choose_sampling, resize_labels
from cellbatch.preprocessing.resize import resize_image
from tests.labels_equal import assert_labels_equal


def test_same_size_is_a_float32_copy():
    image = np.arange(24, dtype=np.uint16).reshape(3, 4, 2)
    resized = resize_image(image, (3, 4))
    np.testing.assert_array_equal(resized, image.astype(np.float32), strict=True)
    as_float = image.astype(np.float32)
    assert not np.shares_memory(resize_image(as_float, (3, 4)), as_float)


def test_doubling_mixes_zeros_in_at_the_border_and_keeps_the_range():
    resized = resize_image(np.full((2, 2, 1), 8, np.float32), (4, 4))[..., 0]
    # the corner is 0.75² of 8 with zeros outside, then raised to the image's minimum
    np.testing.assert_array_equal(resized, np.full((4, 4), 8, np.float32))
    with_zero = np.full((2, 2, 2), 8, np.float32)
    with_zero[..., 1] = 0
    resized = resize_image(with_zero, (4, 4))
    assert resized[0, 0, 0] == np.float32(8 * 0.75 * 0.75)
    assert resized[1, 1, 0] == 8
    assert (resized[..., 1] == 0).all()


def test_shrinking_blurs_first():
    image = np.zeros((40, 40, 1), np.float32)
    image[20, 20] = 100
    resized = resize_image(image, (10, 10))[..., 0]
    assert np.count_nonzero(resized) > 4
    assert resized.sum() == pytest.approx(100 / 16, rel=0.2)


def test_the_range_is_that_of_all_channels_together():
    image = np.stack([np.full((6, 6), 5), np.full((6, 6), 9)], axis=-1).astype(np.float32)
    resized = resize_image(image, (9, 9))
    assert resized[0, 0, 0] == 5
    # 9 weighted by (5/6)² at the corner: above the minimum of the other channel, so it stays
    assert resized[0, 0, 1] == pytest.approx(9 * 25 / 36, rel=1e-6)
    assert resized.max() == 9


def test_one_pixel_wide_images_and_strided_input():
    image = np.random.default_rng(0).random((1, 60, 4), np.float32)
    assert resize_image(image, (3, 31)).shape == (3, 31, 4)
    view = image[:, ::2, ::-1]
    view.flags.writeable = False
    np.testing.assert_array_equal(resize_image(view, (2, 17)), resize_image(view.copy(), (2, 17)))


@pytest.mark.parametrize(
    ("image", "error", "match"),
    [
        (np.zeros((4, 4), np.float32), ValueError, r"shape \(Y, X, C\), found shape \(4, 4\)"),
        (np.zeros((4, 0, 1), np.float32), ValueError, "at least one pixel"),
        (np.zeros((4, 4, 1), complex), TypeError, "real numbers, found dtype complex128"),
        (np.array([[["a"]]]), TypeError, "real numbers"),
        (np.full((4, 4, 1), np.nan, np.float32), ValueError, "NaN or infinite"),
        (np.full((4, 4, 1), np.inf), ValueError, "NaN, infinite or larger"),
        (np.full((4, 4, 1), 1e39), ValueError, "NaN, infinite or larger"),
    ],
)
def test_resize_refuses_bad_images(image, error, match):
    with pytest.raises(error, match=match):
        resize_image(image, (2, 2))


def test_resize_refuses_bad_sizes():
    with pytest.raises(ValueError, match="at least 1 px"):
        resize_image(np.zeros((4, 4, 1), np.float32), (0, 2))


def test_labels_read_the_floor_of_the_position():
    labels = np.arange(1, 7, dtype=np.uint32).reshape(2, 3)
    assert_labels_equal(resize_labels(labels, (4, 6)), labels.repeat(2, axis=0).repeat(2, axis=1))
    assert_labels_equal(resize_labels(labels, (1, 2)), np.array([[1, 2]], np.uint32))
    assert resize_labels(labels, (4, 6)).dtype == np.uint32


def test_label_positions_follow_the_exact_order_of_operations():
    sizes = [(n_in, n_out) for n_in in range(1, 90) for n_out in range(1, 90)]
    parted = 0
    for n_in, n_out in sizes:
        labels = np.arange(n_in, dtype=np.uint32)[None, :]
        expected = [min(int(i * (1 / (n_out / n_in))), n_in - 1) for i in range(n_out)]
        assert resize_labels(labels, (1, n_out))[0].tolist() == expected
        parted += expected != [i * n_in // n_out for i in range(n_out)]
    assert parted > 0


def test_labels_under_the_centre_are_those_of_scikit_image():
    rng = np.random.default_rng(3)
    sizes = [(n_in, n_out) for n_in in range(1, 24) for n_out in range(1, 24)]
    parted = 0
    for n_in, n_out in [*sizes, *rng.integers(1, 900, (60, 2)).tolist()]:
        labels = np.arange(1, n_in + 1, dtype=np.uint32)[None, :]
        found = resize_labels(labels, (1, n_out), CENTRE)
        expected = resize(labels, (1, n_out), order=0, mode="constant", preserve_range=True, anti_aliasing=False)
        assert found.tolist() == expected.tolist()
        parted += (found != resize_labels(labels, (1, n_out))).any()
    assert parted > 0
    assert (choose_sampling(1), choose_sampling(2)) == (CORNER, CENTRE)


@pytest.mark.parametrize(
    ("labels", "shape", "error", "match"),
    [
        (np.zeros((3, 3)), (2, 2), TypeError, "integer labels"),
        (np.zeros((3, 3), bool), (2, 2), TypeError, "integer labels"),
        (np.zeros((3, 3, 1), np.uint32), (2, 2), ValueError, "expected labels of shape"),
        (np.zeros((3, 3), np.uint32), (2, 0), ValueError, "at least 1 px"),
    ],
)
def test_resize_labels_refuses(labels, shape, error, match):
    with pytest.raises(error, match=match):
        resize_labels(labels, shape)
