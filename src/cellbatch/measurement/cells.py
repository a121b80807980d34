"""The cells table: one row per label, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cellbatch._native.measurement import Runs, find_runs, measure_shapes
from cellbatch.measurement.columns import Column, table_columns, unique_names
from cellbatch.measurement.giants import measure_giant
from cellbatch.measurement.intensities import measure_intensities
from cellbatch.measurement.regions import (
    BLOCK_PX,
    LONGEST_PX,
    Block,
    MeasuredImage,
    Survey,
    contiguous_labels,
    divide,
    is_giant,
    local_boxes,
    number_labels,
    survey_labels,
)
from cellbatch.measurement.shapes import nucleus_values, shape_values
from cellbatch.spec import Window

# of a label that is too large for a block
STRIP_PX = 1 << 20


@dataclass(frozen=True)
class MeasureOptions:
    """How an image is cut, on how many threads; the result does not depend on it."""

    block_px: int = BLOCK_PX
    longest_px: int = LONGEST_PX
    threads: int = 1


@dataclass(frozen=True)
class MeasuredBlock:
    """Some rows of the table, and the pixels that they were measured on.

    Attributes
    ----------
    rows : (k,) int64, places in the table
    values : (k, columns) float64
    cells, nuclei : pixels of each, counted from the first pixel of ``window``; ``nuclei`` None where there are none
    window : place of the pixels in the image
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    cells: Runs
    nuclei: Runs | None
    window: Window


def measure_blocks(
    image: MeasuredImage, survey: Survey, options: MeasureOptions | None = None
) -> Iterator[MeasuredBlock]:
    """Measure every label of an image, block by block.

    Parameters
    ----------
    image : read once more than by the survey, with some overlap of blocks
    survey : of the same image
    options : size of blocks, threads

    Yields
    ------
    MeasuredBlock
        Together every row once. Memory is that of one block and of the longest label.
    """
    options = options or MeasureOptions()
    for block in divide(survey, options.block_px, options.longest_px):
        yield _measure_block(image, survey, block, options.threads)
    for row in np.flatnonzero(is_giant(survey, options.longest_px)):
        y0, x0, y1, x1 = map(int, survey.reach[row])
        window = Window(y0, y1, x0, x1)
        regions, intensities = measure_giant(image, int(survey.labels[row]), window, min(options.block_px**2, STRIP_PX))
        yield _finish(image, survey, Block(np.array([row]), window), regions, intensities, options.threads)


def columns_of(image: MeasuredImage) -> tuple[Column, ...]:
    """List the columns that ``measure_blocks`` fills."""
    return table_columns(image.channel_names, has_nuclei=image.read_nuclei is not None)


def measure_cells(
    labels: NDArray[np.integer],
    read_channel: Callable[[int], NDArray[np.number]],
    channel_names: Sequence[str],
    image_mpp: float,
    *,
    nuclei: NDArray[np.integer] | None = None,
    threads: int = 1,
) -> pd.DataFrame:
    """Measure size, shape, place and intensities of every label of an image in memory.

    Channels are asked for one at a time, each once, so that only one is in memory.

    Parameters
    ----------
    labels : (Y, X) integer, 0 background; gaps in the numbering are allowed
    read_channel : position of a channel → its (Y, X) pixels, any real type
    channel_names : one per channel; an empty name becomes ``channel_<position>``, a repeated one gets a suffix
    image_mpp : µm per px of ``labels``
    nuclei : (Y, X) nuclei that carry the label of their cell; a cell counts as one with one nucleus or none
    threads : used by the kernels

    Returns
    -------
    DataFrame
        In rising order of label, the columns of ``table_columns``. An image without labels gives an empty table with
        the same columns and types.

    Raises
    ------
    TypeError
        ``labels`` or ``nuclei`` do not hold integers.
    ValueError
        They are not (Y, X), a label does not fit uint32, a channel or the nuclei differ in shape, or ``image_mpp`` is
        not a positive number.

    References
    ----------
    Definitions follow scikit-image's ``regionprops_table``:
    https://scikit-image.org/docs/stable/api/skimage.measure.html#skimage.measure.regionprops_table
    """
    if not (np.isfinite(image_mpp) and image_mpp > 0):
        raise ValueError(f"image_mpp must be a positive number of µm per px, not {image_mpp}")
    numbers, ids = number_labels(labels)
    matched = None if nuclei is None else _number_nuclei(nuclei, numbers, ids)
    image = MeasuredImage(
        shape=(labels.shape[0], labels.shape[1]),
        image_mpp=float(image_mpp),
        channel_names=tuple(unique_names(channel_names)),
        read_labels=lambda window: numbers[window.slices],
        read_channel=lambda position, window: _checked(read_channel(position), labels.shape)[window.slices],
        read_nuclei=None if matched is None else lambda window: matched[window.slices],
    )
    # one block, so that each channel is asked for once
    side = max(1, *labels.shape)
    survey = survey_labels(image, side)
    columns = columns_of(image)
    values = np.empty((len(survey.labels), len(columns)))
    for block in measure_blocks(image, survey, MeasureOptions(side, side, threads)):
        values[block.rows] = block.values
    values[:, 0] = ids[survey.labels - 1]
    return table_frame(columns, values)


