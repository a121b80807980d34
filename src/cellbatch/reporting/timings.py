"""How long what took: rows that every phase records and the report adds up."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

# Steps that a task pays once, however many images it has; the report shows them apart.
SETUP_STEPS = frozenset({"import", "load_model", "warm_up", "convert_model"})
# What all phases of a fused task took together, beside their own rows, which run at the same time.
OVERLAPPED = "overlapped"
COLUMNS = {
    "phase": "str",
    "batch": "str",
    "sample": "str",
    "step": "str",
    "seconds": "float64",
    "started": "float64",
    "pixels": "int64",
    "machine": "str",
    "peak_mb": "float64",
}


class Timings:
    """The timings of one task.

    Parameters
    ----------
    phase : name of the phase, such as ``infer``
    batch : name of the batch, empty where a task has none

    Attributes
    ----------
    machine : model of the processor or accelerator that the results of the task may depend on, empty where they do not

    Examples
    --------
    >>> timings = Timings("infer", "b0001")
    >>> with timings.step("load_model"):
    ...     pass
    >>> timings.add("tonsil", "infer", 0.25, pixels=65536)
    >>> [row["step"] for row in timings.rows()]
    ['load_model', 'infer']
    """

    def __init__(self, phase: str, batch: str = "") -> None:
        self.phase, self.batch, self.machine = phase, batch, ""
        self._rows: list[dict[str, Any]] = []

    @contextmanager
    def step(self, step: str, sample: str = "", pixels: int = 0) -> Iterator[None]:
        """Time the body of a ``with`` statement, also one that ends in an error."""
        clock = self.clock()
        try:
            yield
        finally:
            self.add(sample, step, clock(), pixels=pixels)

    def extend(self, other: Timings) -> None:
        """Take the rows of another phase of the same task over."""
        self._rows.extend(other.rows())

    def add(self, sample: str, step: str, seconds: float, *, pixels: int = 0, peak_mb: float | None = None) -> None:
        """Record a step that ends now.

        Parameters
        ----------
        sample : empty for what the whole batch shares
        step : what was done; those in ``SETUP_STEPS`` count as set-up
        seconds : how long it took
        pixels : how many px it worked on, 0 where that says nothing
        peak_mb : most memory so far, in MB (10⁶ bytes), where it is not that of this process alone
        """
        self._rows.append(
            {
                "phase": self.phase,
                "batch": self.batch,
                "sample": sample,
                "step": step,
                "seconds": float(seconds),
                "started": time.time() - seconds,
                "pixels": int(pixels),
                "machine": self.machine,
                "peak_mb": peak_memory_mb() if peak_mb is None else peak_mb,
            }
        )

    def rows(self) -> list[dict[str, Any]]:
        """Copy the records, one per step, with the names of ``COLUMNS``; ``started`` is the Unix time in s."""
        return [dict(row) for row in self._rows]

    def table(self) -> pd.DataFrame:
        """Put the rows into a table with fixed columns and types."""
        return _typed(pd.DataFrame(self._rows, columns=list(COLUMNS)))

    @staticmethod
    def clock() -> Callable[[], float]:
        """Start a stop watch; calling what is returned gives the seconds since then."""
        start = time.perf_counter()
        return lambda: time.perf_counter() - start


def peak_memory_mb() -> float:
    """Most memory that this process has held so far, in MB (10⁶ bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


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
    merged = pd.concat(filled) if filled else Timings("").table()
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
    return network_s / whole_s if whole_s else None


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
