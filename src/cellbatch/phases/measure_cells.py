"""MEASURE_CELLS: image and labels become a cells table, an overlay and a line of the summary."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cellbatch.io.tables import write_table
from cellbatch.phases.batch_files import join_pictures, join_shapes, join_tables
from cellbatch.phases.cell_tables import CellFolders, TableOptions, write_cells
from cellbatch.phases.failures import Failures, leave_out
from cellbatch.phases.handoff_files import open_handoff
from cellbatch.phases.inspect_sample import SamplePixels, inspect_sample, write_pictures
from cellbatch.phases.label_files import write_sample_zarr
from cellbatch.phases.qc_thresholds import read_thresholds
from cellbatch.phases.results_layout import BATCH
from cellbatch.phases.samples import map_samples
from cellbatch.phases.sources import SampleImage
from cellbatch.progress import Progress
from cellbatch.reporting.summary import THUMBNAIL, summarize_sample, summary_table
from cellbatch.reporting.timings import Timings
from cellbatch.spec import COMPARTMENTS, Batch, SampleSpec, Window

logger = logging.getLogger(__name__)

INPUTS = ("nuclear", "membrane")
# the labels are read twice for the table, and once more for the pictures
PASSES = 3
THUMBNAILS_PER_BATCH = 100


@dataclass(frozen=True)
class MeasuredFiles:
    """Where the inputs of MEASURE_CELLS lie and where its results go; without ``zarr`` no OME-Zarr is written.

    ``shapes`` and ``spatialdata`` are made where ``table`` asks for them.
    """

    images: Path
    labels: Path
    cells: Path
    overlays: Path
    table: TableOptions = field(default_factory=TableOptions)
    zarr: Path | None = None
    thresholds: Path | None = None
    shapes: Path = Path("shapes")
    spatialdata: Path = Path("spatialdata")

    def cell_folders(self) -> CellFolders:
        """Where what is written of the cells goes."""
        return CellFolders(self.cells, self.shapes, self.spatialdata)

    def folders(self) -> tuple[Path, ...]:
        """All folders that results may go to."""
        return tuple(path for path in (self.cells, self.overlays, self.zarr, self.shapes, self.spatialdata) if path)

    def join(self, summary: Path, batch: str) -> None:
        """Give the results of a batch one file of each kind, where that layout is asked for."""
        if self.table.layout == BATCH:
            join_tables(self.cells, batch)
            join_shapes(self.shapes, batch)
            join_pictures(self.overlays, summary, batch)

    def make_folders(self) -> None:
        """Make those that are needed."""
        self.overlays.mkdir(parents=True, exist_ok=True)
        if self.zarr:
            self.zarr.mkdir(parents=True, exist_ok=True)
        self.cell_folders().make(self.table.formats)


def measure_batch(
    batch: Batch,
    files: MeasuredFiles,
    summary: Path,
    *,
    processes: int = 1,
    failures: Failures | None = None,
) -> Timings:
    """Write table and overlay of every sample, and one summary for the batch.

    Parameters
    ----------
    batch : the task's samples
    files : folders; each sample gets ``<sample>.cells.<format>``, ``<sample>.overlay.png``,
        ``<sample>.thumbnail.jpg`` and, where it is large, ``<sample>.crop1.png`` to ``crop3.png``
    summary : Parquet file to write, one row per sample, with the thumbnails that the report may show
    processes : samples worked on at once
    failures : takes the samples that go wrong; None stops at the first. With it, samples that earlier phases left out
        are not missed
    """
    files.make_folders()
    timings = Timings("measure", batch.batch)
    work = partial(measure_sample, batch=batch.batch, files=files)
    logger.info("measuring %d images of batch %s", len(batch.samples), batch.batch)
    lines = SummaryLines()
    samples = batch.samples
    if failures is not None:
        labelled = open_handoff(files.labels).samples()
        samples = tuple(sample for sample in samples if sample.sample in labelled)
    for sample, (row, thumbnail, seconds) in map_samples(work, samples, processes, failures):
        lines.add(row, thumbnail)
        timings.add(sample.sample, "measure", seconds, pixels=sample.shape[0] * sample.shape[1])
    leave_out(failures, batch, None, *files.folders())
    lines.write(summary)
    files.join(summary, batch.batch)
    return timings


class SummaryLines:
    """The summary of a batch, in the order of its samples, with the thumbnails that the report may show."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._thumbnails: list[bytes] = []

    def add(self, row: dict[str, Any], thumbnail: bytes) -> None:
        """Add one sample."""
        self._rows.append(row)
        is_shown = len(self._rows) <= THUMBNAILS_PER_BATCH or row["verdict"] != "pass"
        self._thumbnails.append(thumbnail if is_shown else b"")

    def __len__(self) -> int:
        """Count the samples so far."""
        return len(self._rows)

    def write(self, path: Path) -> None:
        """Write the table as Parquet."""
        write_table(summary_table(self._rows).assign(**{THUMBNAIL: self._thumbnails}), path, "parquet")


def measure_sample(sample: SampleSpec, batch: str, files: MeasuredFiles) -> tuple[dict[str, Any], bytes, float]:
    """Write table, overlay and pictures of one sample; its line of the summary, its thumbnail, and the seconds."""
    clock = Timings.clock()
    labels = open_handoff(files.labels)
    found = [name for name in COMPARTMENTS if name in labels.names(sample.sample)]
    total_px = PASSES * sample.shape[0] * sample.shape[1]
    with SampleImage(sample, files.images) as image, Progress(f"measure {sample.sample}", total_px) as progress:
        write_cells(sample, labels, image, files.cell_folders(), files.table, count_px=progress.add)

        def read_inputs(window: Window) -> np.ndarray:
            progress.add(window.shape[0] * window.shape[1])
            return image.model_input(INPUTS, window)

        pixels = SamplePixels(read_inputs, {name: partial(labels.read, sample.sample, name) for name in found})
        given = {
            "uncertified_blocks": sum(labels.attributes(sample.sample).get("uncertified_blocks", {}).values()),
            "missing_chunks": image.missing_chunks(INPUTS),
        }
        if files.zarr:
            write_sample_zarr(files.zarr, sample, image, files.labels)
        findings, pictures = inspect_sample(sample, pixels, read_thresholds(files.thresholds), given)
    write_pictures(pictures, sample, files.overlays)
    return summarize_sample(sample, batch, findings), pictures.thumbnail, clock()
