"""The summary: one row per sample, one file per batch, one table per run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cellbatch.spec import SampleSpec

VERDICTS = ("pass", "warn", "fail")
AREA_PERCENTILES = {"area_p5_um2": 5, "area_p25_um2": 25, "median_area_um2": 50, "area_p75_um2": 75, "area_p95_um2": 95}
COLUMNS = {
    "sample": "str",
    "batch": "str",
    "verdict": "str",
    "reasons": "str",
    "cells": "Int64",
    "nuclei": "Int64",
    "cell_density_per_mm2": "float64",
    "coverage": "float64",
    **dict.fromkeys(AREA_PERCENTILES, "float64"),
    "y_px": "int64",
    "x_px": "int64",
    "image_mpp": "float64",
}
# a column of the batches' summaries that the run's table does not have
THUMBNAIL = "thumbnail"
_COUNTED = {"whole_cell": "cells", "nuclear": "nuclei"}


def summarize_sample(sample: SampleSpec, batch: str, cells: pd.DataFrame, counts: Mapping[str, int]) -> dict[str, Any]:
    """Boil the results of one sample down to one row.

    Parameters
    ----------
    sample : what was segmented; its unknown samplesheet columns travel along
    batch : name of the batch
    cells : the cells table, as ``measure_cells`` returns it
    counts : number of labels per segmented compartment

    Returns
    -------
    dict
        The columns of ``COLUMNS``, then those of the samplesheet. ``cells`` or ``nuclei`` is None where that
        compartment was not segmented; density (per mm²), coverage (fraction of the image's area) and the percentiles
        of area (µm²) describe the rows of ``cells``; percentiles are NaN where there is none.
    """
    height, width = sample.shape
    image_mm2 = height * width * (sample.image_mpp / 1000) ** 2
    areas = cells["area_um2"].to_numpy()
    percentiles = np.percentile(areas, list(AREA_PERCENTILES.values())) if len(areas) else [np.nan] * 5
    reasons = find_reasons(counts)
    row: dict[str, Any] = {
        "sample": sample.sample,
        "batch": batch,
        "verdict": "warn" if reasons else "pass",
        "reasons": "; ".join(reasons),
        **{column: counts.get(compartment) for compartment, column in _COUNTED.items()},
        "cell_density_per_mm2": len(areas) / image_mm2,
        "coverage": float(cells["area"].sum()) / (height * width),
        **dict(zip(AREA_PERCENTILES, map(float, percentiles), strict=True)),
        "y_px": height,
        "x_px": width,
        "image_mpp": sample.image_mpp,
    }
    return row | {_free_name(name): value for name, value in sample.columns.items()}


def find_reasons(counts: Mapping[str, int]) -> list[str]:
    """List what speaks against trusting a sample; empty for one that passes.

    Parameters
    ----------
    counts : number of labels per segmented compartment
    """
    return [f"no {_COUNTED.get(compartment, compartment)}" for compartment, count in counts.items() if count == 0]


def summary_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Put the rows of one batch into a table with fixed columns and types, the samplesheet's own columns last."""
    extra = list(dict.fromkeys(name for row in rows for name in row if name not in COLUMNS))
    return pd.DataFrame(list(rows), columns=[*COLUMNS, *extra]).astype(COLUMNS)


def merge_summaries(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all batches, in alphabetical order of sample.

    Raises
    ------
    ValueError
        A column is missing, or a sample occurs twice.
    """
    parts = list(tables)
    for part in parts:
        missing = [column for column in COLUMNS if column not in part]
        if missing:
            raise ValueError(f"a summary lacks {', '.join(missing)}; it has {', '.join(map(str, part.columns))}")
    filled = [part.astype(COLUMNS | {"reasons": "object"}).fillna({"reasons": ""}) for part in parts if len(part)]
    merged = summary_table([]) if not filled else pd.concat(filled, ignore_index=True).astype(COLUMNS)
    twice = merged.loc[merged["sample"].duplicated(), "sample"]
    if len(twice):
        raise ValueError(f"samples occur in more than one row of the summary: {', '.join(sorted(set(twice))[:5])}")
    return merged.sort_values("sample", ignore_index=True, kind="stable")


def _free_name(name: str) -> str:
    """Mark a samplesheet's column where the summary has one of the same name."""
    return f"samplesheet_{name}" if name in COLUMNS or name == THUMBNAIL else name
