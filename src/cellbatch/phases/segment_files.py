"""One image file through all phases, without Nextflow: the same functions, the same results."""

from __future__ import annotations

import csv
import io
import logging
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cellbatch.errors import ConfigError, InputError
from cellbatch.io.atomic import atomic_path, write_text
from cellbatch.io.file_names import file_stem, to_sample_name
from cellbatch.io.model_sources import describe_source
from cellbatch.io.samplesheet import PATH_COLUMNS, SheetError
from cellbatch.io.tables import read_table
from cellbatch.phases.cell_tables import TableOptions
from cellbatch.phases.loaded_model import InferenceOptions
from cellbatch.phases.measure_cells import MeasuredFiles
from cellbatch.phases.method_options import PREPROCESSING, WATERSHED
from cellbatch.phases.plan_batches import plan_batches
from cellbatch.phases.ready_model import ready_model
from cellbatch.phases.sample_work import SegmentFiles, SegmentOptions
from cellbatch.phases.segment_batch import segment_batch
from cellbatch.spec import COMPARTMENT_CHOICES, COMPARTMENTS, SAMPLE_NAME, Batch

logger = logging.getLogger(__name__)

# what messages say of a samplesheet that nobody wrote here
SHEET_WORDS = re.compile(r"the column \w+ is empty and |fill in (the column )?\w+( \(um per pixel\))? or ")


@dataclass(frozen=True)
class SegmentRequest:
    """What is segmented, and how.

    Attributes
    ----------
    images : path by column of the samplesheet: ``image``, or ``nuclear_image`` and perhaps ``membrane_image``
    outdir : gets ``labels``, ``cells``, ``qc`` and what else is asked for, as a run of the pipeline does
    sample : name of the results; empty = that of the file
    model : name or path of a model, in any form that the pipeline takes
    parameters : of the pipeline, by name; None and absent ones take their defaults
    table : what is written of the cells
    how : runtime of the network; its threads are also those of the other phases
    model_cache : keeps models that had to be prepared
    zarr : write the channels with their labels as OME-Zarr, too
    """

    images: Mapping[str, Path]
    outdir: Path
    sample: str = ""
    model: str = "demo"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    table: TableOptions = field(default_factory=TableOptions)
    how: InferenceOptions = field(default_factory=InferenceOptions)
    model_cache: Path | None = None
    zarr: bool = False

    def ready_model(self, scratch: Path) -> Path:
        """Folder of the prepared model; see ``ready_model``."""
        return ready_model(self.model, self.how.engine, scratch, self.model_cache)


def segment_files(request: SegmentRequest) -> pd.DataFrame:
    """Segment one image, or every image of a folder or zip, and write labels, tables and overlays.

    Returns
    -------
    DataFrame
        The summary, one row per sample.

    Raises
    ------
    InputError
        If a file is absent or cannot be read, or a channel or the pixel size is not known.
    ConfigError
        If the model or an option is not there.
    """
    missing = [path for path in request.images.values() if not path.exists()]
    if missing:
        raise InputError(f"{', '.join(map(str, missing))}: no such file")
    request.outdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".segment.", dir=request.outdir) as folder:
        model = request.ready_model(Path(folder))
        batches = plan_request(request, model, Path(folder))
        tables = [_run(batch, request, model, Path(folder)) for batch in batches]
    return pd.concat(tables, ignore_index=True)


def copy_labels(request: SegmentRequest, name: str) -> Path:
    """Copy the labels of the only sample to ``<outdir>/<name>``: cells, or nuclei where no cells were segmented.

    Raises
    ------
    ConfigError
        If there are several samples.
    """
    # the folder may hold labels of an earlier run
    wanted = COMPARTMENTS[1:] if request.parameters.get("compartment") == COMPARTMENT_CHOICES[2] else COMPARTMENTS
    paths = (request.outdir / "labels" / f"{sample_name(request)}.{name}.ome.tif" for name in wanted)
    source = next((path for path in paths if path.exists()), None)
    if source is None:
        raise ConfigError("--output-name: the images of a folder have their own names in labels/; leave it out")
    with atomic_path(request.outdir / name) as temporary:
        shutil.copyfile(source, temporary)
    return request.outdir / name


