"""The report's sections as MultiQC custom content: tables in, one JSON text per section out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from cellbatch.quality.verdict import VERDICTS
from cellbatch.reporting.failed import table_of_failed
from cellbatch.reporting.guide import section_of_citations, section_of_opening
from cellbatch.reporting.html import Card, render_gallery, render_legend, render_tiles
from cellbatch.reporting.overlays import MEMBRANE_RGB, NUCLEAR_OUTLINE_RGB, NUCLEAR_RGB, WHOLE_CELL_RGB
from cellbatch.reporting.paid import place_of_paid
from cellbatch.reporting.plots import plot_areas, plot_cells, plot_intensities, plot_time
from cellbatch.reporting.resources import projected_dollars, section_of_memory, section_of_plan
from cellbatch.reporting.section import list_facts, make_section, write_json
from cellbatch.reporting.summary import COLUMNS

MAX_THUMBNAILS = 100
MAX_TABLE_ROWS = 2000
NOT_SEGMENTED = "not segmented"
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
    "cell_diameter_um": {
        "title": "Diameter",
        "description": "Of a circle with the median area of a cell",
        "format": "{:,.1f}",
        "suffix": " µm",
        "hidden": True,
    },
    "signal_to_noise": {
        "title": "Signal/noise",
        "description": "Median over nuclei, mean inside minus mean around, in standard errors",
        "format": "{:,.1f}",
        "hidden": True,
    },
    "focus": {
        "title": "Focus",
        "description": "Fine detail in the nuclear channel",
        "format": "{:,.2f}",
        "hidden": True,
    },
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
    failed : ``sample``, ``phase`` and ``reason`` of every sample that has no result
    """

    summary: pd.DataFrame
    timings: pd.DataFrame
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    overlays: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    failed: tuple[Mapping[str, str], ...] = ()
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
    plan = facts.plan
    known = {name: value for name, value in facts.parameters.items() if value is not None}
    # settings of a cloud that was not used would only hide the others
    unused = {"google": (), "cluster": ("gcp_",)}.get(str(known.get("place")), ("gcp_", "container_"))
    shown = {name: value for name, value in known.items() if not name.startswith(unused)}
    sections = [
        facts.failed and make_section("failed", "Not segmented", "", "html", table_of_failed(facts.failed)),
        _glance(facts),
        _samples(facts.summary),
        _overlays(facts),
        plot_cells(facts.summary),
        plot_areas(facts.summary),
        plot_intensities(facts.summary, "nuclear"),
        plot_intensities(facts.summary, "membrane"),
        plot_time(facts.timings),
        section_of_memory(plan, facts.timings),
        section_of_plan(plan, facts.timings),
        _opening(facts, known) if len(facts.summary) else None,
        list_facts(
            "model", "Model", "The network that found the cells; its licence applies to the results.", facts.model
        ),
        list_facts("parameters", "Parameters", "Every parameter of the run that has a value.", shown),
        section_of_citations(facts.model) if facts.model else None,
    ]
    files = {f"{section['id']}_mqc.json": write_json(section) for section in sections if section}
    if facts.versions:
        # JSON is YAML: MultiQC takes this file for its own section on software versions.
        files["cellbatch_mqc_versions.yml"] = write_json(facts.versions)
    return files


def _opening(facts: RunFacts, known: Mapping[str, Any]) -> dict[str, Any]:
    """How to open the results, with the first sample as the example."""
    first = facts.summary.iloc[0]
    is_joined = facts.plan.get("results_layout") == "batch"
    return section_of_opening(first["sample"], known, first["batch"] if is_joined else "")