def table_frame(columns: Sequence[Column], values: NDArray[np.float64]) -> pd.DataFrame:
    """Give rows (k, columns) as a table with the types of its columns."""
    return pd.DataFrame({column.name: values[:, place].astype(column.dtype) for place, column in enumerate(columns)})


def _number_nuclei(
    nuclei: NDArray[np.integer], numbers: NDArray[np.uint32], ids: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Nuclei with the numbers of their cells; those of no cell become background."""
    checked = contiguous_labels(nuclei)
    if checked.shape != numbers.shape:
        raise ValueError(f"the nuclei have the shape {checked.shape}, the labels have {numbers.shape}")
    place = np.searchsorted(ids, checked)
    is_known = (place < len(ids)) & (checked > 0)
    is_known[is_known] = ids[place[is_known]] == checked[is_known]
    return np.where(is_known, place + 1, 0).astype(np.uint32)


def _checked(channel: NDArray[np.number], shape: tuple[int, ...]) -> NDArray[np.number]:
    if channel.shape != shape:
        raise ValueError(f"the channel has the shape {channel.shape}, the labels have {shape}")
    return channel


def _measure_block(image: MeasuredImage, survey: Survey, block: Block, threads: int) -> MeasuredBlock:
    """Measure labels that lie in one window."""
    ids, window = survey.labels[block.rows], block.window
    labels = contiguous_labels(image.read_labels(window))
    boxes = local_boxes(survey.boxes[block.rows], window)
    regions = [find_runs(labels, ids, boxes)]
    if image.read_nuclei is not None:
        nuclei = contiguous_labels(image.read_nuclei(window))
        nucleus_boxes = local_boxes(survey.nucleus_boxes[block.rows], window)
        regions += [find_runs(nuclei, ids, nucleus_boxes), find_runs(labels, ids, boxes, excluded=nuclei)]
        del nuclei
    del labels
    intensities = measure_intensities(image, window, regions, threads)
    return _finish(image, survey, block, regions, intensities, threads)


def _finish(
    image: MeasuredImage,
    survey: Survey,
    block: Block,
    regions: Sequence[Runs],
    intensities: NDArray[np.float64],
    threads: int,
) -> MeasuredBlock:
    """Put shapes in front of the intensities."""
    origin = (block.window.y0, block.window.x0)
    shapes = measure_shapes(regions[0], threads)
    parts = [shape_values(shapes, survey.labels[block.rows], survey.boxes[block.rows], origin, image.image_mpp)]
    nuclei = regions[1] if len(regions) > 1 else None
    if nuclei is not None:
        counts = image.nucleus_counts
        if counts is not None:
            counts = np.append(counts, 0)[np.minimum(survey.labels[block.rows] - 1, len(counts))]
        parts.append(nucleus_values(nuclei, counts, shapes[:, 0], image.image_mpp))
    return MeasuredBlock(block.rows, np.hstack([*parts, intensities]), regions[0], nuclei, block.window)
