"""PLAN_BATCHES: samplesheet and image headers become batch records and a plan."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cellbatch.errors import InputError
from cellbatch.geometry.scale import model_shape
from cellbatch.inference.engine import ENGINES
from cellbatch.io.atomic import write_text
from cellbatch.io.models import read_manifest
from cellbatch.io.parameters import read_parameters
from cellbatch.io.samplesheet import PATH_COLUMNS, Row, read_samplesheet
from cellbatch.phases.check_samples import CheckedRow, Fallbacks, StagedFile, check_row
from cellbatch.phases.loaded_model import check_compartment, make_grid
from cellbatch.planning.batches import AUTO_BATCH_PIXELS, cut_batches, name_batch, weigh
from cellbatch.planning.memory import MEMORY_MODELS, project_engine_mb, project_memory_mb
from cellbatch.planning.volume import handoff_bytes
from cellbatch.spec import Batch, Manifest, SampleSpec, override

logger = logging.getLogger(__name__)

AUTO = "auto"
# worker processes of a task, the cpus of process_medium in conf/base.config
PROCESSES = 2


@dataclass(frozen=True)
class PlannedSample:
    """A sample with the row that it came from and its size at ``model_mpp``."""

    sample: SampleSpec
    row: int
    model_pixels: int
    tiles: int


def plan_batches(
    samplesheet: Path, staged: Sequence[Mapping[str, Any]], images: Path, model: Path, parameters: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Check everything that can be checked before any heavy task, and pack the samples.

    Parameters
    ----------
    samplesheet : CSV
    staged : per data row of the samplesheet, its path cells as the launch saw them (fields of ``StagedFile``)
    images : folder with the staged inputs, ``<position>/<name>``
    model : folder of the model as the user named it
    parameters : checked parameters of the run

    Returns
    -------
    batches : one dict per batch: ``meta`` (identifier, directives), ``rows`` (whose files the task needs, from 0) and
        ``record`` (all that the result depends on)
    plan : totals for people

    Raises
    ------
    InputError
        With all faults of the samplesheet and of the images' headers in one message.
    """
    manifest = read_manifest(model)
    check_compartment(manifest, parameters.get("compartment") or "both")
    rows = read_samplesheet(samplesheet)
    files = _match_staged(rows, staged)
    fallbacks = Fallbacks(
        image_mpp=parameters.get("image_mpp"),
        nuclear_channel=_text(parameters.get("nuclear_channel")),
        membrane_channel=_text(parameters.get("membrane_channel")),
        model_mpp=manifest.model_mpp,
        needs_membrane="membrane" in manifest.channels and parameters.get("compartment") != "nuclear",
    )
    checked = [check_row(row, its_files, images, fallbacks) for row, its_files in zip(rows, files, strict=True)]
    _refuse_faults(checked)
    planned = list(_measure(checked, manifest))
    budget = parameters.get("batch_pixels")
    batch_pixels = AUTO_BATCH_PIXELS if budget in (None, AUTO) else int(budget)
    cuts = cut_batches([p.sample.sample for p in planned], [weigh(p.model_pixels) for p in planned], batch_pixels)
    engine_mb = project_engine_mb(parameters.get("engine") or ENGINES[0], parameters.get("tile_batch") or 1)
    batches = [_describe([planned[i] for i in cut], files, engine_mb) for cut in cuts]
    heads = 2 * len(manifest.selected(parameters.get("compartment") or "both"))
    plan = {
        "samples": len(planned),
        "batches": len(batches),
        "batch_pixels": batch_pixels,
        "image_pixels": sum(p.sample.shape[0] * p.sample.shape[1] for p in planned),
        "model_pixels": sum(p.model_pixels for p in planned),
        "tiles": sum(p.tiles for p in planned),
        "memory_mb": {
            phase: max((batch["meta"]["memory"][phase] for batch in batches), default=0) for phase in MEMORY_MODELS
        },
        "handoff_bytes": handoff_bytes([p.model_pixels for p in planned], len(manifest.channels), heads),
        "files_not_read": [f"{row.row.sample}: {name}" for row in checked for name in row.not_read],
        "model": {"name": manifest.name, "version": manifest.version, "model_mpp": manifest.model_mpp},
    }
    logger.info("%d samples in %d batches", len(planned), len(batches))
    return batches, plan


