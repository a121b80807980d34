"""The tables of docs/benchmarks.md: each function makes Markdown of what one benchmark measured.

Figures are medians over repeats. A ratio of two ways that ran in turn is the median of the ratios of each turn.
"""

from collections.abc import Callable, Sequence

import pandas as pd
from founding_table import COUNT, TILES
from kernel_tables import blocks, preprocessing, watershed
from page_format import THIS, at, count_runs, make_table, ratio_in_turn, show
from reference_sizes import extrapolate

# these ask for the same memory whatever the size
FIXED = ("PLAN_BATCHES", "PREPARE_MODEL", "REPORT_RUN")


def founding(table: pd.DataFrame) -> str:
    """Set a pipeline run beside a process per image, per network and peer."""
    parts = []
    for (model, phases, _), runs in table.groupby(["model", "phases", "peer"], sort=False):
        medians = runs.groupby("kind").median(numeric_only=True)
        if not {"pipeline", "separate", "load"} <= set(medians.index):
            continue
        ours, theirs, load = (medians.loc[kind] for kind in ("pipeline", "separate", "load"))
        task = "SEGMENT_BATCH" if phases == "fused" else "INFER_TILES"
        pairs = {
            "wall of the run": (ours["wall_s"], theirs["wall_s"]),
            "processor": (ours["processor_s"], theirs["processor_s"]),
            "set-up": (ours["set_up_s"], theirs["set_up_s"]),
            "work": (ours["work_s"], theirs["work_s"]),
            task: (ours["task_s"], theirs["wall_s"]),
            f"{task}, processor": (ours["task_processor_s"], theirs["processor_s"]),
            "network per tile": (ours["network_s"] / COUNT / TILES, theirs["network_s"] / COUNT / TILES),
            "import and load, once": (load["import_and_load_s"], theirs["import_and_load_s"] / COUNT),
        }
        versions = runs["peer_version"].dropna().unique()
        peer = versions[0] if len(versions) else f"{THIS}'s own processes"
        counts = runs["kind"].value_counts()
        started = " or ".join(f"{count:.0f}" for count in sorted(runs["started"].dropna().unique()))
        rows = [(name, *pair, pair[1] / pair[0]) for name, pair in pairs.items()]
        parts += [f"\n**Network `{model}`, `--phases {phases}`, against {peer}**, seconds:\n\n"]
        parts += [make_table(("", "pipeline", "a process per image", "ratio"), rows)]
        parts += [
            f"\nRuns, of which medians are shown: {counts['pipeline']} of the pipeline, {counts['separate']} of the "
        ]
        parts += [f"others, which started {started} of {COUNT} processes and were multiplied to {COUNT}. "]
        if phases == "fused":
            parts += [f"{ours['network_s'] / ours['work_s']:.1%} of the time of work was inside the network."]
        parts += ["\n"]
    return "".join(parts)


def per_task(table: pd.DataFrame) -> str:
    """Images per minute against images per task."""
    table = table.assign(cpu_min=60 * table["images"] / table["cpu_s"])
    medians = table.groupby(["images", "images_task"], as_index=False).median(numeric_only=True)
    names = {"images": "images", "tasks": "tasks", "images_task": "images per task", "wall_s": "wall, s"}
    names |= {"images_min": "images per minute", "cpu_min": "images per minute of processor"}
    rows = medians[list(names)].itertuples(index=False)
    return make_table(list(names.values()), rows) + "\n" + count_runs(table, ["images", "tasks"]) + "\n"


