"""Answers the network is trained on."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from targets import BACKGROUND, BOUNDARY, INTERIOR, inner_distance, pixel_classes, touching_pixels


def test_inner_distance_is_one_at_the_centre_and_falls_with_distance_over_root_area() -> None:
    labels = np.zeros((21, 21), np.uint32)
    labels[5:16, 5:16] = 4
    distance = inner_distance(labels)
    assert distance.dtype == np.float32
    assert distance[10, 10] == 1.0
    assert distance[10, 15] == pytest.approx(1 / (1 + 5 / 11))
    assert distance[0, 0] == 0.0
    assert inner_distance(labels, beta=2.0)[10, 15] == pytest.approx(1 / (1 + 10 / 11))


def test_inner_distance_has_the_same_rim_for_every_size() -> None:
    y, x = np.ogrid[:80, :80]
    rims = [inner_distance((np.hypot(y - 40, x - 40) <= r).astype(np.uint32))[40, 40 + r] for r in (8, 16, 32)]
    assert rims == pytest.approx([1 / (1 + 1 / np.sqrt(np.pi))] * 3, abs=0.01)


def test_centre_of_a_ring_lies_on_the_ring() -> None:
    labels = np.ones((9, 9), np.uint32)
    labels[2:7, 2:7] = 0
    distance = inner_distance(labels)
    assert distance.max() == 1.0
    assert distance[4, 4] == 0.0


def test_pixel_classes_of_touching_objects() -> None:
    labels = np.zeros((7, 12), np.uint32)
    labels[1:6, 1:6] = 1
    labels[1:6, 6:11] = 2
    classes = pixel_classes(labels)
    assert classes[0, 0] == BACKGROUND
    assert (classes[1:6, 5:7] == BOUNDARY).all()
    assert (classes[2:5, 2:5] == INTERIOR).all()
    assert np.count_nonzero(classes == INTERIOR) == 18


def test_the_image_border_is_no_boundary() -> None:
    assert (pixel_classes(np.ones((5, 5), np.uint32)) == INTERIOR).all()


def test_touching_pixels_lie_where_two_objects_are_within_two_px() -> None:
    labels = np.zeros((5, 20), np.uint32)
    labels[:, 2:6], labels[:, 6:10], labels[:, 15:18] = 3, 1, 2
    touching = touching_pixels(labels)
    assert np.array_equal(np.flatnonzero(touching[2]), [4, 5, 6, 7])
    assert not touching_pixels(np.minimum(labels, 1)).any()
