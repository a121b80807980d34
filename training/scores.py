"""How well labels match the truth; NumPy and SciPy only.

References
----------
Counting matches at an IoU threshold: Caicedo et al. (2019), Nature Methods 16, 1247-1253,
doi:10.1038/s41592-019-0612-7.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse


class Matches(NamedTuple):
    """Objects found (``true_positive``), invented (``false_positive``) and missed (``false_negative``)."""

    true_positive: int
    false_positive: int
    false_negative: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there is nothing to find and nothing was found."""
        total = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / total if total else 1.0


def count_matches(truth: ArrayLike, labels: ArrayLike, iou: float = 0.5) -> Matches:
    """Count objects of two label images that cover each other.

    Parameters
    ----------
    truth, labels : (Y, X) of integers
        Objects with any positive numbers, background 0.
    iou : float
        Objects match if intersection over union exceeds this; at 0.5 or more each has at most one partner.

    Returns
    -------
    Matches
        The counts.

    Raises
    ------
    ValueError
        If shapes differ, or ``iou`` is outside 0.5..1.
    """
    if not 0.5 <= iou < 1:
        raise ValueError(f"iou must be in 0.5..1, found {iou}: below 0.5 matches are not unique")
    overlap, area_truth, area_found = _overlaps(truth, labels)
    union = area_truth[overlap.row] + area_found[overlap.col] - overlap.data
    matched = int(np.count_nonzero(overlap.data > iou * union))
    return Matches(matched, len(area_found) - matched, len(area_truth) - matched)


def count_splits_and_merges(truth: ArrayLike, labels: ArrayLike) -> tuple[int, int]:
    """Count objects that fell apart, and objects that swallowed others.

    Parameters
    ----------
    truth, labels : (Y, X) of integers
        Objects with any positive numbers, background 0.

    Returns
    -------
    splits : int
        Objects of the truth in which two or more found objects lie with at least half of their area.
    merges : int
        Found objects in which two or more objects of the truth lie with at least half of theirs.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    overlap, area_truth, area_found = _overlaps(truth, labels)
    owners = overlap.row[2 * overlap.data >= area_found[overlap.col]]
    eaters = overlap.col[2 * overlap.data >= area_truth[overlap.row]]
    splits, merges = (int(np.count_nonzero(np.bincount(one, minlength=1) > 1)) for one in (owners, eaters))
    return splits, merges


def _overlaps(truth: ArrayLike, labels: ArrayLike) -> tuple[Any, NDArray[np.int64], NDArray[np.int64]]:
    """Shared pixels of each pair of objects as a sparse matrix, and the areas of both."""
    a, b = np.asarray(truth), np.asarray(labels)
    if a.shape != b.shape:
        raise ValueError(f"truth {a.shape} and labels {b.shape} differ in shape")
    names_a, a = np.unique(np.append(a.ravel(), 0), return_inverse=True)
    names_b, b = np.unique(np.append(b.ravel(), 0), return_inverse=True)
    # both end with an added background pixel, so that row and column 0 exist
    shared = sparse.coo_matrix((np.ones(len(a), np.int64), (a, b)), (len(names_a), len(names_b))).tocsr()
    area_a, area_b = (np.asarray(shared.sum(axis=axis)).ravel()[1:] for axis in (1, 0))
    return shared[1:, 1:].tocoo(), area_a, area_b


def f1_at_iou(truth: ArrayLike, labels: ArrayLike, iou: float = 0.5) -> float:
    """F1 score of objects matched at an intersection over union above ``iou``.

    Parameters
    ----------
    truth, labels : (Y, X) of integers
        Objects, background 0.
    iou : float
        Threshold in 0.5..1.

    Returns
    -------
    float
        0..1; 1 where both are empty.
    """
    return count_matches(truth, labels, iou).f1
