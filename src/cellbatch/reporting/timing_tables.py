"""Timings as tables, as they are written, joined and added up."""

from collections.abc import Iterable

import pandas as pd

from cellbatch.reporting.timings import COLUMNS, OVERLAPPED, SETUP_STEPS, Timings


def table_timings(timings: Timings) -> pd.DataFrame:
    """Put the rows into a table with fixed columns and types."""
    return _typed(pd.DataFrame(timings.rows(), columns=list(COLUMNS)))


def merge_timings(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all tasks, in order of the time at which each step started.

    Raises
    ------
    ValueError
        A table lacks a column.
    """
    parts = list(tables)
    for part in parts:
        missing = [column for column in COLUMNS if column not in part]
        if missing:
            raise ValueError(f"a timings table lacks {', '.join(missing)}; it has {', '.join(map(str, part.columns))}")
    filled = [_typed(part) for part in parts if len(part)]
    merged = pd.concat(filled) if filled else table_timings(Timings(""))
    return merged.sort_values("started", kind="stable", ignore_index=True)


def seconds_by_phase(timings: pd.DataFrame) -> pd.DataFrame:
    """Add up the seconds of set-up and of work per phase, phases in the order in which they first started.

    Parameters
    ----------
    timings : as ``merge_timings`` returns it

    Returns
    -------
    DataFrame
        Columns phase, setup_s, work_s, samples (how many distinct ones), pixels.
    """
    rows = timings[timings["step"] != OVERLAPPED]
    rows = rows.assign(is_setup=rows["step"].isin(SETUP_STEPS))
    rows["setup_s"] = rows["seconds"].where(rows["is_setup"], 0.0)
    rows["work_s"] = rows["seconds"].where(~rows["is_setup"], 0.0)
    rows["named"] = rows["sample"].where(rows["sample"] != "")
    return rows.groupby("phase", sort=False, as_index=False).agg(
        setup_s=("setup_s", "sum"), work_s=("work_s", "sum"), samples=("named", "nunique"), pixels=("pixels", "sum")
    )


def network_share(timings: pd.DataFrame) -> float | None:
    """Share of the time of fused tasks, from the loaded model to the last file, that was spent inside the network.

    Parameters
    ----------
    timings : as ``merge_timings`` returns it

    Returns
    -------
    float or None
        0 … 1; None where no task was fused
    """
    whole_s = float(timings.loc[timings["step"] == OVERLAPPED, "seconds"].sum())
    network_s = float(timings.loc[timings["step"] == "network", "seconds"].sum())
    # DeepCell's own code does not say how much of its time it spends there
    return network_s / whole_s if whole_s and network_s else None


def gpu_busy_share(timings: pd.DataFrame) -> float | None:
    """Share of the time in which the GPU worked: of fused tasks as a whole, else of the inference of samples.

    Parameters
    ----------
    timings : as ``merge_timings`` returns it

    Returns
    -------
    float or None
        0 … 1, weighted by seconds; None where no GPU was asked
    """
    asked = timings[timings["gpu_busy"].notna() & (timings["seconds"] > 0)]
    rows = asked[asked["step"] == OVERLAPPED] if (asked["step"] == OVERLAPPED).any() else asked
    return float((rows["gpu_busy"] * rows["seconds"]).sum() / rows["seconds"].sum()) if len(rows) else None


def mixed_machines(timings: pd.DataFrame) -> dict[str, list[str]]:
    """Batches whose tasks of one phase ran on machines of several models, with the models.

    The parts of an image are then not guaranteed to be those of one machine to the last bit.
    """
    named = timings[timings["machine"] != ""]
    models = named.groupby(["phase", "batch"])["machine"].unique()
    return {str(batch): sorted(found) for (_, batch), found in models.items() if len(found) > 1}


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Give the columns their types, which an empty table would else lack, and empty names back their text."""
    names = {name: "object" for name, kind in COLUMNS.items() if kind == "str"}
    return rows[list(COLUMNS)].astype(names).fillna(dict.fromkeys(names, "")).astype(COLUMNS)
