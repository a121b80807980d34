"""How the figures of docs/benchmarks.md are written: three digits, medians over repeats, ratios of runs in turn."""

from collections.abc import Iterable, Sequence

import pandas as pd

THIS = "this project"


def show(value: float) -> str:
    """Write a number with three digits that count.

    Examples
    --------
    >>> show(1234.5), show(99.96), show(0.01234), show(7), show(float("nan"))
    ('1,234', '100', '0.0123', '7', '–')
    """
    if pd.isna(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{float(f'{value:.3g}'):g}"


def make_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Markdown of a table; numbers are written by `show`."""
    lines = [header, ["---"] * len(header), *rows]
    shown = ([show(cell) if isinstance(cell, int | float) else str(cell) for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in shown)


def ratio_in_turn(table: pd.DataFrame, value: str, pair: tuple[str, str], by: Sequence[str]) -> pd.Series:
    """Median over the turns of what the first of two ways took by what the second took.

    Parameters
    ----------
    table : with the columns ``way``, ``date`` and ``repeat``
    value : column that is compared
    pair : the two ways
    by : what distinguishes the cases

    Returns
    -------
    pandas.Series
        By case; empty where one of the two was not measured.
    """
    turns = table.pivot_table(index=[*by, "date", "repeat"], columns="way", values=value)
    if not set(pair) <= set(turns.columns):
        return pd.Series(dtype=float)
    return (turns[pair[0]] / turns[pair[1]]).dropna().groupby(list(by)).median()


def count_runs(table: pd.DataFrame, by: Sequence[str]) -> str:
    """Say of how many runs the figures are medians."""
    sizes = table.groupby(list(by), dropna=False).size()
    low, high = sizes.min(), sizes.max()
    runs = f"{low}" if low == high else f"{low} to {high}"
    return "One run of each." if high == 1 else f"Medians of {runs} runs."


def at(values: pd.Series, *key: object) -> float:
    """Value of a case, NaN where there is none."""
    return float(values.get(key, float("nan")))