def sizes(table: pd.DataFrame) -> str:
    """Processor time per pixel and peak memory of every process by size."""
    case = ["side_px", "channels"]
    tasks, whole = table[table["process"] != "whole run"], table[table["process"] == "whole run"]
    cases = sorted({*table[case].itertuples(index=False, name=None)})
    header = ["", *(f"{side}², {channels} channels" for side, channels in cases)]
    parts = []
    for title, value in {"Processor time, ns per px": "cpu_ns_px", "Peak resident memory, MB": "peak_mb"}.items():
        medians = tasks.groupby(["process", *case], sort=False)[value].median()
        processes = dict.fromkeys(tasks["process"])
        rows = [(process, *(at(medians, process, *one) for one in cases)) for process in processes]
        if value == "cpu_ns_px":
            starts = tasks.groupby([*case, "date", "repeat"])["start_ns_px"].sum().groupby(case).median()
            rows.append(("of all that, starts of Python and libraries", *(at(starts, *one) for one in cases)))
        else:
            asked = tasks[~tasks["process"].isin(FIXED)].groupby(case)["asked_mb"].max()
            rows.append(("asked for by the largest of the tasks between", *(at(asked, *one) for one in cases)))
        parts.append(f"\n{title}:\n\n{make_table(header, rows)}")
    names = {"wall_s": "wall of the run, s", "slide_mb": "image file, MB"}
    medians = whole.groupby(case)[list(names)].median()
    rows = [(name, *(at(medians[value], *one) for one in cases)) for value, name in names.items()]
    return "".join(parts) + "\nWhole runs:\n\n" + make_table(header, rows) + f"\n{count_runs(whole, case)}\n"


def flat_time(table: pd.DataFrame) -> str:
    """Each phase's processor time per px of a large slide beside that of a small one that ran in turn."""
    names = ["small_ns_px", "large_ns_px", *(f"paced_{one}_ns_px" for one in ("small", "large"))]
    names += ["lowest_ns_px", "highest_ns_px"]
    medians = table.groupby(["phase", "small_px", "large_px"], sort=False)[names].median()
    small, large = (f"{medians.index[0][level] ** 0.5:.0f}²" for level in (1, 2))
    header = ("ns per px", f"{small}, as measured", large, "ratio", f"{small}, at one pace", "its runs", large, "ratio")
    rows: list[Sequence[object]] = []
    for (phase, *_), row in medians.iterrows():
        measured = (row["small_ns_px"], row["large_ns_px"], row["large_ns_px"] / row["small_ns_px"])
        spread = f"{row['lowest_ns_px']:.0f} to {row['highest_ns_px']:.0f}"
        paced_small, paced_large = row["paced_small_ns_px"], row["paced_large_ns_px"]
        paced = (paced_small, spread, paced_large, paced_large / paced_small)
        rows.append((phase, *measured, *(paced if paced_small > 0 else ("–",) * len(paced))))
    return make_table(header, rows)


def against_deepcell(table: pd.DataFrame) -> str:
    """DeepCell's path and its post-processing alone, beside ours."""
    parts, estimates = [], []
    groups = {
        "The whole path": ("DeepCell, whole path", ("ours, all results",)),
        "Post-processing alone, one compartment": ("toolbox on our heads", ("ours at once", "ours by blocks")),
    }
    for title, (peer, ours) in groups.items():
        part = table[table["way"].isin([peer, *ours])]
        if part.empty:
            continue
        sides = sorted(part["side_px"].unique())
        medians = part.groupby(["way", "side_px"])[["cpu_ns_px", "wall_ns_px", "peak_mb"]].median()
        rows: list[Sequence[object]] = []
        for value, unit in {"cpu_ns_px": "processor, ns per px", "peak_mb": "peak memory, MB"}.items():
            rows += [(f"{way}: {unit}", *(at(medians[value], way, side) for side in sides)) for way in (peer, *ours)]
            for way in ours:
                ratios = ratio_in_turn(part, value, (peer, way), ["side_px"])
                rows += [(f"{peer} / {way}", *(ratios.get(side) for side in sides))]
        parts.append(f"\n{title}:\n\n{make_table(['', *(f'{side}²' for side in sides)], rows)}")
        if len(sides) > 1:
            estimates += [(way, *_at_16384(medians.loc[way])) for way in (peer, *ours)]
    if estimates:
        header = ("of 16384² px (268 Mpx), from the two largest sizes", "time grows as px to the", "minutes", "GB")
        parts.append(f"\nWhat a larger image would take:\n\n{make_table(header, estimates)}")
    labels = "equal on every pixel" if table["is_equal"].all() else "NOT equal"
    return "".join(parts) + f"\n{count_runs(table, ['way', 'side_px'])} Labels of post-processing alone: {labels}.\n"


def _at_16384(medians: pd.DataFrame) -> tuple[float, float, float]:
    """Power of the time, minutes and GB."""
    known = [(side, row["wall_ns_px"] * side**2 / 1e9, row["peak_mb"] * 1e6) for side, row in medians.iterrows()]
    power, seconds, memory = extrapolate(*known[-2:])
    return power, seconds / 60, memory / 1e9


