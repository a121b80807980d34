"""What a run took and cost, from Nextflow's trace, beside what was planned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cellbatch.reporting.timings import SETUP_STEPS

COLUMNS = ("scope", "name", "quantity", "unit", "planned", "measured")
PREEMPTED = range(50001, 50007)
GPU_PROCESSES = ("INFER_TILES", "SEGMENT_BATCH", "PREVIEW_IMAGES")
PHASE_OF = {
    "PREPROCESS_IMAGES": "preprocess",
    "INFER_TILES": "infer",
    "POSTPROCESS_LABELS": "postprocess",
    "MEASURE_CELLS": "measure",
    "SEGMENT_BATCH": "fused",
    # of the share of the batches that machines without GPU infer
    "INFER_TILES_CPU": "infer",
    "SEGMENT_BATCH_CPU": "fused",
    # previews run the network on the machines of inference
    "PREVIEW_IMAGES": "infer",
}
MIB = 2**20
_TIMES = ("submit", "start", "complete", "realtime")


def read_attempts(trace: pd.DataFrame, plan: Mapping[str, Any]) -> pd.DataFrame:
    """One row per attempt that this run made: seconds, machine and dollars.

    Parameters
    ----------
    trace : Nextflow's trace with raw values: times in ms since 1970, ``-`` where there is none
    plan : as PLAN_BATCHES wrote it: ``batch_list`` with machines by attempt, ``machine_hour`` in dollars

    Returns
    -------
    pandas.DataFrame
        ``process, tag`` (of the task: a batch has several tasks of a process where its images are cut into shards),
        ``batch, attempt, outcome`` (done, failed or preempted), ``machine``, ``queue_s`` (from submission until the
        machine runs), ``staging_s`` (image, driver, files), ``work_s``, ``lost_s`` (attempts that failed), ``held_s``
        (what is paid) and ``dollars``. Cached tasks were paid by an earlier run and are left out.

    Raises
    ------
    ValueError
        If a machine has no price in the plan.
    """
    ran = trace[trace["status"] != "CACHED"].reset_index(drop=True)
    # SEGMENT_SPLIT:INFER_TILES, by the workflow that the process stands in
    ran = ran.assign(process=ran["process"].astype(str).str.rsplit(":", n=1).str[-1])
    # of a run whose tasks were all cached there is no row, and no type either
    times = ran[list(_TIMES)].apply(pd.to_numeric, errors="coerce").astype("float64") / 1000
    exits = pd.to_numeric(ran["exit"], errors="coerce").astype("float64")
    attempt = pd.to_numeric(ran["attempt"], errors="coerce").fillna(1).astype(int)
    tag = ran["tag"].astype(str)
    batch = tag.str.split(" ").str[0].where(tag != "-", "")
    done = ran["status"] == "COMPLETED"
    started = times["start"].fillna(times["submit"])
    held = (times["complete"] - started).clip(lower=0).fillna(0)
    work = times["realtime"].where(done, 0).fillna(0).clip(upper=held)
    tasks = pd.DataFrame({"process": ran["process"], "tag": tag, "batch": batch, "attempt": attempt})
    machines = _machines(tasks, pd.to_numeric(ran["memory"], errors="coerce").fillna(0) / MIB, plan)
    unknown = sorted(set(machines) - set(plan["machine_hour"]))
    if unknown:
        raise ValueError(f"no price for the machine {', '.join(unknown)} in plan.json")
    return tasks.assign(
        outcome=np.select([done, exits.isin(PREEMPTED)], ["done", "preempted"], "failed"),
        machine=machines,
        submit_s=times["submit"],
        complete_s=times["complete"],
        queue_s=(started - times["submit"]).clip(lower=0).fillna(0),
        staging_s=(held - work).where(done, 0),
        work_s=work,
        lost_s=held.where(~done, 0),
        held_s=held,
        dollars=held / 3600 * machines.map(plan["machine_hour"]).astype(float),
    )


def build_cost(trace: pd.DataFrame, timings: pd.DataFrame, plan: Mapping[str, Any]) -> pd.DataFrame:
    """Table of ``cost.csv``: one quantity per row, planned beside measured.

    Parameters
    ----------
    trace : as for ``read_attempts``
    timings : of all tasks, as ``merge_timings`` gives them
    plan : as PLAN_BATCHES wrote it

    Returns
    -------
    pandas.DataFrame
        ``scope`` (``run`` or ``process``), ``name``, ``quantity``, ``unit``, ``planned`` (empty where nothing was),
        ``measured``.
    """
    attempts = read_attempts(trace, plan)
    planned = _planned(attempts, plan)
    rows = [row for process in dict.fromkeys(attempts["process"]) for row in _process_rows(process, attempts, planned)]
    table = pd.DataFrame([*_run_rows(attempts, timings, plan, planned), *rows], columns=list(COLUMNS))
    return table.astype({"planned": "float64", "measured": "float64"})


def _machines(tasks: pd.DataFrame, asked_mb: pd.Series, plan: Mapping[str, Any]) -> pd.Series:
    """Machine of each attempt, by the memory that it asked for, as the modules choose it."""
    by_batch = {entry["id"]: entry for entry in plan["batch_list"]}
    found = []
    for process, batch, mb in zip(tasks["process"], tasks["batch"], asked_mb, strict=True):
        names, sizes = (
            by_batch.get(batch, {}).get(kind, {}).get(PHASE_OF.get(process, ""), ())
            for kind in ("machine", "machine_memory")
        )
        fitting = [name for name, size in zip(names, sizes, strict=True) if size >= mb]
        found.append(next(iter(fitting), names[-1] if names else plan["default_machine"]))
    return pd.Series(found, index=tasks.index, dtype=object)


def _planned(attempts: pd.DataFrame, plan: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the estimate of the way that the run took."""
    mode = "fused" if "fused" in set(attempts["process"].map(PHASE_OF)) else "split"
    wanted = (mode, plan["market"])
    return next((row for row in plan["estimates"] if (row["mode"], row["market"]) == wanted), {})


