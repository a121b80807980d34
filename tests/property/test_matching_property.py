"""Nuclei and their cells, against the rule spelled out nucleus by nucleus."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellbatch.geometry.blocks import BlockGrid
from cellbatch.postprocessing.matching import match_nuclei
from cellbatch.postprocessing.numbering import close_gaps
from cellbatch.postprocessing.resize import ResizedLabels, resize_labels


def _naive(nuclear, whole_cell):
    """Count cell by cell: the smallest number among the cells that hold most, if that is at least half."""
    rows = []
    for nucleus in range(1, int(nuclear.max()) + 1):
        under = whole_cell[nuclear == nucleus]
        held = {cell: int((under == cell).sum()) for cell in sorted(set(under.tolist()) - {0})}
        cell = max(held, key=lambda cell: held[cell]) if held else 0
        is_matched = cell and 2 * held[cell] >= len(under)
        rows.append([nucleus, cell, held[cell]] if is_matched else [nucleus, 0, 0])
    return np.array(rows, np.uint32).reshape(-1, 3)


SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(
    SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.uint32, shape, elements=st.integers(0, 5)) for _ in range(2)])),
    st.integers(1, 13),
)
def test_blocks_give_what_the_rule_says(pair, core_px):
    nuclear, whole_cell = (np.asarray(close_gaps(labels)[:, :]) for labels in pair)
    expected = _naive(nuclear, whole_cell)
    cores = list(BlockGrid(nuclear.shape, core_px).cores())[::-1]
    found = match_nuclei((nuclear[core.slices], whole_cell[core.slices]) for core in cores)
    np.testing.assert_array_equal(found.table, expected)
    cells = np.append(0, expected[:, 1])
    np.testing.assert_array_equal(found.apply(nuclear)[:, :], cells[nuclear])
    counts = found.counts()
    number = [int((expected[:, 1] == cell).sum()) for cell in range(1, int(whole_cell.max()) + 1)]
    assert counts == {
        "nuclei": len(expected),
        "cells": len(number),
        "cells_without_nucleus": number.count(0),
        "cells_with_one_nucleus": number.count(1),
        "cells_with_several_nuclei": len(number) - number.count(0) - number.count(1),
        "orphan_nuclei": int((expected[:, 1] == 0).sum()),
    }


def test_many_pairs_are_merged_on_the_way(monkeypatch):
    rng = np.random.default_rng(2)
    nuclear = np.arange(1, 400 * 500 + 1).reshape(400, 500)
    whole_cell = rng.integers(0, 9, (400, 500))
    rows = ((nuclear[y : y + 1], whole_cell[y : y + 1]) for y in range(400))
    monkeypatch.setattr("cellbatch.postprocessing.matching.MERGED_PAIRS", 1000)
    table = match_nuclei(rows).table
    np.testing.assert_array_equal(table[:, 1], whole_cell.ravel())
    np.testing.assert_array_equal(table[:, 2], whole_cell.ravel() > 0)


def test_pieces_must_fit_together():
    with pytest.raises(ValueError, match="differ in shape"):
        match_nuclei([(np.ones((2, 2), int), np.ones((2, 3), int))])
    with pytest.raises(ValueError, match="end at 3, but 2 occurs nowhere"):
        match_nuclei([(np.array([[1, 3]]), np.array([[1, 1]]))])


@given(arrays(np.uint32, SHAPES, elements=st.integers(0, 40)), SHAPES, st.data())
def test_a_rectangle_of_resized_labels_is_that_of_the_whole(labels, shape, data):
    whole = resize_labels(labels, shape)
    y0, x0 = (data.draw(st.integers(0, size - 1)) for size in shape)
    y1, x1 = (data.draw(st.integers(first, size)) for first, size in zip((y0, x0), shape, strict=True))
    view = ResizedLabels(labels, shape)
    np.testing.assert_array_equal(view[y0:y1, x0:x1], whole[y0:y1, x0:x1])
    if not view.loses_labels:
        assert set(np.unique(labels)) == set(np.unique(whole))
