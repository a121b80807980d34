"""The percentile that does not depend on NumPy."""

import numpy as np
import pytest

from cellbatch.preprocessing.clip import nonzero_percentile


def test_zeros_do_not_count_and_negatives_do():
    channel = np.array([[0, -4, 0], [0, 2, 8]], np.float32)
    assert nonzero_percentile(channel, 0) == -4
    assert nonzero_percentile(channel, 50) == 2
    assert nonzero_percentile(channel, 100) == 8


def test_blank_channel_has_none_and_a_single_pixel_is_its_own():
    assert nonzero_percentile(np.zeros((4, 4), np.float32), 99.9) is None
    channel = np.zeros((4, 4), np.float32)
    channel[1, 2] = 7
    assert nonzero_percentile(channel, 99.9) == 7


@pytest.mark.parametrize("percentile", [0, 0.1, 12.5, 50, 75, 99.9, 100])
def test_value_is_the_interpolated_rank(percentile):
    values = np.random.default_rng(0).permutation(np.geomspace(1e-3, 1e4, 997)).astype(np.float32)
    found = nonzero_percentile(values.reshape(1, -1), percentile)
    assert isinstance(found, np.float32)
    position = 996 * percentile / 100
    expected = np.interp(position, np.arange(997), np.sort(values).astype(float))
    assert float(found) == pytest.approx(expected, rel=3e-7)


def test_interpolation_starts_at_the_nearer_rank():
    channel = np.array([[1, np.float32(1e8)]], np.float32)
    # the difference is rounded to float32 (1e8), so which end it is added to shows
    assert nonzero_percentile(channel, 25) == np.float32(1 + 0.25e8)
    assert nonzero_percentile(channel, 75) == np.float32(1e8 - 0.25e8)


@pytest.mark.parametrize("percentile", [-1, 100.5, float("nan")])
def test_percentile_outside_its_range_is_refused(percentile):
    with pytest.raises(ValueError, match="percentile must lie in 0 … 100"):
        nonzero_percentile(np.ones((2, 2), np.float32), percentile)
