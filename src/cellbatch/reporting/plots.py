"""Plots of the report: cells, sizes and intensities over samples, time over phases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cellbatch.reporting.section import make_section
from cellbatch.reporting.summary import AREA_COLUMNS, INTENSITY_COLUMNS
from cellbatch.reporting.timing_tables import gpu_busy_share, mixed_machines, network_share, seconds_by_phase

MAX_BARS = 200
_HISTOGRAM_BINS = 40
_BOX_ENDS = ("min", "q1", "median", "q3", "max")


def plot_cells(summary: pd.DataFrame) -> dict[str, Any] | None:
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
        return make_section("cells", "Cells per sample", note, "linegraph", data, pconfig=config)
    bars = [
        {sample: {column: int(n)} for sample, n in zip(summary["sample"], summary[column], strict=True) if pd.notna(n)}
        for column in counted
    ]
    config = {"data_labels": labels, "cpswitch": False, "sort_samples": False, "tt_decimals": 0}
    return make_section("cells", "Cells per sample", "", "bargraph", bars, pconfig=config)


@dataclass(frozen=True)
class _Spread:
    """A figure of cells that is shown by its percentiles in each sample."""

    section: str
    name: str
    unit: str
    columns: tuple[str, ...]
    what: str
    log: bool = False


def plot_areas(summary: pd.DataFrame) -> dict[str, Any] | None:
    """Spread of cell area per sample, or of the medians over very many samples."""
    return _plot_spread(summary, _Spread("areas", "Cell area", "µm²", AREA_COLUMNS, "the area of a cell"))


def plot_intensities(summary: pd.DataFrame, channel: str) -> dict[str, Any] | None:
    """Spread of the cells' mean intensity in one of the network's channels."""
    columns = INTENSITY_COLUMNS[channel]
    values = summary[list(columns)].to_numpy(np.float64)
    if not (values > 0).any():
        return None
    # samples may differ by orders of magnitude; zeros cannot stand on such an axis
    summary = summary.assign(**{name: summary[name].clip(lower=values[values > 0].min()) for name in columns})
    what = f"the mean of a cell in the {channel} channel, as the network saw it"
    spread = _Spread(f"{channel}_intensity", f"Intensity, {channel} channel", "stored units", columns, what, log=True)
    return _plot_spread(summary, spread)


def plot_time(timings: pd.DataFrame) -> dict[str, Any] | None:
    """Time per phase, set-up apart from work."""
    if timings.empty:
        return None
    phases = seconds_by_phase(timings)
    bars = {row["phase"]: {"set-up": row["setup_s"], "work": row["work_s"]} for row in phases.to_dict("records")}
    loads = int((timings["step"] == "load_model").sum())
    batches = timings.loc[timings["batch"] != "", "batch"].nunique()
    note = "Seconds inside the tasks of each phase, added up over all tasks; set-up is what a task pays once."
    note += f" The model was loaded {loads:,} × for {batches:,} batches." if loads else ""
    share = network_share(timings)
    if share is not None:
        note += f" In one task per batch the phases run at the same time; {share:.0%} of it was inside the network."
    busy = gpu_busy_share(timings)
    if busy is not None:
        models = ", ".join(sorted(set(timings.loc[timings["gpu_busy"].notna(), "machine"]) - {""})) or "GPU"
        note += f" {models}: at work for {busy:.0%} of the time in which there was something to infer."
    for batch, machines in mixed_machines(timings).items():
        note += f" Inference of {batch} ran on different machines: {', '.join(machines)}."
    categories = {"set-up": {"color": "#d55e00"}, "work": {"color": "#0072b2"}}
    config = {"ylab": "seconds", "cpswitch": False, "sort_samples": False, "tt_decimals": 2}
    return make_section("time", "Time per phase", note, "bargraph", bars, pconfig=config, categories=categories)


def _plot_spread(summary: pd.DataFrame, spread: _Spread) -> dict[str, Any] | None:
    median = spread.columns[len(spread.columns) // 2]
    found = summary[summary[median].notna()]
    if found.empty:
        return None
    config: dict[str, Any]
    if len(found) > MAX_BARS:
        data = _histogram(found[median].to_numpy(np.float64))
        config = {"xlab": f"median in a sample, {spread.unit}", "ylab": "samples"}
        note = f"How the median of {spread.what} spreads over {len(found):,} samples."
        return make_section(spread.section, spread.name, note, "linegraph", data, pconfig=config)
    boxes = {
        row["sample"]: {end: row[column] for end, column in zip(_BOX_ENDS, spread.columns, strict=True)}
        for row in found.to_dict("records")
    }
    config = {"xlab": spread.unit, "sort_samples": False, "xlog": spread.log}
    note = f"Median, quartiles and the 5th to 95th percentile of {spread.what}, in each sample."
    return make_section(spread.section, spread.name, note, "box", boxes, pconfig=config)


def _histogram(values: NDArray[np.float64]) -> dict[str, list[tuple[float, int]]]:
    """Count values in equal bins, as one line of a line graph: (middle of the bin, count) each."""
    counts, edges = np.histogram(values, bins=_HISTOGRAM_BINS)
    return {"samples": [(float(x), int(n)) for x, n in zip((edges[1:] + edges[:-1]) / 2, counts, strict=True)]}
