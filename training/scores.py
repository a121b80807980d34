"""How well labels match the truth; NumPy and SciPy only.

References
----------
Counting matches at an IoU threshold: Caicedo et al. (2019), Nature Methods 16, 1247-1253,
doi:10.1038/s41592-019-0612-7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
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
    a, b = np.asarray(truth), np.asarray(labels)
    if a.shape != b.shape:
        raise ValueError(f"truth {a.shape} and labels {b.shape} differ in shape")
    if not 0.5 <= iou < 1:
        raise ValueError(f"iou must be in 0.5..1, found {iou}: below 0.5 matches are not unique")
    names_a, a = np.unique(np.append(a.ravel(), 0), return_inverse=True)
    names_b, b = np.unique(np.append(b.ravel(), 0), return_inverse=True)
    # both end with an added background pixel, so that row and column 0 exist
    shared = sparse.coo_matrix((np.ones(len(a), np.int64), (a, b)), (len(names_a), len(names_b))).tocsr()
    area_a = np.asarray(shared.sum(axis=1)).ravel()
    area_b = np.asarray(shared.sum(axis=0)).ravel()
    overlap = shared[1:, 1:].tocoo()
    union = area_a[1:][overlap.row] + area_b[1:][overlap.col] - overlap.data
    matched = int(np.count_nonzero(overlap.data > iou * union))
    return Matches(matched, len(names_b) - 1 - matched, len(names_a) - 1 - matched)


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