def sample_name(request: SegmentRequest) -> str:
    """Name of the sample: as asked for, else the file's, with what a name cannot hold replaced by ``_``."""
    if request.sample:
        if not SAMPLE_NAME.fullmatch(request.sample):
            raise ConfigError(f"--sample: found {request.sample!r}, expected letters, digits, '_', '.', '-'")
        return request.sample
    path = next(iter(request.images.values())).absolute()
    return to_sample_name(file_stem(path.name))[:128] or "image"


def plan_request(request: SegmentRequest, model: Path, folder: Path) -> list[Batch]:
    """Check the inputs as the pipeline does, with a samplesheet of one row.

    Parameters
    ----------
    request : what is segmented
    model : its folder
    folder : gets the samplesheet and, in ``images``, links to the inputs

    Returns
    -------
    list of Batch
        With what the measurement needs, too.
    """
    columns = [column for column in PATH_COLUMNS if column in request.images]
    staged = []
    for position, column in enumerate(columns, 1):
        path = request.images[column].resolve()
        entries = [
            [str(entry.relative_to(path)), entry.stat().st_size, entry.stat().st_mtime_ns]
            for entry in (sorted(path.rglob("*")) if path.is_dir() else [])
            if entry.is_file()
        ]
        (folder / "images" / str(position)).mkdir(parents=True)
        (folder / "images" / str(position) / path.name).symlink_to(path)
        staged.append(
            {"column": column, "path": path.name, "state": "staged", "position": position, "entries": entries}
        )
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows(
        [["sample", *columns], [sample_name(request), *(request.images[c].resolve().name for c in columns)]]
    )
    write_text(folder / "samplesheet.csv", text.getvalue())
    parameters = {name: value for name, value in request.parameters.items() if value is not None}
    if "markers" in parameters:
        parameters["marker_table"] = Path(parameters["markers"]).read_text(encoding="utf-8")
    try:
        batches, _ = plan_batches(
            folder / "samplesheet.csv", [{"files": staged}], folder / "images", describe_source(model), parameters
        )
    except SheetError as error:
        raise InputError(_without_the_sheet(request, error)) from error
    return [Batch.from_json(batch["measured"]) for batch in batches]


def _without_the_sheet(request: SegmentRequest, error: SheetError) -> str:
    """Say what is wrong without the samplesheet, which nobody wrote here."""
    path, own = next(iter(request.images.values())), sample_name(request)
    listed = [
        ("" if fault.sample == own else f"{fault.sample}: ") + SHEET_WORDS.sub("", fault.text) for fault in error.faults
    ]
    if len(listed) == 1:
        return f"{path}: {listed[0]}"
    return f"{path}: {len(listed)} faults:\n" + "\n".join(f"  {text}" for text in listed)


def _run(batch: Batch, request: SegmentRequest, model: Path, folder: Path) -> pd.DataFrame:
    """All phases of one batch."""
    measured = MeasuredFiles(
        folder / "images",
        folder / "labels",
        request.outdir / "cells",
        request.outdir / "qc",
        request.table,
        request.outdir / "zarr" if request.zarr else None,
        shapes=request.outdir / "shapes",
        spatialdata=request.outdir / "spatialdata",
    )
    summary = folder / f"{batch.batch}.parquet"
    files = SegmentFiles(model, request.outdir / "labels", measured, summary, folder)
    options = SegmentOptions(
        request.parameters.get("compartment") or "both",
        _chosen(request, PREPROCESSING),
        _chosen(request, WATERSHED),
        request.how,
    )
    segment_batch(batch, files, options, processes=request.how.threads)
    return read_table(summary)


def _chosen(request: SegmentRequest, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: request.parameters.get(name) for name in names}
