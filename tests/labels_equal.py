"""Equality of label images, with a message that says where they part."""

import numpy as np


def assert_labels_equal(found: np.ndarray, expected: np.ndarray, allowed_px: int = 0) -> None:
    """Fail unless both are integer label images of the same shape with the same number in every pixel."""
    for name, labels in (("found", found), ("expected", expected)):
        assert labels.dtype.kind in "iu", f"{name} labels have dtype {labels.dtype}"
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    differing = np.argwhere(found != expected)
    if len(differing) > allowed_px:
        where = tuple(int(n) for n in differing[0])
        raise AssertionError(
            f"{len(differing)} of {found.size} px differ, the first at {where}: {found[where]}, expected "
            f"{expected[where]}; {len(np.unique(found))} and {len(np.unique(expected))} different numbers"
        )


def assert_contiguous(labels: np.ndarray) -> None:
    """Fail unless the labels are uint32 and use every number 1 … n."""
    assert labels.dtype == np.uint32
    present = np.unique(labels)
    present = present[present > 0]
    np.testing.assert_array_equal(present, np.arange(1, len(present) + 1))