def _glance(facts: RunFacts) -> dict[str, Any]:
    """Give the answers that most readers came for."""
    summary = facts.summary
    counts = summary["verdict"].value_counts()
    megapixels = float((summary["y_px"] * summary["x_px"]).sum()) / 1e6
    tiles = {"samples": f"{len(summary):,}"}
    if facts.failed:
        # what has no result stands beside what has, in the colour of a failure
        tiles[NOT_SEGMENTED] = f"{len(facts.failed):,}"
    for column in ("cells", "nuclei"):
        if summary[column].notna().any():
            tiles[column] = f"{int(summary[column].sum()):,}"
    for verdict in VERDICTS:
        tiles[verdict] = f"{int(counts.get(verdict, 0)):,}"
    tiles["Mpx of images"] = f"{megapixels:,.1f}"
    tiles["task time"] = _duration(float(facts.timings["seconds"].sum()))
    dollars = projected_dollars(facts.plan)
    if dollars:
        tiles["projected cost"] = dollars
    doubtful = _by_verdict(summary)
    doubtful = doubtful[doubtful["verdict"] != "pass"]
    lines = [f"<li><b>{escape(s)}</b>: {escape(r)}</li>" for s, r in doubtful[["sample", "reasons"]].values[:10]]
    more = f"<li>… and {len(doubtful) - 10:,} more in the table below</li>" if len(doubtful) > 10 else ""
    trouble = f"<p>Look at these first:</p><ul>{''.join(lines)}{more}</ul>" if lines else ""
    model = " ".join(str(facts.model[key]) for key in ("name", "version") if facts.model.get(key))
    licence = facts.model.get("licence")
    terms = f", licence {escape(str(licence))}" if licence else ""
    used = f"<p>Model: <b>{escape(model)}</b>{terms}.</p>" if model else ""
    return make_section(
        "glance", "At a glance", "", "html", render_tiles(tiles) + place_of_paid("glance") + trouble + used
    )


def _samples(summary: pd.DataFrame) -> dict[str, Any] | None:
    """One row per sample; of very many only the doubtful ones."""
    summary = _by_verdict(summary)
    shown, note = (
        summary,
        "One row per sample, the doubtful ones first; a click on a title sorts. More columns: qc/summary.csv.",
    )
    if len(summary) > MAX_TABLE_ROWS:
        shown = summary[summary["verdict"] != "pass"].head(MAX_TABLE_ROWS)
        note = f"Only {len(shown):,} samples that did not pass are listed; all {len(summary):,} are in qc/summary.csv."
    if shown.empty:
        return None
    table = shown.drop(columns="sample").set_index(shown["sample"])
    table["size"] = [f"{y}\u00a0×\u00a0{x}" for y, x in zip(shown["y_px"], shown["x_px"], strict=True)]
    table["coverage"] *= 100
    extra = [name for name in summary.columns if name not in COLUMNS]
    headers = _SAMPLE_HEADERS | {f"column_{place}": {"title": escape(name)} for place, name in enumerate(extra)}
    table = table.rename(columns={name: f"column_{place}" for place, name in enumerate(extra)})
    headers = {name: header for name, header in headers.items() if table[name].notna().any()}
    rows = {sample: _cells_of(row) for sample, row in table[list(headers)].to_dict("index").items()}
    table_config = {"no_violin": True, "col1_header": "Sample", "scale": False, "sort_rows": False}
    return make_section("samples", "Samples", note, "table", rows, pconfig=table_config, headers=headers)


def _by_verdict(summary: pd.DataFrame) -> pd.DataFrame:
    """Order samples with those first that need a look."""
    rank = summary["verdict"].map({verdict: -place for place, verdict in enumerate(VERDICTS)})
    return summary.iloc[np.argsort(rank.to_numpy(), kind="stable")]


def _overlays(facts: RunFacts) -> dict[str, Any] | None:
    """Thumbnails, the doubtful samples first."""
    ordered = _by_verdict(facts.summary)
    shown = ordered[ordered["sample"].isin(list(facts.thumbnails))]
    note = "Click to enlarge"
    note += "; the name opens the full overlay." if facts.overlays else "."
    if len(facts.summary) > MAX_THUMBNAILS:
        shown = shown[shown["verdict"] != "pass"].head(MAX_THUMBNAILS)
        note += f" Of {len(facts.summary):,} samples only those that did not pass are shown ({len(shown):,})."
    if shown.empty:
        return None
    cards = (
        Card(
            str(row["sample"]),
            str(row["verdict"]),
            ", ".join(f"{row[column]:,} {column}" for column in ("cells", "nuclei") if pd.notna(row[column])),
            facts.thumbnails[row["sample"]],
            facts.overlays.get(row["sample"], ""),
            int(row["crops"]),
            int(row["overlay_reduction"]),
        )
        for row in shown.to_dict("records")
    )
    colours = {
        "cell outline": WHOLE_CELL_RGB,
        "nucleus outline": NUCLEAR_OUTLINE_RGB,
        "nuclear channel": NUCLEAR_RGB,
        "membrane channel": MEMBRANE_RGB,
    }
    return make_section("overlays", "Overlays", note, "html", render_legend(colours) + render_gallery(cards))


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