def check_parameters(schema: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give parameters of the right types, or an error that names the wrong one and the nearest known."""
    return read_parameters(schema, dict(parameters))


def write_plan(batches: Sequence[Mapping[str, Any]], plan: Mapping[str, Any], outdir: Path) -> None:
    """Write ``batches.jsonl`` for the next processes, ``plan.json`` and ``plan.txt`` for people."""
    outdir.mkdir(parents=True, exist_ok=True)
    # the record stays text on its way through Nextflow, which must neither read nor reorder it
    records = [
        {**batch, **{kind: json.dumps(batch[kind], sort_keys=True) for kind in ("record", "measured")}}
        for batch in batches
    ]
    lines = [json.dumps(record, sort_keys=True) + "\n" for record in records]
    write_text(outdir / "batches.jsonl", "".join(lines))
    summaries = [{**batch["meta"], "samples": _names(batch["record"])} for batch in batches]
    write_text(outdir / "plan.json", json.dumps({**plan, "batch_list": summaries}, indent=1) + "\n")
    write_text(outdir / "plan.txt", _plan_text(plan))


def _names(record: Mapping[str, Any]) -> list[str]:
    return [sample["sample"] for sample in record["samples"]]


def _plan_text(plan: Mapping[str, Any]) -> str:
    memory = ", ".join(f"{phase} {value} MB" for phase, value in plan["memory_mb"].items())
    volume = ", ".join(f"{name} {value / 1e6:.1f} MB" for name, value in plan["handoff_bytes"].items())
    return (
        f"samples            {plan['samples']}\n"
        f"batches            {plan['batches']} (of about {plan['batch_pixels']} pixels at most)\n"
        f"image pixels       {plan['image_pixels']}\n"
        f"model pixels       {plan['model_pixels']} at {plan['model']['model_mpp']} um/px\n"
        f"model tiles        {plan['tiles']}\n"
        f"memory, largest    {memory}\n"
        f"hand-off files     {volume}, before compression\n"
        f"files not read     {', '.join(plan['files_not_read']) or 'none'}\n"
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _match_staged(rows: Sequence[Row], staged: Sequence[Mapping[str, Any]]) -> list[list[StagedFile]]:
    """Give the launch's view of each row, after checking that both parsers saw the same sheet."""
    if len(rows) != len(staged):
        raise InputError(
            f"the samplesheet has {len(rows)} rows, but {len(staged)} were staged; "
            "most likely a cell holds a line break: remove it"
        )
    files = []
    for row, seen in zip(rows, staged, strict=True):
        its_files = [
            StagedFile(**{**file, "entries": tuple(tuple(entry) for entry in file.get("entries") or ())})
            for file in seen["files"]
        ]
        if {column for column in PATH_COLUMNS if getattr(row, column)} != {file.column for file in its_files}:
            raise InputError(f"row {row.number}: {', '.join(PATH_COLUMNS)} were read in two ways; retype the header")
        for file in its_files:
            if getattr(row, file.column) != file.path:
                raise InputError(
                    f"row {row.number}, column {file.column}: {getattr(row, file.column)!r} was staged as "
                    f"{file.path!r}; quote the cell in the CSV way, without line breaks"
                )
        files.append(its_files)
    return files


def _refuse_faults(checked: Sequence[CheckedRow]) -> None:
    """All faults in one error, and names that collide once folders are unpacked."""
    faults = [fault for row in checked for fault in row.faults]
    seen: dict[str, int] = {}
    for row in checked:
        for sample in row.samples:
            other = seen.setdefault(sample.sample.lower(), row.row.number)
            if other != row.row.number:
                faults.append(
                    f"row {row.row.number}: sample {sample.sample} has the name of one in row {other}; rename"
                )
    for row in checked:
        names = [sample.sample.lower() for sample in row.samples]
        faults.extend(
            f"row {row.row.number}: two files of the folder become the sample {name}; rename one"
            for name in sorted(
                {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
            )
        )
    if faults:
        raise InputError("\n".join(faults))


def _measure(checked: Sequence[CheckedRow], manifest: Manifest) -> Iterator[PlannedSample]:
    for index, row in enumerate(checked):
        for sample in row.samples:
            shape = model_shape(sample.shape, sample.image_mpp, manifest.model_mpp)
            yield PlannedSample(sample, index, shape[0] * shape[1], len(make_grid(shape, manifest)))


def _describe(
    planned: Sequence[PlannedSample], files: Sequence[Sequence[StagedFile]], engine_mb: int
) -> dict[str, Any]:
    """One batch: identifier, directives, the rows to stage, and the records with positions counted in that order.

    ``record`` is for the phases up to the labels, ``measured`` also has the samplesheet's own columns: another word in
    such a column does not repeat the segmentation.
    """
    rows = sorted({p.row for p in planned})
    position = {}
    for row in rows:
        for file in files[row]:
            position[file.position] = len(position) + 1
    samples = tuple(
        override(
            p.sample,
            sources=tuple(override(source, position=position[source.position]) for source in p.sample.sources),
        )
        for p in planned
    )
    identifier = name_batch([sample.sample for sample in samples])
    pixels = [p.model_pixels for p in planned]
    memory = {phase: project_memory_mb(phase, samples, pixels, processes=PROCESSES) for phase in MEMORY_MODELS}
    memory["infer"] = project_memory_mb("infer", samples, pixels, extra_mb=engine_mb)
    return {
        "meta": {"id": identifier, "images": len(samples), "pixels": sum(pixels), "memory": memory},
        "rows": rows,
        "record": Batch(identifier, tuple(replace(sample, columns={}) for sample in samples)).to_json(),
        "measured": Batch(identifier, samples).to_json(),
    }
