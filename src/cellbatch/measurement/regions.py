"""Where the labels of an image lie, and which block measures which of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.measurement import grow_boxes
from cellbatch.geometry.blocks import cover
from cellbatch.spec import Window

BLOCK_PX = 4096
# A label that is longer than this along an axis is measured strip by strip.
LONGEST_PX = 2048
_UINT32_MAX = 2**32 - 1
# lists of labels get that much more room at a time
GROWTH = 1.25

Labels = NDArray[np.uint32]


@dataclass(frozen=True)
class MeasuredImage:
    """What is measured, read window by window.

    Attributes
    ----------
    shape : (Y, X) in px
    image_mpp : µm per px
    channel_names : unique names of the channels that are measured
    read_labels : window → labels (y, x), 1 … n, background 0
    read_channel : position in ``channel_names``, window → pixels (y, x) of any real type
    read_nuclei : window → nuclei (y, x) that carry the label of their cell; None where there are no cells or no nuclei
    nucleus_counts : (m,) int64, nuclei of the cells 1 … m, none of those above; None counts a cell's nuclei as one
    """

    shape: tuple[int, int]
    image_mpp: float
    channel_names: tuple[str, ...]
    read_labels: Callable[[Window], NDArray[np.integer]]
    read_channel: Callable[[int, Window], NDArray[np.number]]
    read_nuclei: Callable[[Window], NDArray[np.integer]] | None = None
    nucleus_counts: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Survey:
    """Labels 1 … n of an image, in rising order, those without a pixel left out.

    Attributes
    ----------
    labels : (k,) uint32
    boxes, nucleus_boxes : (k, 4) int64, half-open ``y0, x0, y1, x1`` in px; zeros without a nucleus
    reach : (k, 4) int64, the box around both
    """

    labels: Labels
    boxes: NDArray[np.int64]
    nucleus_boxes: NDArray[np.int64]
    reach: NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Labels that are measured together: their rows in the table, and the window that holds all of their pixels."""

    rows: NDArray[np.int64]
    window: Window


def check_labels(labels: NDArray[np.integer]) -> None:
    """Refuse what is not a ``(Y, X)`` array of labels 0 … 2³² - 1.

    Raises
    ------
    TypeError
        The array does not hold integers.
    ValueError
        It is not two-dimensional, or a label is negative or too large for uint32.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    if labels.ndim != 2:
        raise ValueError(f"labels must have the axes (Y, X), not the shape {labels.shape}")
    if labels.size and labels.dtype.kind == "i" and int(labels.min()) < 0:
        raise ValueError(f"labels must not be negative, the lowest is {int(labels.min())}")
    if labels.size and labels.dtype.itemsize > 4 and int(labels.max()) > _UINT32_MAX:
        raise ValueError(f"labels must fit uint32, the highest is {int(labels.max())}")


def contiguous_labels(labels: NDArray[np.integer]) -> Labels:
    """Give checked labels as the kernels take them."""
    check_labels(labels)
    return np.ascontiguousarray(labels, np.uint32)


def survey_labels(image: MeasuredImage, block_px: int = BLOCK_PX) -> Survey:
    """Read all labels once and note where each one lies.

    Parameters
    ----------
    image : labels 1 … n; memory grows with n, not with the image
    block_px : side of the windows that are read

    Raises
    ------
    ValueError
        A label is higher than the image has pixels.
    """
    boxes, areas = np.zeros((0, 4), np.int64), np.zeros(0, np.int64)
    nucleus_boxes, nucleus_areas = np.zeros((0, 4), np.int64), np.zeros(0, np.int64)
    for window in cover(image.shape, (block_px, block_px)):
        boxes, areas = _grow(image, image.read_labels, window, boxes, areas)
        if image.read_nuclei is not None:
            nucleus_boxes, nucleus_areas = _grow(image, image.read_nuclei, window, nucleus_boxes, nucleus_areas)
    present = np.flatnonzero(areas)
    nucleus_boxes = np.pad(nucleus_boxes[: len(areas)], ((0, max(0, len(areas) - len(nucleus_boxes))), (0, 0)))
    cell, nucleus = boxes[present], nucleus_boxes[present]
    has_nucleus = nucleus[:, 2:3] > 0
    reach = np.hstack(
        [
            np.where(has_nucleus, np.minimum(cell[:, :2], nucleus[:, :2]), cell[:, :2]),
            np.maximum(cell[:, 2:], nucleus[:, 2:]),
        ]
    )
    return Survey((present + 1).astype(np.uint32), cell, nucleus, reach)


def _grow(
    image: MeasuredImage,
    read: Callable[[Window], NDArray[np.integer]],
    window: Window,
    boxes: NDArray[np.int64],
    areas: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Widen boxes and areas by one window; they grow with the highest label."""
    labels = contiguous_labels(read(window))
    top = int(labels.max(initial=0))
    if top > image.shape[0] * image.shape[1]:
        raise ValueError(f"label {top} in an image of {image.shape} px; labels must be numbered 1 … n")
    if top > len(areas):
        room = max(top, int(GROWTH * len(areas))) - len(areas)
        boxes, areas = np.pad(boxes, ((0, room), (0, 0))), np.pad(areas, (0, room))
    grow_boxes(labels, (window.y0, window.x0), boxes, areas)
    return boxes, areas


def divide(survey: Survey, block_px: int = BLOCK_PX, longest_px: int = LONGEST_PX) -> Iterator[Block]:
    """Blocks that measure every label once, whole.

    A label belongs to the square of ``block_px`` in which its reach begins; the block's window holds the reach of all
    its labels. Labels longer than ``longest_px`` are left to ``measure_giant``.
    """
    is_small = ~is_giant(survey, longest_px)
    squares = survey.reach[:, :2] // block_px
    order = np.lexsort((np.arange(len(squares)), squares[:, 1], squares[:, 0]))
    order = order[is_small[order]]
    if not len(order):
        return
    is_new = np.any(np.diff(squares[order], axis=0), axis=1)
    for rows in np.split(order, np.flatnonzero(is_new) + 1):
        low, high = survey.reach[rows, :2].min(axis=0), survey.reach[rows, 2:].max(axis=0)
        yield Block(rows, Window(int(low[0]), int(high[0]), int(low[1]), int(high[1])))


def is_giant(survey: Survey, longest_px: int = LONGEST_PX) -> NDArray[np.bool_]:
    """Whether each label is too long for a block."""
    sides: NDArray[np.int64] = survey.reach[:, 2:] - survey.reach[:, :2]
    return np.any(sides > longest_px, axis=1)


def local_boxes(boxes: NDArray[np.int64], window: Window) -> NDArray[np.int64]:
    """Boxes counted from a window's first pixel; absent ones (zeros) stay empty."""
    moved = boxes - np.array([window.y0, window.x0, window.y0, window.x0])
    return np.ascontiguousarray(np.where(boxes[:, 2:3] > 0, moved, 0))


def number_labels(labels: NDArray[np.integer]) -> tuple[Labels, Labels]:
    """Labels without large gaps in their numbers, and the label that each number 1 … n stands for.

    Labels up to the number of pixels stay as they are; sparser ones are renumbered in rising order.
    """
    check_labels(labels)
    top = int(labels.max(initial=0))
    if top <= labels.size:
        return np.ascontiguousarray(labels, np.uint32), np.arange(1, top + 1, dtype=np.uint32)
    # a leading background pixel keeps number 0 for label 0 in an image that has none
    ids, inverse = np.unique(np.concatenate([[0], labels.ravel()]), return_inverse=True)
    return inverse[1:].reshape(labels.shape).astype(np.uint32), ids[1:].astype(np.uint32)