def breakdown(table: pd.DataFrame) -> str:
    """Seconds and shares of the Kiosk's steps."""
    medians = table.groupby(["way", "step"], sort=False)[["wall_s", "cpu_s"]].median()
    images, side = table[["images", "side_px"]].iloc[0]
    steps, ways = (list(dict.fromkeys(table[name])) for name in ("step", "way"))
    rows: list[Sequence[object]] = []
    for way in ways:
        of_way = medians.loc[way]
        rows += [
            (f"{way}: wall, s", *of_way.loc[steps, "wall_s"]),
            (f"{way}: processor, s", *of_way.loc[steps, "cpu_s"]),
        ]
        shares = of_way["cpu_s"] / of_way["cpu_s"].drop("set-up").sum()
        rows += [(f"{way}: share of that", *("" if step == "set-up" else f"{shares[step]:.0%}" for step in steps))]
    for way in ways[1:]:
        part = table.rename(columns={"step": "of"})
        ratios = ratio_in_turn(part, "cpu_s", (way, ways[0]), ["of"])
        rows += [(f"{way} / {ways[0]}, processor", *(ratios.get(step, float("nan")) for step in steps))]
    text = make_table([f"{images} images of {side}²", *steps], rows)
    return f"{text}\n{count_runs(table, ['way', 'step'])}\n"


def start_up(table: pd.DataFrame) -> str:
    """Seconds from the command to each moment."""
    names = {"plan_done_s": "plan done", "task_starts_s": "task starts", "network_loaded_s": "network loaded"}
    names |= {"first_tile_s": "first tile done", "end_s": "all results there"}
    medians = table.groupby("way", sort=False)[list(names)].median()
    rows = [(way, *row) for way, row in medians.iterrows()]
    return make_table(["seconds from the command", *names.values()], rows) + f"\n{count_runs(table, ['way'])}\n"


def million(table: pd.DataFrame) -> str:
    """Hours and dollars of a simulated million images."""
    names = {"changed": "changed", "to": "to", "gpus": "GPUs", "tasks": "tasks", "lost": "lost"}
    names |= {"hours": "hours", "most_hours": "hours at most", "dollars": "dollars"}
    rows = table.fillna({"to": ""})[list(names)].itertuples(index=False)
    return make_table(list(names.values()), rows)


def small_images(table: pd.DataFrame) -> str:
    """Seconds of a run of many small images, and of its tasks."""
    medians = table.groupby("what", sort=False).median(numeric_only=True)
    rows = [(what, row["seconds"], row["tasks"]) for what, row in medians.iterrows()]
    loads = medians["model_loads"].max()
    text = make_table([f"{show(table['images'].iloc[0])} images", "seconds", "tasks"], rows)
    return f"{text}\nModel loads: {show(loads)}. {count_runs(table, ['what'])}\n"


def slow_reads(table: pd.DataFrame) -> str:
    """Throughput that is kept when every read is delayed."""
    rows = []
    for (side, channels), runs in table.groupby(["side_px", "channels"]):
        medians = runs.groupby("delay_ms").median(numeric_only=True)
        without, delay = medians.index.min(), medians.index.max()
        fast, slow = medians.at[without, "wall_s"], medians.at[delay, "wall_s"]
        ways = runs.assign(way=runs["delay_ms"])
        kept = ratio_in_turn(ways, "wall_s", (without, delay), ["side_px"]).iloc[0]
        read = medians["read_mb"].max() / medians["stored_mb"].max()
        figures = (medians["reads"].max(), read, medians["peak_mb"].max(), delay, fast, slow, f"{kept:.0%}")
        rows.append((f"{channels} × {side}²", *figures))
    header = ("image", "reads", "bytes read of those stored", "peak memory, MB", "delay, ms", "s without", "s with")
    text = make_table((*header, "throughput kept"), rows)
    return f"{text}\n{count_runs(table, ['side_px', 'channels', 'delay_ms'])}\n"


