"""The summary: one row per sample, one file per batch, one table per run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cellbatch.quality.figures import FIGURES
from cellbatch.spec import SampleSpec

PERCENTILES = (5, 25, 50, 75, 95)
AREA_COLUMNS = ("area_p5_um2", "area_p25_um2", "median_area_um2", "area_p75_um2", "area_p95_um2")
INTENSITY_COLUMNS = {name: tuple(f"{name}_p{at}" for at in PERCENTILES) for name in ("nuclear", "membrane")}
COLUMNS = {
    "sample": "str",
    "batch": "str",
    "verdict": "str",
    "reasons": "str",
    "cells": "Int64",
    "nuclei": "Int64",
    "cell_density_per_mm2": "float64",
    "coverage": "float64",
    **dict.fromkeys(AREA_COLUMNS, "float64"),
    **{column: "float64" for columns in INTENSITY_COLUMNS.values() for column in columns},
    **dict.fromkeys(FIGURES, "float64"),
    "y_px": "int64",
    "x_px": "int64",
    "image_mpp": "float64",
    "overlay_reduction": "int64",
    "crops": "int64",
}
# a column of the batches' summaries that the run's table does not have
THUMBNAIL = "thumbnail"
_COUNTED = {"whole_cell": "cells", "nuclear": "nuclei"}


@dataclass(frozen=True)
class Findings:
    """What was found in one sample.

    Attributes
    ----------
    counts : compartment → number of labels
    areas : (n,) px, of the cells, or of the nuclei where only these were segmented
    means : (n, 2) mean of the nuclear and the membrane channel in each of these
    figures : see ``cellbatch.quality.figures``
    verdict, reasons : see ``cellbatch.quality.verdict``
    reduction : px of the image per px of the overlay, per axis
    crops : number of crops that were drawn
    """

    counts: Mapping[str, int]
    areas: NDArray[np.int64]
    means: NDArray[np.float64]
    figures: Mapping[str, float]
    verdict: str
    reasons: tuple[str, ...]
    reduction: int = 1
    crops: int = 0


def summarize_sample(sample: SampleSpec, batch: str, found: Findings) -> dict[str, Any]:
    """Boil the results of one sample down to one row.

    Parameters
    ----------
    sample : what was segmented; its unknown samplesheet columns travel along
    batch : name of the batch
    found : what was found in it

    Returns
    -------
    dict
        The columns of ``COLUMNS``, then those of the samplesheet. ``cells`` or ``nuclei`` is None where that
        compartment was not segmented; density (per mm²), coverage (fraction of the image's area) and the percentiles
        of area (µm²) and of mean intensity describe ``found.areas``; percentiles are NaN where there is none.
    """
    height, width = sample.shape
    image_mm2 = height * width * (sample.image_mpp / 1000) ** 2
    row: dict[str, Any] = {
        "sample": sample.sample,
        "batch": batch,
        "verdict": found.verdict,
        "reasons": "; ".join(found.reasons),
        **{column: found.counts.get(compartment) for compartment, column in _COUNTED.items()},
        "cell_density_per_mm2": len(found.areas) / image_mm2,
        "coverage": float(found.areas.sum()) / (height * width),
        **_percentiles(AREA_COLUMNS, found.areas * sample.image_mpp**2),
        **found.figures,
        "y_px": height,
        "x_px": width,
        "image_mpp": sample.image_mpp,
        "overlay_reduction": found.reduction,
        "crops": found.crops,
    }
    for channel, columns in enumerate(INTENSITY_COLUMNS.values()):
        row |= _percentiles(columns, found.means[:, channel])
    rounded = {name: float(f"{row[name]:.6g}") if kind == "float64" else row[name] for name, kind in COLUMNS.items()}
    return rounded | {_free_name(name): value for name, value in sample.columns.items()}


def _percentiles(columns: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    """Name the percentiles of some values."""
    found = np.percentile(values, PERCENTILES) if len(values) else [np.nan] * len(PERCENTILES)
    return dict(zip(columns, map(float, found), strict=True))


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
