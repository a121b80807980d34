"""The cells of one sample: measured block by block, written as table and shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cellbatch import __version__
from cellbatch.errors import ConfigError, InputError
from cellbatch.io.anndata import AnnDataLayout, write_anndata
from cellbatch.io.handoff_reader import HandoffReader
from cellbatch.io.outlines import OutlineWriter
from cellbatch.io.row_spool import RowSpool
from cellbatch.io.shapes import ShapeWriter
from cellbatch.io.tables import write_table_pieces
from cellbatch.measurement.cells import MeasuredBlock, columns_of, measure_blocks, table_frame
from cellbatch.measurement.columns import STATISTICS, Column, compartment_prefixes, unique_names
from cellbatch.measurement.dialects import CELLBATCH, COLUMN_CHOICES, QUPATH_MEASUREMENTS, take_columns, translate
from cellbatch.measurement.outlines import outline_regions
from cellbatch.measurement.regions import MeasuredImage, survey_labels
from cellbatch.phases.samples import sample_file
from cellbatch.phases.sources import SampleImage
from cellbatch.phases.spatial_store import SPATIALDATA, SpatialStore
from cellbatch.spec import LAYOUTS, SampleSpec, Window

# the compartment of which each object is a row, the first that was segmented
MEASURED_FIRST = ("whole_cell", "nuclear")
MATCHED = "nuclear_matched"
MATCHING = "nuclear_matching"
SAMPLE = "sample"
ANNDATA = "anndata"
# --table_format with the endings of the files
TABLE_FORMATS = {"parquet": "parquet", "csv": "csv", ANNDATA: "h5ad"}
# --formats that are written here, with the endings of their files
SHAPE_FORMATS = {"geojson": "geojson", "geojson.gz": "geojson.gz"}


@dataclass(frozen=True)
class TableOptions:
    """What is written of the cells.

    Attributes
    ----------
    table_format : one of ``TABLE_FORMATS``
    columns : dialect of the columns
    formats : of ``SHAPE_FORMATS`` and ``SPATIALDATA``, written besides the table
    layout : of ``LAYOUTS``; ``batch`` joins the files of all samples when they are written
    """

    table_format: str = "parquet"
    columns: str = CELLBATCH
    formats: tuple[str, ...] = ()
    layout: str = LAYOUTS[0]

    def __post_init__(self) -> None:
        """Refuse what does not exist.

        Raises
        ------
        ConfigError
        """
        for option, value, choices in (
            ("table_format", self.table_format, tuple(TABLE_FORMATS)),
            ("columns", self.columns, COLUMN_CHOICES),
            *(("formats", name, (*SHAPE_FORMATS, SPATIALDATA)) for name in self.formats),
        ):
            if value not in choices:
                raise ConfigError(f"--{option}: found {value!r}, expected one of {', '.join(choices)}")
        if self.table_format == ANNDATA and self.columns != CELLBATCH:
            raise ConfigError(
                f"--columns {self.columns}: an AnnData has columns of its own; use --table_format parquet or csv, or "
                f"leave --columns at {CELLBATCH}"
            )


@dataclass(frozen=True)
class CellFolders:
    """Folders for the tables (and a large one's rows meanwhile), the outlines and the stores; ``make`` makes them."""

    cells: Path
    shapes: Path
    spatialdata: Path

    def make(self, formats: Sequence[str]) -> None:
        """Make those that the formats need."""
        needed = [self.cells]
        needed += [self.shapes] if set(formats) & set(SHAPE_FORMATS) else []
        needed += [self.spatialdata] if SPATIALDATA in formats else []
        for folder in needed:
            folder.mkdir(parents=True, exist_ok=True)


def write_cells(
    sample: SampleSpec,
    labels: HandoffReader,
    image: SampleImage,
    folders: CellFolders,
    options: TableOptions,
    *,
    count_px: Callable[[int], None] = lambda pixels: None,
) -> None:
    """Measure the cells of a sample and write ``<sample>.cells.<format>`` and what else is asked for.

    Parameters
    ----------
    sample : with its unknown samplesheet columns, which travel into the table
    labels : hand-off of POSTPROCESS_LABELS
    image : all channels of the sample
    folders : where the results go
    options : what is written
    count_px : is told the pixels of each window of labels that is read: about twice the image

    Raises
    ------
    InputError
        If the labels do not fit the image.
    """
    measured = _counted(measured_image(sample, labels, image), count_px)
    survey = survey_labels(measured)
    columns = columns_of(measured)
    is_cell = MEASURED_FIRST[0] in labels.names(sample.sample)
    with RowSpool(len(survey.labels), len(columns)) as spool, ExitStack() as stores:
        store = None
        if SPATIALDATA in options.formats:
            store = SpatialStore(sample, image, labels, folders.spatialdata)
            stores.enter_context(store.scratch())
        with ExitStack() as stack:
            writers: list[ShapeWriter | OutlineWriter] = [
                stack.enter_context(
                    ShapeWriter(
                        sample_file(folders.shapes, sample, SHAPE_FORMATS[name]),
                        sample.sample,
                        "cell" if is_cell else "detection",
                    )
                )
                for name in options.formats
                if name in SHAPE_FORMATS
            ]
            writers += [stack.enter_context(store.outline_writer())] if store else []
            for block in measure_blocks(measured, survey):
                spool.write(block.rows, block.values)
                if writers:
                    _write_shapes(writers, block, columns, measured)
        _write_table(spool, columns, sample, measured, options, folders.cells)
        if store:
            pieces = _pieces(spool, columns, sample, measured, TableOptions())
            store.write(pieces, spool.rows, _layout(sample, measured, columns))


def _counted(image: MeasuredImage, count_px: Callable[[int], None]) -> MeasuredImage:
    """See the same image, and tell what is read of its labels."""

    def read(window: Window) -> NDArray[np.integer]:
        count_px(window.shape[0] * window.shape[1])
        return image.read_labels(window)

    return replace(image, read_labels=read)


def _write_shapes(
    writers: Sequence[ShapeWriter | OutlineWriter],
    block: MeasuredBlock,
    columns: Sequence[Column],
    image: MeasuredImage,
) -> None:
    """Outlines and measurements of the cells of one block."""
    table = take_columns(table_frame(columns, block.values), QUPATH_MEASUREMENTS, image.channel_names, image.image_mpp)
    names = [str(name) for name in table]
    origin = (block.window.y0, block.window.x0)
    nuclei = repeat([]) if block.nuclei is None else outline_regions(block.nuclei, origin)
    labels = block.values[:, 0].astype(np.int64).tolist()
    rows = table.to_numpy(np.float64).tolist()
    for label, row, outline, nucleus in zip(labels, rows, outline_regions(block.cells, origin), nuclei, strict=False):
        for writer in writers:
            writer.write(label, outline, nucleus, dict(zip(names, row, strict=True)))


def measured_image(sample: SampleSpec, labels: HandoffReader, image: SampleImage) -> MeasuredImage:
    """See a sample's labels and channels as what is measured.

    Raises
    ------
    InputError
        If the labels do not fit the image.
    """
    names = labels.names(sample.sample)
    measured = next((name for name in MEASURED_FIRST if name in names), None)
    used = [name for name in (measured, MATCHED) if name in names]
    shapes = {name: labels.shape(sample.sample, name) for name in used if name}
    if measured is None or any(shape != sample.shape for shape in shapes.values()):
        raise InputError(f"the hand-off holds labels {shapes} for an image of {sample.shape} px; run its phase again")
    positions = sample.measured_channels or range(len(sample.channel_names))
    every_name = unique_names(sample.channel_names)
    counts = None
    if MATCHING in names:
        counts = np.bincount(labels.read(sample.sample, MATCHING)[:, 1])[1:]
    return MeasuredImage(
        shape=sample.shape,
        image_mpp=sample.image_mpp,
        channel_names=tuple(every_name[position] for position in positions),
        read_labels=lambda window: labels.read(sample.sample, measured, window),
        read_channel=lambda place, window: image.read(positions[place], window),
        read_nuclei=(lambda window: labels.read(sample.sample, MATCHED, window)) if MATCHED in names else None,
        nucleus_counts=counts,
    )


def _write_table(
    spool: RowSpool,
    columns: Sequence[Column],
    sample: SampleSpec,
    image: MeasuredImage,
    options: TableOptions,
    folder: Path,
) -> None:
    """Write the rows in the format that was asked for."""
    path = sample_file(folder, sample, f"cells.{TABLE_FORMATS[options.table_format]}")
    pieces = _pieces(spool, columns, sample, image, options)
    if options.table_format != ANNDATA:
        write_table_pieces(pieces, path, options.table_format)
        return
    write_anndata(pieces, spool.rows, path, _layout(sample, image, columns))


def _layout(sample: SampleSpec, image: MeasuredImage, columns: Sequence[Column]) -> AnnDataLayout:
    """Say which columns of the table go where in an AnnData."""
    return AnnDataLayout(
        x=[f"mean_{name}" for name in image.channel_names],
        variables=image.channel_names,
        intensities=[column.name for column in columns[-_intensity_count(image) :]] if image.channel_names else [],
        spatial=("centroid_x_um", "centroid_y_um"),
        uns={
            "cellbatch": {
                "version": __version__,
                "sample": sample.sample,
                "image_mpp": sample.image_mpp,
                "spatial_unit": "micrometer",
            }
        },
    )


def _intensity_count(image: MeasuredImage) -> int:
    compartments = compartment_prefixes(has_nuclei=image.read_nuclei is not None)
    return len(compartments) * len(STATISTICS) * len(image.channel_names)


def _pieces(
    spool: RowSpool, columns: Sequence[Column], sample: SampleSpec, image: MeasuredImage, options: TableOptions
) -> Iterator[pd.DataFrame]:
    """Rows of the table in the columns that were asked for, the samplesheet's own columns last."""
    for values in spool.pieces():
        frame = table_frame(columns, values)
        frame.insert(0, SAMPLE, _constant(sample.sample, len(frame)))
        table = translate(frame, options.columns, image.channel_names, image.image_mpp)
        yield table.assign(**_own_columns(sample.columns, table, len(frame)))


def _own_columns(columns: Mapping[str, str], table: pd.DataFrame, rows: int) -> dict[str, Any]:
    """Columns of the samplesheet, marked where the table has one of the same name."""
    return {f"samplesheet_{name}" if name in table else name: _constant(value, rows) for name, value in columns.items()}


def _constant(value: str, rows: int) -> pd.Series:
    return pd.Series([value] * rows, dtype="str")
