"""F1 of label images: counts by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from scores import Matches, count_matches, count_splits_and_merges, f1_at_iou


def _squares(*corners: tuple[int, int], size: int = 10) -> np.ndarray:
    labels = np.zeros((40, 40), np.uint32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + size, x : x + size] = number
    return labels


def test_same_objects_under_other_numbers_are_perfect() -> None:
    truth = _squares((0, 0), (20, 20))
    labels = np.where(truth == 1, 7, np.where(truth == 2, 3, 0))
    assert f1_at_iou(truth, labels) == 1.0
    assert count_matches(truth, labels, 0.95) == Matches(2, 0, 0)


def test_a_split_a_miss_and_an_invention() -> None:
    truth = _squares((0, 0), (20, 0), (20, 20))
    labels = _squares((20, 0), (5, 25))
    labels[0:5, 0:10] = 11
    labels[5:10, 0:10] = 12
    assert count_matches(truth, labels) == Matches(1, 3, 2)
    assert f1_at_iou(truth, labels) == pytest.approx(2 / 7)


def test_a_match_must_exceed_the_threshold() -> None:
    truth, half = _squares((0, 0)), _squares((0, 0))
    half[5:10, 0:10] = 0
    assert count_matches(truth, half, 0.5).true_positive == 0
    half[5, 0] = 1
    assert count_matches(truth, half, 0.5).true_positive == 1


def test_empty_images() -> None:
    empty = np.zeros((8, 9), np.uint32)
    assert f1_at_iou(empty, empty) == 1.0
    assert f1_at_iou(empty, np.ones((8, 9), np.uint32)) == 0.0
    assert f1_at_iou(np.ones((8, 9), np.uint32), np.ones((8, 9), np.uint32)) == 1.0


@pytest.mark.parametrize(("shape", "iou", "message"), [((3, 4), 0.5, "differ in shape"), ((3, 3), 0.4, "not unique")])
def test_refuses_what_has_no_answer(shape: tuple[int, int], iou: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count_matches(np.zeros((3, 3), int), np.zeros(shape, int), iou)


def test_splits_and_merges_by_hand() -> None:
    truth = _squares((0, 0), (20, 0), (20, 20))
    labels = truth.copy()
    labels[0:5, 0:10] = 11
    assert count_splits_and_merges(truth, labels) == (1, 0)
    assert count_splits_and_merges(labels, truth) == (0, 1)
    assert count_splits_and_merges(truth, truth) == (0, 0)
    assert count_splits_and_merges(truth, np.zeros_like(truth)) == (0, 0)
