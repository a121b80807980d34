"""Labels against deepcell-toolbox's own: every pixel equal."""

import pytest

from cellbatch.postprocessing import deep_watershed
from cellbatch.postprocessing.resize import resize_labels
from tests.labels_equal import assert_contiguous, assert_labels_equal

MAXIMA_THRESHOLD = {"whole_cell": 0.075, "nuclear": 0.1}
OPTIONS = (
    "maxima_threshold",
    "interior_threshold",
    "maxima_smooth",
    "interior_smooth",
    "small_objects_threshold",
    "fill_holes_threshold",
)


@pytest.mark.parametrize("compartment", MAXIMA_THRESHOLD)
def test_golden_maps_become_the_references_labels(golden_case, compartment):
    labels = deep_watershed(
        golden_case[f"{compartment}_inner_distance"],
        golden_case[f"{compartment}_interior"],
        maxima_threshold=MAXIMA_THRESHOLD[compartment],
    )
    assert_contiguous(labels)
    assert_labels_equal(labels, golden_case[f"{compartment}_labels_model"])
    expected = golden_case[f"{compartment}_labels"]
    assert_labels_equal(resize_labels(labels, expected.shape), expected)


def test_hard_maps_become_the_references_labels(watershed_case):
    options = {name: float(watershed_case[name]) for name in OPTIONS}
    labels = deep_watershed(
        watershed_case["inner_distance"], watershed_case["interior"], radius=int(watershed_case["radius"]), **options
    )
    assert_labels_equal(labels, watershed_case["labels"])


def test_hard_labels_return_to_image_size(resize_case):
    expected = resize_case["labels"]
    assert_labels_equal(resize_labels(resize_case["labels_model"], expected.shape), expected)
