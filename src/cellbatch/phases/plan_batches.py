"""PLAN_BATCHES: samplesheet and image headers become batch records and a plan."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cellbatch.geometry.scale import model_shape
from cellbatch.inference.engine import DEEPCELL, ENGINES
from cellbatch.io.atomic import write_text
from cellbatch.io.model_sources import ModelSource
from cellbatch.io.parameters import read_parameters
from cellbatch.phases.batch_directives import Directives, fused_room_mb, refuse_fused
from cellbatch.phases.check_samples import CheckedRow, StagedFile
from cellbatch.phases.check_samplesheet import check_samplesheet
from cellbatch.phases.deepcell_application import check_options, name_application
from cellbatch.phases.loaded_model import check_compartment, make_grid
from cellbatch.phases.money_text import money_text
from cellbatch.phases.plan_machines import ON_CPU, assign_machines
from cellbatch.phases.plan_money import auto_batch_pixels, project_money, read_setting
from cellbatch.phases.prepare_model import name_prepared
from cellbatch.phases.records import BatchRecord, encode_record
from cellbatch.phases.rerun_samplesheet import rerun_rows
from cellbatch.phases.results_layout import BATCH, choose_layout
from cellbatch.phases.settle_samples import Fallbacks
from cellbatch.planning.batches import cut_batches, is_on_cpu, name_batch, spread, weigh
from cellbatch.planning.machines import read_prices
from cellbatch.planning.memory import project_engine_mb
from cellbatch.planning.rates import FUSED
from cellbatch.planning.shards import AUTO_SHARD_PIXELS, count_shards
from cellbatch.planning.volume import handoff_bytes
from cellbatch.spec import Batch, Manifest, SampleSpec, override

logger = logging.getLogger(__name__)

AUTO, SPLIT = "auto", "split"
PREVIEWED_SAMPLES = 4


@dataclass(frozen=True)
class PlannedSample:
    """A sample with the row that it came from and its size at ``model_mpp``."""

    sample: SampleSpec
    row: int
    model_pixels: int
    tiles: int


def plan_batches(
    samplesheet: Path,
    staged: Sequence[Mapping[str, Any]],
    images: Path,
    model: ModelSource,
    parameters: Mapping[str, Any],
    prices: Mapping[str, Any] | None = None,
    processes: int = 1,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Check everything that can be checked before any heavy task, and pack the samples.

    Parameters
    ----------
    samplesheet : CSV
    staged : per data row of the samplesheet, its path cells as the launch saw them (fields of ``StagedFile``)
    images : folder with the staged inputs, ``<position>/<name>``
    model : the model as the user named it
    parameters : checked parameters of the run
    prices : table of machines and prices; without it nothing costs anything
    processes : that may read the headers of a long sheet

    Returns
    -------
    batches : one dict per batch: ``meta`` (identifier, directives), ``rows`` (whose files the task needs, from 0) and
        ``record`` (all that the result depends on)
    plan : totals for people

    Raises
    ------
    InputError
        With all faults of the samplesheet and of the images' headers in one message.
    ConfigError
        If no machine holds a task, or a machine has no price.
    """
    engine = parameters.get("engine") or ENGINES[0]
    if engine == DEEPCELL:
        check_options(parameters)
        name_application(model.manifest)
        # its labels come out of one step: there is nothing to hand over
        parameters = {**parameters, "phases": FUSED}
    table = read_prices(prices) if prices else None
    setting = read_setting(parameters, table, model.weights_bytes)
    manifest: Manifest = override(model.manifest, model_mpp=parameters.get("model_mpp"))
    check_compartment(manifest, parameters.get("compartment") or "both")
    fallbacks = Fallbacks.of_run(parameters, manifest)
    keep_going = bool(parameters.get("keep_going"))
    sheet = check_samplesheet(samplesheet, staged, images, fallbacks, keep_going=keep_going, processes=processes)
    planned = list(_measure(sheet.rows, manifest))
    layout = choose_layout(parameters.get("results_layout"), len(planned), parameters.get("table_format") or "parquet")
    is_packed, budget = layout == BATCH, parameters.get("batch_pixels")
    is_auto = budget in (None, AUTO)
    batch_pixels = auto_batch_pixels(parameters, setting, is_packed=is_packed) if is_auto else int(str(budget))
    cuts = cut_batches([p.sample.sample for p in planned], [weigh(p.model_pixels) for p in planned], batch_pixels)
    pixels = [sum(planned[i].model_pixels for i in cut) for cut in cuts]
    tiles = [sum(planned[i].tiles for i in cut) for cut in cuts]
    samples = [p.sample for p in planned]
    on_cpu = [is_on_cpu(name_batch([planned[i].sample.sample for i in cut]), setting.cpu_share) for cut in cuts]
    money = project_money(pixels, samples, parameters, setting, tiles, on_cpu, is_packed=is_packed)
    if engine == DEEPCELL:
        money["phases"]["why"] = "--engine deepcell does all of an image in one step"
    size = parameters.get("shard_pixels")
    directives = Directives(
        phases=money["phases"]["choice"],
        engine=engine,
        engine_mb=project_engine_mb(engine, parameters.get("tile_batch") or 1, model.weights_bytes),
        shard_pixels=AUTO_SHARD_PIXELS if size in (None, AUTO) else int(size),
        is_guarded=keep_going,
        fused_cores=setting.fleet.stations[FUSED].vcpus,
        layout=layout,
        cpu_share=setting.cpu_share,
        cpu_side_cores=setting.fleet.without_gpus.stations[FUSED].vcpus,
    )
    batches = [_describe([planned[i] for i in cut], sheet.files, directives) for cut in cuts]
    if directives.phases == FUSED and parameters.get("phases") == AUTO:
        reason = refuse_fused(batches, fused_room_mb(parameters, table))
        if reason:
            money["phases"] = {"choice": SPLIT, "why": f"--phases auto; {reason}"}
            directives = replace(directives, phases=SPLIT)
            batches = [_describe([planned[i] for i in cut], sheet.files, directives) for cut in cuts]
    # the longest tasks start first, so that the last ones to end are short
    batches.sort(key=lambda batch: -batch["meta"]["pixels"])
    machines = assign_machines(batches, parameters, table)
    is_fused = directives.phases == FUSED
    heads = 2 * len(manifest.selected(parameters.get("compartment") or "both"))
    plan = {
        "samples": len(planned),
        "batches": len(batches),
        "batch_pixels": batch_pixels,
        "results_layout": directives.layout,
        "shards": sum(batch["meta"]["shards"] for batch in batches),
        "image_pixels": sum(p.sample.shape[0] * p.sample.shape[1] for p in planned),
        "model_pixels": sum(p.model_pixels for p in planned),
        "tiles": sum(p.tiles for p in planned),
        "memory_mb": {
            phase: max((batch["meta"]["memory"][phase] for batch in batches), default=0) for phase in directives.names
        },
        "handoff_bytes": {}
        if is_fused
        else handoff_bytes([p.model_pixels for p in planned], len(manifest.channels), heads),
        "files_not_read": [f"{row.row.sample}: {name}" for row in sheet.rows for name in row.not_read],
        "remarks": sheet.remarks,
        "left_out": [asdict(sample) for sample in sheet.left_out],
        "rerun_rows": list(rerun_rows(sheet)) if keep_going else [],
        "model": {
            "name": manifest.name,
            "version": manifest.version,
            "model_mpp": manifest.model_mpp,
            "prepared": name_prepared(model, engine),
        },
        "machines": machines,
        "prices": {name: prices[name] for name in ("region", "date")} if prices else {},
        **money,
    }
    logger.info("%d samples in %d batches", len(planned), len(batches))
    if parameters.get("preview"):
        # the plan tells of the whole run, its one batch holds a few samples
        shown = [planned[i] for i in spread(len(planned), PREVIEWED_SAMPLES)]
        batches = [_describe(shown, sheet.files, replace(directives, phases=SPLIT, cpu_share=0.0))]
        assign_machines(batches, parameters, table)
    return batches, plan


