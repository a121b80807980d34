"""The tables of docs/benchmarks.md about single steps of the method, made as those of `page_tables`."""

from collections.abc import Sequence

import pandas as pd
from page_format import THIS, at, count_runs, make_table, ratio_in_turn, show


def watershed(table: pd.DataFrame) -> str:
    """``deep_watershed`` against deepcell-toolbox's on one and two threads."""
    timed = table[table["wall_ns_px"].notna()]
    ways = timed.assign(
        way=[f"{way}, {n} thread{'s' * (n > 1)}" for way, n in zip(timed["way"], timed["threads"], strict=True)]
    )
    peers = [way for way in ways["way"].unique() if not way.startswith(THIS)]
    sides = sorted(ways["side_px"].unique())
    medians = ways.groupby(["way", "side_px"])[["wall_ns_px", "cpu_ns_px"]].median()
    rows: list[Sequence[object]] = []
    for way in ways["way"].unique():
        cells = [f"{show(at(medians[c], way, side))}" for side in sides for c in ("wall_ns_px", "cpu_ns_px")]
        rows.append((way, *(f"{wall} ({cpu})" for wall, cpu in zip(cells[::2], cells[1::2], strict=True))))
    for way in (way for way in ways["way"].unique() if way.startswith(THIS) and peers):
        both = [ratio_in_turn(ways, value, (peers[0], way), ["side_px"]) for value in ("wall_ns_px", "cpu_ns_px")]
        rows.append((f"ratio, {way}", *(f"{show(both[0].get(side))} ({show(both[1].get(side))})" for side in sides)))
    maps = "a piece of a real tissue map, repeated" if set(table["maps"]) == {"real"} else "drawn"
    equal = "" if not peers else "Labels equal in every run." if timed["is_equal"].dropna().all() else "Labels DIFFER."
    memory = table.dropna(subset=["memory_b_px"])
    kept = f" Memory beyond the inputs: {show(memory['memory_b_px'].median())} bytes per px." if len(memory) else ""
    head = make_table(["ns per px, wall (processor)", *(f"{side}²" for side in sides)], rows)
    return f"{head}\nMaps: {maps}. {count_runs(ways, ['way', 'side_px'])} {equal}{kept}\n"


def preprocessing(table: pd.DataFrame) -> str:
    """Preprocessing against DeepCell's."""
    sides = sorted(table["side_px"].unique())
    medians = table.groupby(["way", "side_px"])["cpu_ns_px"].median()
    ours = [way for way in table["way"].unique() if way != "reference"]
    names = {way: f"{THIS}, {way}" for way in ours} | {"reference": "deepcell-toolbox 0.12.1"}
    rows = [(names[way], *(at(medians, way, side) for side in sides)) for way in table["way"].unique()]
    for way in ours if "reference" in table["way"].unique() else ():
        ratios = ratio_in_turn(table, "cpu_ns_px", ("reference", way), ["side_px"])
        rows.append((f"ratio, {way}", *(ratios.get(side) for side in sides)))
    equal = "equal" if table["is_equal"].all() else "NOT equal"
    head = make_table(["processor, ns per px", *(f"{side}²" for side in sides)], rows)
    return f"{head}\n{count_runs(table, ['way', 'side_px'])} Floats: {equal}.\n"


def blocks(table: pd.DataFrame) -> str:
    """Labelling block by block, beside labelling in memory."""
    part, turns = table[table["way"] == "by blocks"], table[table["way"] != "by blocks"]
    medians = part.groupby(["side_px", "threads"], as_index=False).median(numeric_only=True)
    names = {"side_px": "side, px", "threads": "threads", "wall_ns_px": "wall, ns per px"}
    names |= {"cpu_ns_px": "processor, ns per px", "own_cpu_ns_px": "of which labelling", "peak_mb": "memory, MB"}
    text = make_table(list(names.values()), medians[list(names)].itertuples(index=False))
    ratios = ratio_in_turn(turns, "own_cpu_ns_px", ("by blocks, in turn", "in memory, in turn"), ["side_px"])
    shown = ", ".join(f"{show(ratio)} at {side}²" for side, ratio in ratios.items())
    count = turns.groupby(["side_px", "way"]).size().max()
    return text + (f"\nProcessor time by blocks to that in memory, {count} pairs in turn: {shown}.\n" if shown else "")