def _process_rows(process: str, attempts: pd.DataFrame, planned: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Quantities of one process."""
    own = attempts[attempts["process"] == process]
    outcomes = own["outcome"].value_counts()
    hours, dollars = (planned.get(name, {}).get(process) for name in ("task_hours", "dollars_by"))
    rows: list[tuple[str, str, Any, Any]] = [
        ("tasks", "", None, own["tag"].nunique() if PHASE_OF.get(process) else (own["outcome"] == "done").sum()),
        ("attempts", "", None, len(own)),
        ("failed attempts", "", None, outcomes.get("failed", 0)),
        ("preempted attempts", "", None, outcomes.get("preempted", 0)),
    ]
    for column in ("queue", "staging", "work", "lost"):
        rows.append((f"{column} time", "s", None, own[f"{column}_s"].sum()))
    rows.append(("machine time", "s", None if hours is None else hours * 3600, own["held_s"].sum()))
    rows.append(("cost", "USD", dollars, own["dollars"].sum()))
    return [("process", process, *row) for row in rows]


def _run_rows(
    attempts: pd.DataFrame, timings: pd.DataFrame, plan: Mapping[str, Any], planned: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Quantities of the whole run."""
    whole_s = attempts["complete_s"].max() - attempts["submit_s"].min() if len(attempts) else 0.0
    overhead = whole_s / 3600 * plan.get("head_hour", 0.0)
    dollars = attempts["dollars"].sum() + overhead
    megapixels = plan["model_pixels"] / 1e6
    steps = timings[timings["step"].isin(SETUP_STEPS)]["seconds"].sum() if len(timings) else 0.0
    paid = attempts["queue_s"].sum() + attempts["held_s"].sum()
    waiting = attempts["queue_s"].sum() + attempts["staging_s"].sum() + steps
    gpu = attempts[attempts["process"].isin(GPU_PROCESSES)] if plan["place"] == "google" else attempts[:0]
    gpu_s = gpu["held_s"].sum()
    on_gpu = timings[timings["batch"].isin(gpu["batch"])] if len(timings) else timings
    network = on_gpu[on_gpu["step"] == "network"]["seconds"].sum() if len(on_gpu) else 0.0
    hours, cost = planned.get("hours"), planned.get("dollars")
    rows = [
        ("end-to-end time", "s", None if hours is None else hours * 3600, whole_s),
        ("total runtime", "s", None, attempts["work_s"].sum()),
        ("machine time", "s", planned.get("machine_hours", np.nan) * 3600, attempts["held_s"].sum()),
        ("lost time", "s", None, attempts["lost_s"].sum()),
        ("set-up share", "", planned.get("setup_share"), waiting / paid if paid else 0.0),
        ("GPU time", "s", planned.get("gpu_hours", np.nan) * 3600, gpu_s),
        ("GPU idle share", "", None, max(0.0, 1 - network / gpu_s) if gpu_s else None),
        ("cost", "USD", cost, dollars),
        ("cost per sample", "USD", None if cost is None else cost / plan["samples"], dollars / plan["samples"]),
        ("cost per Mpx", "USD", None if cost is None else cost / megapixels, dollars / megapixels),
    ]
    return [("run", "", *row) for row in rows]
