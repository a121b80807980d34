"""What a run took and cost, put into its finished page: the trace is complete only when the page is written."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from cellbatch.reporting.html import render_table

_PENDING = "<p>What the run took and cost is filled in when it has ended; it stands in pipeline_info/cost.csv, too.</p>"
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def place_of_paid(name: str) -> str:
    """HTML to be replaced when the run has ended; ``name`` is ``glance`` or ``plan``."""
    return f'<div id="cellbatch-paid-{name}">{_PENDING if name == "plan" else ""}</div>'


def fill_paid(page: str, cost: pd.DataFrame) -> str:
    """Put time and cost into a page; a page that has them already gets them anew.

    Parameters
    ----------
    page : HTML of the report
    cost : as ``build_cost`` returns it
    """
    run = cost[cost["scope"] == "run"]
    is_priced = bool(run.loc[run["unit"] == "USD", "measured"].fillna(0).any())
    rows = [
        (row["quantity"], _say(row["planned"], row["unit"]), _say(row["measured"], row["unit"]))
        for row in run.to_dict("records")
        if pd.notna(row["measured"]) and (is_priced or row["unit"] != "USD")
    ]
    texts = {"plan": "<h4>Planned and measured</h4>" + render_table(("", "planned", "measured"), rows)}
    measured, planned = (run.set_index("quantity")[name].to_dict() for name in ("measured", "planned"))
    texts["glance"] = f"<p>{_sentence(measured, planned)}</p>"
    for name, text in texts.items():
        pattern = re.compile(rf'(<div id="cellbatch-paid-{name}">).*?(</div>)', re.DOTALL)
        page = pattern.sub(lambda found, text=text: found[1] + text + found[2], page, count=1)  # type: ignore[misc]
    return page


def _sentence(measured: Mapping[str, float], planned: Mapping[str, float]) -> str:
    """Say in words what most readers ask for."""
    took = f"The run took <b>{_say(measured['end-to-end time'], 's')}</b> from the first task to the last"
    if not measured["cost"]:
        return f"{took}; this machine has no price."
    expected = planned["cost"]
    beside = f", planned {_say(expected, 'USD')}" if pd.notna(expected) else ""
    each = _say(measured["cost per sample"], "USD")
    return f"{took} and cost <b>{_say(measured['cost'], 'USD')}</b>{beside}: {each} per sample."


def _say(value: float | None, unit: str) -> str:
    """Time in the unit that reads best, dollars, or a share."""
    if value is None or pd.isna(value):
        return ""
    if unit == "USD":
        return f"${value:,.2f}" if value >= 0.1 else f"${value:.3g}"
    if unit == "s":
        name = max((name for name, size in _UNITS.items() if value >= 2 * size), key=_UNITS.__getitem__, default="s")
        return f"{value / _UNITS[name]:,.1f} {name}"
    return f"{100 * value:.0f} %"