def equal_labels(table: pd.DataFrame) -> str:
    """Count the ways to cut an image that give the labels of the whole."""
    rows = []
    for (fields, side), runs in table.groupby(["fields", "side_px"]):
        objects = runs.groupby("compartment")["objects"].max()
        blocks = runs.dropna(subset=["blocks"])
        cells = [show(objects.get(name)) for name in ("whole_cell", "nuclear")]
        counts = [int(blocks[name].sum()) for name in ("blocks", "widened", "uncertified")]
        rows.append((fields, f"{side}²", f"{runs['is_equal'].sum()} of {len(runs)}", *cells, *counts))
    header = ("fields", "image", "equal", "cells", "nuclei", "blocks", "with a wider halo", "uncertified")
    return make_table(header, rows)


def handoffs(table: pd.DataFrame) -> str:
    """Bytes per pixel and speeds of the heads' hand-off, and what half precision does to labels."""
    stored = table[table["codec"].notna()]
    rows = []
    for (kind, codec), maps in stored.groupby(["type", "codec"], sort=False):
        low, high = show(maps["bytes_px"].min()), show(maps["bytes_px"].max())
        size = low if low == high else f"{low} to {high}"
        rows.append((kind, codec, size, maps["in_mb_s"].median(), maps["out_mb_s"].median()))
    text = make_table(("stored as", "codec", "bytes per px and map", "MB/s in", "MB/s out"), rows)
    changed = table[table["codec"].isna()]
    told = [
        f"{row.differing_px / row.foreground_px:.2%} of the foreground of {row.map} carries another label and "
        f"{row.more_cells:+.0f} objects are found"
        for row in changed.itertuples()
    ]
    return f"{text}\nAt half precision {'; '.join(told)}. Speeds are medians over the maps.\n"


def cells_memory(table: pd.DataFrame) -> str:
    """Time and memory of the cells table."""
    names = {"side_px": "side, px", "cells": "cells", "columns": "columns", "cpu_s": "processor, s"}
    names |= {"peak_mb": "peak memory, MB", "before_mb": "of which Python and libraries"}
    medians = table.groupby("side_px", as_index=False).median(numeric_only=True)
    text = make_table(list(names.values()), medians[list(names)].itertuples(index=False))
    return f"{text}\n{count_runs(table, ['side_px'])}\n"


def cells_speed(table: pd.DataFrame) -> str:
    """Measuring cells against regionprops_table."""
    medians = table.groupby("way", sort=False).median(numeric_only=True)
    ratio = ratio_in_turn(table, "cpu_us_cell", ("regionprops_table", THIS), ["cells"])
    rows = [(way, row["measured_cells"], row["channels"], row["cpu_us_cell"]) for way, row in medians.iterrows()]
    text = make_table(("", "cells measured", "channels", "processor, µs per cell"), rows)
    return f"{text}\nRatio {show(ratio.iloc[0])}. {count_runs(table, ['way'])}\n"


def peers(table: pd.DataFrame) -> str:
    """Functions of other tools beside ours on the same arrays."""
    rows = []
    for (task, side), runs in table.groupby(["task", "side_px"], sort=False):
        medians = runs.groupby("way", sort=False)["cpu_ns_px"].median()
        ours = runs.loc[runs["is_ours"], "way"].iloc[0]
        for way, spent in medians.items():
            ratio = "" if way == ours else show(ratio_in_turn(runs, "cpu_ns_px", (way, ours), ["side_px"]).iloc[0])
            remark = runs.loc[runs["way"] == way, "same"].iloc[0]
            rows.append((task, f"{side}²", way, spent, ratio, "" if pd.isna(remark) else remark))
    header = ("step", "image", "by", "processor, ns per px", "ratio", "result beside ours")
    return make_table(header, rows) + f"\n{count_runs(table, ['task', 'side_px', 'way'])}\n"


# by the name of the table, which is that of its benchmark
TABLES: dict[str, Callable[[pd.DataFrame], str]] = {
    "founding_table": founding,
    "images_per_task": per_task,
    "small_images": small_images,
    "start_up": start_up,
    "breakdown": breakdown,
    "end_to_end": sizes,
    "flat_time": flat_time,
    "reference_sizes": against_deepcell,
    "bench_watershed": watershed,
    "bench_preprocess": preprocessing,
    "bench_blocks": blocks,
    "peers": peers,
    "slow_reads": slow_reads,
    "handoffs": handoffs,
    "memory_measure": cells_memory,
    "bench_measure": cells_speed,
    "equal_labels": equal_labels,
    "simulate": million,
}