def check_parameters(schema: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give parameters of the right types, or an error that names the wrong one and the nearest known."""
    return read_parameters(schema, dict(parameters))


def write_plan(batches: Sequence[Mapping[str, Any]], plan: Mapping[str, Any], outdir: Path) -> None:
    """Write ``batches.jsonl`` and ``rerun_rows.jsonl`` for processes, ``plan.json`` and ``plan.txt`` for people."""
    plan = dict(plan)
    rows = "".join(json.dumps(row) + "\n" for row in plan.pop("rerun_rows"))
    outdir.mkdir(parents=True, exist_ok=True)
    # the record stays text on its way through Nextflow, which must neither read nor reorder it
    records = [{**batch, **{kind: encode_record(batch[kind]) for kind in ("record", "measured")}} for batch in batches]
    lines = [json.dumps(record, sort_keys=True) + "\n" for record in records]
    write_text(outdir / "batches.jsonl", "".join(lines))
    summaries = [{**batch["meta"], "samples": batch["record"].sample_names} for batch in batches]
    write_text(outdir / "plan.json", json.dumps({**plan, "batch_list": summaries}, indent=1) + "\n")
    write_text(outdir / "rerun_rows.jsonl", rows)
    write_text(outdir / "plan.txt", _plan_text(plan))


def _plan_text(plan: Mapping[str, Any]) -> str:
    memory = ", ".join(f"{phase} {value} MB" for phase, value in plan["memory_mb"].items())
    volume = ", ".join(f"{name} {value / 1e6:.1f} MB" for name, value in plan["handoff_bytes"].items())
    return (
        f"samples            {plan['samples']}\n"
        f"batches            {plan['batches']} (of about {plan['batch_pixels']} pixels at most)\n"
        f"inference tasks    {plan['shards']}\n"
        f"image pixels       {plan['image_pixels']}\n"
        f"model pixels       {plan['model_pixels']} at {plan['model']['model_mpp']} um/px\n"
        f"model tiles        {plan['tiles']}\n"
        f"memory, largest    {memory}\n"
        f"hand-off files     {f'{volume}, before compression' if volume else 'none'}\n"
        f"files not read     {', '.join(plan['files_not_read']) or 'none'}\n"
        + "".join(f"REMARK             {remark}\n" for remark in plan["remarks"])
        + "".join(
            f"LEFT OUT           {out['sample']} (row {out['row']}): {out['reason']}\n" for out in plan["left_out"]
        )
        + "\n"
        + money_text(plan)
    )


def _measure(checked: Sequence[CheckedRow], manifest: Manifest) -> Iterator[PlannedSample]:
    for index, row in enumerate(checked):
        for sample in row.samples:
            shape = model_shape(sample.shape, sample.image_mpp, manifest.model_mpp)
            yield PlannedSample(sample, index, shape[0] * shape[1], len(make_grid(shape, manifest)))


def _describe(
    planned: Sequence[PlannedSample], files: Sequence[Sequence[StagedFile]], directives: Directives
) -> dict[str, Any]:
    """One batch: identifier, directives, the rows to stage, and the records with positions counted in that order.

    ``record`` is for the phases up to the labels, ``measured`` also has the samplesheet's own columns and the
    channels to measure: another word there does not repeat the segmentation.
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
    shard_pixels = 0 if directives.phases == FUSED else directives.shard_pixels
    is_beside = is_on_cpu(identifier, directives.cpu_share)
    return {
        "meta": {
            "id": identifier,
            "images": len(samples),
            "pixels": sum(pixels),
            "phases": directives.phases,
            "memory": directives.project_memory(samples, pixels, is_beside=is_beside),
            "shards": count_shards(pixels, shard_pixels),
            "shard_pixels": shard_pixels,
            **({"layout": BATCH} if directives.layout == BATCH else {}),
            **({"device": ON_CPU} if is_beside else {}),
        },
        "rows": rows,
        "record": BatchRecord(Batch(identifier, samples), measured=False),
        "measured": BatchRecord(Batch(identifier, samples), measured=True),
    }
