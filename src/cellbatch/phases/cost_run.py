"""After a run: ``cost.csv`` from its trace, its timings and its plan."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas as pd

from cellbatch.errors import InputError
from cellbatch.io.atomic import write_text
from cellbatch.io.tables import read_table, write_table
from cellbatch.reporting.cost import build_cost
from cellbatch.reporting.paid import fill_paid
from cellbatch.reporting.timings import COLUMNS

logger = logging.getLogger(__name__)

TRACE = "pipeline_info/execution_trace.txt"
TIMINGS = "pipeline_info/timings.csv"
PLAN = "plan/plan.json"
COST = "pipeline_info/cost.csv"
REPORT = "report/multiqc_report.html"
NEEDED = {"process", "tag", "status", "exit", "attempt", "submit", "start", "complete", "realtime", "memory"}
REPORT_PROCESS = "REPORT_RUN"
REPORT_DONE = {"COMPLETED", "CACHED"}


def cost_run(results: Path, trace: Path | None = None) -> pd.DataFrame:
    """Write ``pipeline_info/cost.csv`` of a run, and put what it says into the report where there is one.

    Parameters
    ----------
    results : folder of the results, as ``--outdir`` named it
    trace : Nextflow's trace where it does not stand among the results

    Raises
    ------
    InputError
        If the trace or the plan is missing or is not one.
    """
    place = trace or results / TRACE
    for path in (place, results / PLAN):
        if not path.is_file():
            raise InputError(f"no file {path}; name the folder that --outdir named, of a run that has ended")
    plan = json.loads((results / PLAN).read_text(encoding="utf-8"))
    attempts = pd.read_csv(place, sep="\t", dtype=str, keep_default_na=False)
    missing = NEEDED - set(attempts)
    if missing or "machine_hour" not in plan:
        what = f"lacks {', '.join(sorted(missing))}" if missing else "comes from an older version"
        raise InputError(
            f"{place if missing else results / PLAN}: {what}; run the pipeline again with its own settings"
        )
    written = results / TIMINGS
    # a stub run leaves an empty file, a run that failed none
    has_timings = written.is_file() and written.stat().st_size > 0
    timings = read_table(written) if has_timings else pd.DataFrame(columns=list(COLUMNS))
    table = build_cost(attempts, timings, plan)
    write_table(table, results / COST, "csv")
    page = results / REPORT
    # a page that this run did not write is another run's
    if page.is_file() and REPORT_DONE & set(attempts.loc[attempts["process"] == REPORT_PROCESS, "status"]):
        write_text(page, fill_paid(page.read_text(encoding="utf-8"), table))
    run = table[table["scope"] == "run"].set_index("quantity")["measured"]
    logger.info("%.0f s end to end, %.2f dollars", run["end-to-end time"], run["cost"])
    return table
