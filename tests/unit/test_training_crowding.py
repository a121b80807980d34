"""Copies of real nuclei laid against others."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from crowding import KEPT_SHARE, crowd

BACKGROUND = 10.0


def draw_discs(side: int, places: list[tuple[int, int]], radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Even discs on an even background."""
    y, x = np.mgrid[:side, :side]
    image, nuclei = np.full((side, side), BACKGROUND, np.float32), np.zeros((side, side), np.uint32)
    for number, (row, column) in enumerate(places, start=1):
        is_inside = (y - row) ** 2 + (x - column) ** 2 <= radius**2
        image[is_inside], nuclei[is_inside] = 50.0 + number, number
    return image, nuclei


@pytest.mark.parametrize("seed", range(8))
def test_copies_touch_others_and_leave_most_of_each(seed: int) -> None:
    image, nuclei = draw_discs(160, [(30, 40), (80, 110), (125, 40)], 10)
    before = image.copy(), nuclei.copy()
    crowded, labels = crowd(image, nuclei, np.random.default_rng(seed))
    assert np.array_equal(image, before[0])
    assert np.array_equal(nuclei, before[1])
    copies = [number for number in np.unique(labels) if number > 3]
    assert copies
    for number in (1, 2, 3):
        # pieces that were cut off are dropped, too
        assert (labels == number).sum() >= 0.8 * KEPT_SHARE * (nuclei == number).sum()
    for number in copies:
        near = np.zeros_like(labels, bool)
        for row, column in np.argwhere(labels == number):
            near[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5] = True
        assert np.unique(labels[near & (labels != number) & (labels != 0)]).size
        assert np.median(crowded[labels == number]) > BACKGROUND + 10
    far = (labels == 0) & (nuclei == 0) & (crowded != image)
    # light of a copy fades out within two pixels of it
    assert far.sum() < 0.5 * sum((labels == number).sum() for number in copies)
    assert crowded.min() == BACKGROUND


def test_the_same_random_numbers_give_the_same_picture() -> None:
    image, nuclei = draw_discs(120, [(30, 40), (80, 80)], 9)
    one, other = (crowd(image, nuclei, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("places", [[], [(0, 0)], [(20, 20), (20, 42)]], ids=["empty", "cut", "touching"])
def test_pictures_without_a_whole_nucleus_stay_as_they_are(places: list[tuple[int, int]]) -> None:
    image, nuclei = draw_discs(64, places, 10)
    crowded, labels = crowd(image, nuclei, np.random.default_rng(1))
    assert np.array_equal(crowded, image)
    assert np.array_equal(labels, nuclei)
