"""What was planned beside what it took: memory, hours and dollars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cellbatch.reporting.html import render_facts, render_table
from cellbatch.reporting.paid import place_of_paid
from cellbatch.reporting.section import make_section

PROCESS_OF = {
    "preprocess": "PREPROCESS_IMAGES",
    "infer": "INFER_TILES",
    "postprocess": "POSTPROCESS_LABELS",
    "measure": "MEASURE_CELLS",
    "fused": "SEGMENT_BATCH",
}
_GB = 1e9
# the row that a task leaves when the one before it died for memory, see ``phases.timing_files``
_GIVEN_MORE = r"attempt_\d+_after_exit_(75|137)"


def section_of_memory(plan: Mapping[str, Any], timings: pd.DataFrame) -> dict[str, Any] | None:
    """Memory per phase: asked for, by the plan, used by the largest process of a task, and tasks that needed more."""
    planned = plan.get("memory_mb") or {}
    repeated = timings.loc[timings["step"].str.fullmatch(_GIVEN_MORE), "phase"].value_counts()
    measured = timings.groupby("phase", sort=False)["peak_mb"].max() if len(timings) else pd.Series(dtype=float)
    rows = [
        (
            phase,
            f"{planned[phase]:,.0f}",
            f"{peak:,.0f}",
            f"{100 * peak / planned[phase]:.0f} %",
            f"{repeated.get(phase, 0):,}",
        )
        for phase, peak in measured.items()
        if planned.get(phase) and peak > 0
    ]
    if not rows:
        return None
    note = "Per task, of the largest batch. Used is the peak of a task's main process, libraries included."
    if len(repeated):
        note += (
            " The plan was wrong for what was tried again with more memory than it asked for (exit codes 75 and 137)."
        )
    table = render_table(("phase", "planned, MB", "used, MB", "used of planned", "tried again with more"), rows)
    return make_section("memory", "Memory", note, "html", table)


def section_of_plan(plan: Mapping[str, Any], timings: pd.DataFrame) -> dict[str, Any] | None:
    """Tell what the plan said before any task started, beside the time inside the tasks."""
    if not plan:
        return None
    facts: dict[str, Any] = {
        "samples": plan.get("samples"),
        "batches": plan.get("batches"),
        "image": _pixels(plan.get("image_pixels")),
        "at the model's pixel size": _pixels(plan.get("model_pixels")),
        "tiles": plan.get("tiles"),
        "handed over between phases": _volume(sum((plan.get("handoff_bytes") or {}).values())),
        "files not read": plan.get("files_not_read") or None,
    }
    html = render_facts({name: value for name, value in facts.items() if value is not None})
    estimates = plan.get("estimates") or []
    if estimates:
        html += _options(estimates, plan) + _hours(_chosen(estimates, plan), timings)
    html += place_of_paid("plan")
    note = "What was projected before any task started, and what it came to, attempts that were lost and waiting "
    note += "included; by process in pipeline_info/cost.csv."
    return make_section("plan", "Plan and cost", note, "html", html)


def projected_dollars(plan: Mapping[str, Any]) -> str:
    """Dollars of the way of running that was chosen; empty where nothing has a price."""
    estimates = plan.get("estimates") or []
    dollars = float(_chosen(estimates, plan)["dollars"]) if estimates else 0.0
    return _dollars(dollars, plan) if dollars else ""


def _options(estimates: list[Mapping[str, Any]], plan: Mapping[str, Any]) -> str:
    """Every way of running that was weighed."""
    chosen = _chosen(estimates, plan)
    rows = [
        (
            f"{item['mode']}, {item['market']}{' (chosen)' if item is chosen else ''}",
            f"{item['tasks']:,}",
            _duration(item["hours"]),
            _dollars(item["dollars"], plan),
            f"{100 * item['setup_share']:.0f} %",
            str(item.get("limited_by", "")),
        )
        for item in estimates
    ]
    head = ("way", "tasks", "projected time", "projected cost", "of it set-up", "limited by")
    return "<h4>Projected</h4>" + render_table(head, rows)


def _hours(estimate: Mapping[str, Any], timings: pd.DataFrame) -> str:
    planned = estimate.get("task_hours") or {}
    measured = timings.groupby("phase", sort=False)["seconds"].sum() / 3600 if len(timings) else {}
    rows = [
        (phase, _duration(planned[PROCESS_OF[phase]]), _duration(hours))
        for phase, hours in measured.items()
        if PROCESS_OF.get(phase) in planned
    ]
    head = ("phase", "planned, with starts", "inside the tasks, without")
    return "<h4>Time of all tasks</h4>" + render_table(head, rows) if rows else ""


def _chosen(estimates: list[Mapping[str, Any]], plan: Mapping[str, Any]) -> Mapping[str, Any]:
    mode = (plan.get("phases") or {}).get("choice")
    return next((item for item in estimates if item["mode"] == mode), estimates[0])


def _dollars(dollars: float, plan: Mapping[str, Any]) -> str:
    if plan.get("place") != "google" and not dollars:
        return "none: this machine has no price"
    return f"${dollars:,.2f}" if dollars >= 0.1 else f"${dollars:.4f}"


def _duration(hours: float) -> str:
    """Hours, minutes or seconds, whichever reads best."""
    for unit, size in (("h", 1.0), ("min", 1 / 60)):
        if hours >= 2 * size:
            return f"{hours / size:,.1f} {unit}"
    return f"{hours * 3600:,.1f} s"


def _pixels(count: float | None) -> str | None:
    return None if count is None else f"{count / 1e6:,.2f} Mpx"


def _volume(count: float) -> str:
    return f"{count / _GB:,.2f} GB" if count >= _GB / 10 else f"{count / 1e6:,.1f} MB"
