"""What a run that kept going did not deliver: samples with reasons, and a samplesheet that runs them again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cellbatch.io.atomic import write_text
from cellbatch.phases.check_samplesheet import CheckedSheet, rerun_cells
from cellbatch.phases.failures import Failure

PLAN_PHASE = "plan"
LOST = (
    "its batch's task ended without a result: it was killed, or stopped at a fault of the whole batch; look for "
    "the task in pipeline_info/execution_trace.txt, and give it more memory or fix what it says"
)


def rerun_rows(sheet: CheckedSheet) -> Iterator[dict[str, Any]]:
    """Give every sample of a samplesheet with the cells of a row that segments it again."""
    for row in sheet.rows:
        left_out = {fault.sample or row.row.sample for fault in row.faults}
        for sample in sorted(left_out | {sample.sample for sample in row.samples}):
            yield {"sample": sample, "row": row.row.number, "cells": rerun_cells(row, sample)}


def find_undelivered(plan: Mapping[str, Any], failures: Sequence[Failure], delivered: Iterable[str]) -> list[Failure]:
    """List all samples that have no result, each with the first reason known.

    Parameters
    ----------
    plan : as PLAN_BATCHES wrote it
    failures : what the tasks left out
    delivered : samples of the summary
    """
    found = [Failure(out["sample"], PLAN_PHASE, f"row {out['row']}: {out['reason']}") for out in plan["left_out"]]
    reasons: dict[str, Failure] = {}
    for failure in failures:
        reasons.setdefault(failure.sample, failure)
    done = set(delivered)
    for batch in plan["batch_list"]:
        for sample in batch["samples"]:
            if sample not in done:
                found.append(reasons.get(sample, Failure(sample, "batch " + str(batch["id"]), LOST)))
    return found


def write_rerun(undelivered: Sequence[Failure], rows: Path, outdir: Path, planned: int) -> None:
    """Write ``rerun_samplesheet.csv`` and ``failed.txt``; nothing where every sample was delivered.

    Parameters
    ----------
    undelivered : see ``find_undelivered``
    rows : lines of JSON as ``rerun_rows`` gives them
    outdir : existing folder
    planned : number of samples that the plan let through
    """
    if not undelivered:
        return
    wanted = {failure.sample for failure in undelivered}
    records = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    # several images of one archive stand for the same row
    chosen = {json.dumps(record["cells"]): record["cells"] for record in records if record["sample"] in wanted}
    header = list(dict.fromkeys(column for cells in chosen.values() for column in cells))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(chosen.values())
    write_text(outdir / "rerun_samplesheet.csv", stream.getvalue())
    left_out = sum(failure.phase == PLAN_PHASE for failure in undelivered)
    lines = [
        f"{len(undelivered)} of {planned + left_out} samples were NOT segmented; the others are in the results. "
        "Repair what the reasons name and run rerun_samplesheet.csv:",
        *(f"  {failure.sample} ({failure.phase}): {failure.reason}" for failure in undelivered),
    ]
    write_text(outdir / "failed.txt", "\n".join(lines) + "\n")
