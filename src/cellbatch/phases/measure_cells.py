"""MEASURE_CELLS: image and labels become a cells table, an overlay and a line of the summary."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cellbatch.errors import InputError
from cellbatch.io.atomic import write_bytes
from cellbatch.io.tables import write_table
from cellbatch.phases.cell_tables import TableOptions, write_cells
from cellbatch.phases.handoff_files import open_handoff
from cellbatch.phases.label_files import write_sample_zarr
from cellbatch.phases.samples import map_samples, sample_file
from cellbatch.phases.sources import SampleImage
from cellbatch.reporting.overlays import draw_overlay, draw_thumbnail, encode_png
from cellbatch.reporting.summary import THUMBNAIL, summarize_sample, summary_table
from cellbatch.reporting.timings import Timings
from cellbatch.spec import COMPARTMENTS, Batch, SampleSpec

logger = logging.getLogger(__name__)

THUMBNAILS_PER_BATCH = 100


@dataclass(frozen=True)
class MeasuredFiles:
    """Where the inputs of MEASURE_CELLS lie and where its results go; without ``zarr`` no OME-Zarr is written."""

    images: Path
    labels: Path
    cells: Path
    overlays: Path
    table: TableOptions = field(default_factory=TableOptions)
    zarr: Path | None = None


def measure_batch(batch: Batch, files: MeasuredFiles, summary: Path, *, processes: int = 1) -> Timings:
    """Write table and overlay of every sample, and one summary for the batch.

    Parameters
    ----------
    batch : the task's samples
    files : folders; each sample gets ``<sample>.cells.<format>``, ``<sample>.overlay.png`` and
        ``<sample>.thumbnail.jpg``
    summary : Parquet file to write, one row per sample, with the thumbnails that the report may show
    processes : samples worked on at once
    """
    files.cells.mkdir(parents=True, exist_ok=True)
    files.overlays.mkdir(parents=True, exist_ok=True)
    if files.zarr:
        files.zarr.mkdir(parents=True, exist_ok=True)
    timings = Timings("measure", batch.batch)
    work = partial(_measure_sample, batch=batch.batch, files=files)
    logger.info("measuring %d images of batch %s", len(batch.samples), batch.batch)
    rows, thumbnails = [], []
    for sample, (row, thumbnail, seconds) in zip(
        batch.samples, map_samples(work, batch.samples, processes), strict=True
    ):
        rows.append(row)
        is_shown = len(rows) <= THUMBNAILS_PER_BATCH or row["verdict"] != "pass"
        thumbnails.append(thumbnail if is_shown else b"")
        timings.add(sample.sample, "measure", seconds, pixels=sample.shape[0] * sample.shape[1])
    table = summary_table(rows).assign(**{THUMBNAIL: thumbnails})
    write_table(table, summary, "parquet")
    return timings


def _measure_sample(sample: SampleSpec, batch: str, files: MeasuredFiles) -> tuple[dict[str, Any], bytes, float]:
    clock = Timings.clock()
    labels = _read_compartments(sample, files.labels)
    with SampleImage(sample, files.images) as image:
        cells = write_cells(sample, open_handoff(files.labels), image, files.cells, files.table)
        picture = image.model_input(("nuclear", "membrane"))
        if files.zarr:
            write_sample_zarr(files.zarr, sample, image, files.labels)
    overlay = draw_overlay(picture, labels.get("whole_cell"), labels.get("nuclear"))
    thumbnail = draw_thumbnail(overlay)
    write_bytes(sample_file(files.overlays, sample, "overlay.png"), encode_png(overlay))
    write_bytes(sample_file(files.overlays, sample, "thumbnail.jpg"), thumbnail)
    counts = {name: int(np.count_nonzero(np.bincount(values.ravel())[1:])) for name, values in labels.items()}
    return summarize_sample(sample, batch, cells, counts), thumbnail, clock()


def _read_compartments(sample: SampleSpec, handoff: Path) -> dict[str, np.ndarray]:
    """Read the labels (Y, X) of a sample by compartment; at least one, each of the image's size."""
    source = open_handoff(handoff)
    labels = {name: source.read(sample.sample, name) for name in source.names(sample.sample) if name in COMPARTMENTS}
    if not labels or any(values.shape != sample.shape for values in labels.values()):
        shapes = {name: values.shape for name, values in labels.items()}
        raise InputError(f"{handoff.name} holds labels {shapes} for an image of {sample.shape} px; run its phase again")
    return labels
