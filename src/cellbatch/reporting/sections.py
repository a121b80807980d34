"""The report's sections as MultiQC custom content: tables in, one JSON text per section out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cellbatch.quality.verdict import VERDICTS
from cellbatch.reporting.html import render_facts, render_gallery, render_legend, render_tiles
from cellbatch.reporting.overlays import MEMBRANE_RGB, NUCLEAR_OUTLINE_RGB, NUCLEAR_RGB, WHOLE_CELL_RGB
from cellbatch.reporting.summary import COLUMNS
from cellbatch.reporting.timings import mixed_machines, seconds_by_phase

MAX_THUMBNAILS = 100
MAX_TABLE_ROWS = 2000
MAX_BARS = 200
_HISTOGRAM_BINS = 40
_SAMPLE_HEADERS: dict[str, dict[str, Any]] = {
    "verdict": {"title": "Verdict", "description": "pass, warn or fail"},
    "reasons": {"title": "Reasons", "description": "What speaks against trusting this sample"},
    "cells": {"title": "Cells", "format": "{:,d}", "scale": "Blues", "min": 0},
    "nuclei": {"title": "Nuclei", "format": "{:,d}", "scale": "Purples", "min": 0},
    "cell_density_per_mm2": {
        "title": "Cells/mm²",
        "description": "Cells (nuclei, where only these were segmented) per mm² of image",
        "format": "{:,.0f}",
        "scale": "Greens",
        "min": 0,
    },
    "coverage": {
        "title": "Coverage",
        "description": "Share of the image's area inside cells",
        "format": "{:,.1f}",
        "suffix": " %",
        "scale": "Oranges",
        "min": 0,
        "max": 100,
    },
    "median_area_um2": {
        "title": "Median area",
        "description": "Median area of a cell",
        "format": "{:,.1f}",
        "suffix": " µm²",
        "scale": "YlGn",
        "min": 0,
    },
    "size": {"title": "Size", "description": "Height × width in px"},
    "image_mpp": {"title": "µm/px", "description": "Pixel size", "format": "{:,.4g}"},
    "batch": {"title": "Batch", "hidden": True},
}
_BOX_ENDS = {
    "min": "area_p5_um2",
    "q1": "area_p25_um2",
    "median": "median_area_um2",
    "q3": "area_p75_um2",
    "max": "area_p95_um2",
}


@dataclass(frozen=True)
class RunFacts:
    """All that the report tells.

    Attributes
    ----------
    summary : as ``merge_summaries`` returns it
    timings : as ``merge_timings`` returns it
    thumbnails : sample → JPEG
    overlays : sample → address of its overlay, relative to the report
    model : name, version, licence, citation and whatever else is worth a line
    parameters : the resolved set
    versions : tool → version, or process → tool → version
    plan : what was projected
    """

    summary: pd.DataFrame
    timings: pd.DataFrame
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    overlays: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)


def build_sections(facts: RunFacts) -> dict[str, str]:
    """Turn a run's tables into MultiQC custom-content files.

    Parameters
    ----------
    facts : summary, timings, thumbnails and settings of the run

    Returns
    -------
    dict
        File name → text. Sections with nothing to say are left out.

    References
    ----------
    https://docs.seqera.io/multiqc/custom_content
    """
    sections = [
        _glance(facts),
        _samples(facts.summary),
        _overlays(facts),
        _cells(facts.summary),
        _areas(facts.summary),
        _time(facts.timings),
        _facts("plan", "Plan", "What was projected before any task started.", facts.plan),
        _facts("model", "Model", "The network that found the cells; its licence applies to the results.", facts.model),
        _facts("parameters", "Parameters", "Every parameter of the run; – leaves it to the model.", facts.parameters),
    ]
    files = {f"{section['id']}_mqc.json": _to_json(section) for section in sections if section}
    if facts.versions:
        # JSON is YAML: MultiQC takes this file for its own section on software versions.
        files["cellbatch_mqc_versions.yml"] = _to_json(facts.versions)
    return files


def _glance(facts: RunFacts) -> dict[str, Any]:
    """Give the answers that most readers came for."""
    summary = facts.summary
    counts = summary["verdict"].value_counts()
    megapixels = float((summary["y_px"] * summary["x_px"]).sum()) / 1e6
    tiles = {"samples": f"{len(summary):,}"}
    for column in ("cells", "nuclei"):
        if summary[column].notna().any():
            tiles[column] = f"{int(summary[column].sum()):,}"
    tiles |= {f"samples {verdict}": f"{int(counts.get(verdict, 0)):,}" for verdict in VERDICTS}
    tiles["Mpx of images"] = f"{megapixels:,.1f}"
    tiles["task time"] = _duration(float(facts.timings["seconds"].sum()))
    doubtful = summary[summary["verdict"] != "pass"]
    lines = [f"<li><b>{escape(s)}</b>: {escape(r)}</li>" for s, r in doubtful[["sample", "reasons"]].values[:10]]
    more = f"<li>… and {len(doubtful) - 10:,} more in the table below</li>" if len(doubtful) > 10 else ""
    trouble = f"<p>Look at these first:</p><ul>{''.join(lines)}{more}</ul>" if lines else ""
    model = " ".join(str(facts.model[key]) for key in ("name", "version") if facts.model.get(key))
    licence = facts.model.get("licence")
    terms = f", licence {escape(str(licence))}" if licence else ""
    used = f"<p>Model: <b>{escape(model)}</b>{terms}.</p>" if model else ""
    return _section("glance", "At a glance", "", "html", render_tiles(tiles) + trouble + used)


def _samples(summary: pd.DataFrame) -> dict[str, Any] | None:
    """One row per sample; of very many only the doubtful ones."""
    shown, note = summary, "One row per sample; the same table is qc/summary.csv."
    if len(summary) > MAX_TABLE_ROWS:
        shown = summary[summary["verdict"] != "pass"].head(MAX_TABLE_ROWS)
        note = f"Only {len(shown):,} samples that did not pass are listed; all {len(summary):,} are in qc/summary.csv."
    if shown.empty:
        return None
    table = shown.drop(columns="sample").set_index(shown["sample"])
    table["size"] = [f"{y} × {x}" for y, x in zip(shown["y_px"], shown["x_px"], strict=True)]
    table["coverage"] *= 100
    extra = [name for name in summary.columns if name not in COLUMNS]
    headers = _SAMPLE_HEADERS | {f"column_{place}": {"title": escape(name)} for place, name in enumerate(extra)}
    table = table.rename(columns={name: f"column_{place}" for place, name in enumerate(extra)})
    headers = {name: header for name, header in headers.items() if table[name].notna().any()}
    rows = {sample: _cells_of(row) for sample, row in table[list(headers)].to_dict("index").items()}
    table_config = {"no_violin": True, "col1_header": "Sample", "scale": False}
    return _section("samples", "Samples", note, "table", rows, pconfig=table_config, headers=headers)


def _overlays(facts: RunFacts) -> dict[str, Any] | None:
    """Thumbnails, the doubtful samples first."""
    rank = facts.summary["verdict"].map({verdict: -place for place, verdict in enumerate(VERDICTS)})
    ordered = facts.summary.iloc[np.argsort(rank.to_numpy(), kind="stable")]
    shown = ordered[ordered["sample"].isin(list(facts.thumbnails))]
    note = "Click to enlarge"
    note += "; the name opens the full overlay." if facts.overlays else "."
    if len(facts.summary) > MAX_THUMBNAILS:
        shown = shown[shown["verdict"] != "pass"].head(MAX_THUMBNAILS)
        note += f" Of {len(facts.summary):,} samples only those that did not pass are shown ({len(shown):,})."
    if shown.empty:
        return None
    cards = (
        (
            str(row["sample"]),
            str(row["verdict"]),
            ", ".join(f"{row[column]:,} {column}" for column in ("cells", "nuclei") if pd.notna(row[column])),
            facts.thumbnails[row["sample"]],
            facts.overlays.get(row["sample"], ""),
        )
        for row in shown.to_dict("records")
    )
    colours = {
        "cell outline": WHOLE_CELL_RGB,
        "nucleus outline": NUCLEAR_OUTLINE_RGB,
        "nuclear channel": NUCLEAR_RGB,
        "membrane channel": MEMBRANE_RGB,
    }
    return _section("overlays", "Overlays", note, "html", render_legend(colours) + render_gallery(cards))


def _cells(summary: pd.DataFrame) -> dict[str, Any] | None:
    """Cells and nuclei per sample, or their distribution over very many samples."""
    counted = [column for column in ("cells", "nuclei") if summary[column].notna().any()]
    if not counted:
        return None
    labels = [{"name": column.capitalize(), "ylab": column} for column in counted]
    if len(summary) > MAX_BARS:
        data = [_histogram(summary[column].dropna().to_numpy(np.float64)) for column in counted]
        config: dict[str, Any] = {
            "data_labels": [{**label, "ylab": "samples", "xlab": label["ylab"]} for label in labels]
        }
        note = f"How many of the {len(summary):,} samples have how many cells."
        return _section("cells", "Cells per sample", note, "linegraph", data, pconfig=config)
    bars = [
        {sample: {column: int(n)} for sample, n in zip(summary["sample"], summary[column], strict=True) if pd.notna(n)}
        for column in counted
    ]
    config = {"data_labels": labels, "cpswitch": False, "sort_samples": False}
    return _section("cells", "Cells per sample", "", "bargraph", bars, pconfig=config)


def _areas(summary: pd.DataFrame) -> dict[str, Any] | None:
    """Spread of cell area per sample, or of the medians over very many samples."""
    found = summary[summary["median_area_um2"].notna()]
    if found.empty:
        return None
    if len(found) > MAX_BARS:
        data = _histogram(found["median_area_um2"].to_numpy(np.float64))
        config = {"xlab": "median area of a cell, µm²", "ylab": "samples"}
        note = f"How the median area of a cell spreads over {len(found):,} samples."
        return _section("areas", "Cell area", note, "linegraph", data, pconfig=config)
    boxes = {row["sample"]: {end: row[column] for end, column in _BOX_ENDS.items()} for row in found.to_dict("records")}
    note = "Median, quartiles and the 5th to 95th percentile of the area of a cell in each sample."
    return _section("areas", "Cell area", note, "box", boxes, pconfig={"xlab": "µm²", "sort_samples": False})


def _time(timings: pd.DataFrame) -> dict[str, Any] | None:
    """Time per phase, set-up apart from work."""
    if timings.empty:
        return None
    phases = seconds_by_phase(timings)
    bars = {row["phase"]: {"set-up": row["setup_s"], "work": row["work_s"]} for row in phases.to_dict("records")}
    loads = int((timings["step"] == "load_model").sum())
    batches = timings.loc[timings["batch"] != "", "batch"].nunique()
    note = "Seconds inside the tasks of each phase, added up over all tasks."
    note += f" The model was loaded {loads:,} × for {batches:,} batches." if loads else ""
    for batch, machines in mixed_machines(timings).items():
        note += f" Inference of {batch} ran on different machines: {', '.join(machines)}."
    categories = {"set-up": {"color": "#d55e00"}, "work": {"color": "#0072b2"}}
    config = {"ylab": "seconds", "cpswitch": False, "sort_samples": False, "tt_decimals": 2}
    return _section("time", "Time per phase", note, "bargraph", bars, pconfig=config, categories=categories)


def _facts(section: str, name: str, description: str, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """List names and values, if there are any."""
    return _section(section, name, description, "html", render_facts(facts)) if facts else None


def _section(section: str, name: str, description: str, plot_type: str, data: Any, **settings: Any) -> dict[str, Any]:
    """One section in the words of MultiQC's custom content."""
    anchor = f"cellbatch_{section}"
    settings.setdefault("pconfig", {}).update(id=f"{anchor}_plot", title=name)
    return {
        "id": anchor,
        "section_name": name,
        "description": description,
        "plot_type": plot_type,
        "data": data,
        **settings,
    }


def _histogram(values: NDArray[np.float64]) -> dict[str, list[tuple[float, int]]]:
    """Count values in equal bins, as one line of a line graph: (middle of the bin, count) each."""
    counts, edges = np.histogram(values, bins=_HISTOGRAM_BINS)
    return {"samples": [(float(x), int(n)) for x, n in zip((edges[1:] + edges[:-1]) / 2, counts, strict=True)]}


def _cells_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the values of a table's row that are there, text made safe for HTML."""
    return {
        name: escape(value) if isinstance(value, str) else value
        for name, value in row.items()
        if pd.notna(value) and value != ""
    }


def _duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def _to_json(record: Mapping[str, Any]) -> str:
    """JSON text; NumPy's numbers become plain ones."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, default=lambda number: number.item())
