"""Images of one channel return DeepCell's way of resizing them, whole and by rectangles."""

import math
from fractions import Fraction

import numpy as np
import pytest

from cellbatch.preprocessing.resize import resize_image, resize_window
from cellbatch.preprocessing.resize_single import _fused, choose_resize, resize_input, resize_single_window
from cellbatch.spec import Window


def mix(a: float, b: float, weight: np.float32) -> np.float32:
    """One mixture with exact fractions, rounded to float32 once."""
    exact = Fraction(float(np.float32(b) - np.float32(a))) * Fraction(float(weight)) + Fraction(float(a))
    near = np.float32(float(exact))
    candidates = sorted({near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))})
    # nearest, and the even one of two that are equally near
    return min(candidates, key=lambda value: (abs(Fraction(float(value)) - exact), value.view(np.int32) & 1))


def resize_slowly(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixel by pixel."""

    def place(i: int, n_in: int, n_out: int) -> tuple[int, int, np.float32]:
        position = (i + 0.5) * (n_in / n_out) - 0.5
        first = math.floor(position)
        if first < 0 or first >= n_in - 1:
            first = min(max(first, 0), n_in - 1)
            return first, first, np.float32(0)
        return first, first + 1, np.float32(position - first)

    result = np.empty(shape, np.float32)
    for y in range(shape[0]):
        upper, lower, down = place(y, image.shape[0], shape[0])
        for x in range(shape[1]):
            left, right, across = place(x, image.shape[1], shape[1])
            above, below = (mix(image[row, left], image[row, right], across) for row in (upper, lower))
            result[y, x] = mix(above, below, down)
    return result


@pytest.mark.parametrize("shape", [(7, 9), (23, 31), (12, 14), (1, 40), (5, 5)])
def test_every_pixel_is_the_fused_mixture(shape):
    image = np.random.default_rng(5).normal(100, 1000, (12, 17)).astype(np.float32)
    found = resize_input(image[..., None], shape)
    assert found.shape == (*shape, 1)
    np.testing.assert_array_equal(found[..., 0], resize_slowly(image, shape))


def test_rectangles_are_those_of_the_whole():
    image = np.random.default_rng(6).random((40, 50, 1), np.float32)
    shape = (61, 33)
    whole = resize_input(image, shape)
    for window in (Window(0, 61, 0, 33), Window(0, 5, 3, 20), Window(17, 44, 30, 33), Window(60, 61, 0, 1)):
        read = choose_resize(1)(lambda part: image[part.slices], (40, 50), shape, window, (0, 1))
        np.testing.assert_array_equal(read, whole[window.slices])


def test_several_channels_are_resized_with_a_blur():
    image = np.random.default_rng(7).random((40, 50, 2), np.float32)
    np.testing.assert_array_equal(resize_input(image, (20, 25)), resize_image(image, (20, 25)))
    assert choose_resize(2) is resize_window
    assert choose_resize(1) is resize_single_window
    assert (resize_input(image[..., :1], (20, 25)) != resize_image(image[..., :1], (20, 25))).any()


def test_the_same_size_is_a_copy():
    image = np.random.default_rng(7).random((4, 5, 1), np.float32)
    found = resize_input(image, (4, 5))
    np.testing.assert_array_equal(found, image)
    assert not np.shares_memory(found, image)


def test_product_and_sum_are_rounded_once():
    # 1 + 2**-24 + tiny: rounded twice it would fall back to 1
    one = np.float32(1)
    x, y = np.float32([1 + 2**-12]), np.float32([2**-24 * (1 + 2**-12)])
    assert _fused(x, y, np.float32([1]))[0] == np.nextafter(one, np.float32(2))
    assert _fused(-x, y, np.float32([-1]))[0] == -np.nextafter(one, np.float32(2))
