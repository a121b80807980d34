"""The pictures of docs/benchmarks.md, drawn from the tables of the benchmarks."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

# colour-blind-safe, in the order of Okabe and Ito
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def digest(*tables: pd.DataFrame) -> str:
    """Fingerprint of the tables that a picture shows, which it carries."""
    text = "".join(table.to_csv(index=False) for table in tables)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def draw_per_task(axes: Any, tables: list[pd.DataFrame]) -> None:
    """Draw images per minute, of time and of processor time, against images per task."""
    table = tables[0].assign(cpu_min=60 * tables[0]["images"] / tables[0]["cpu_s"])
    medians = table.groupby("images_task")[["images_min", "cpu_min"]].median()
    axes[0].plot(medians.index, medians["images_min"], "o-", color=COLOURS[0], label="per minute")
    axes[0].plot(medians.index, medians["cpu_min"], "s--", color=COLOURS[1], label="per minute of processor")
    axes[0].set(xlabel="images of 512² per task", ylabel="images", xscale="log", ylim=(0, None))
    axes[0].legend()


def draw_sizes(axes: Any, tables: list[pd.DataFrame]) -> None:
    """Draw time per pixel and memory of each process against size, and DeepCell's memory where it was measured."""
    tasks = tables[0][(tables[0]["process"] != "whole run") & (tables[0]["channels"] == tables[0]["channels"].min())]
    for (process, rows), colour in zip(tasks.groupby("process", sort=False), COLOURS, strict=False):
        medians = rows.groupby("side_px")[["cpu_ns_px", "peak_mb"]].median()
        axes[0].plot(medians.index, medians["cpu_ns_px"], "o-", color=colour, label=process, markersize=3)
        axes[1].plot(medians.index, medians["peak_mb"], "o-", color=colour, markersize=3)
    for peer in tables[1:]:
        medians = peer[peer["way"] == "DeepCell, whole path"].groupby("side_px")["peak_mb"].median()
        axes[1].plot(medians.index, medians, "k^:", label="DeepCell's process")
        axes[1].legend(fontsize=7)
    for axis, label in zip(axes, ("processor, ns per px", "peak memory, MB"), strict=True):
        axis.set(xlabel="px", ylabel=label)
        axis.set_xscale("log", base=2)
        sides = sorted(tasks["side_px"].unique())
        axis.set_xticks(sides, [f"{side}²" for side in sides])
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[1].set_ylim(0)
    axes[0].legend(fontsize=7)


# by file name: how many panels, the tables (the first is needed), and what draws them
PICTURES: dict[str, tuple[int, tuple[str, ...], Callable[[Any, list[pd.DataFrame]], None]]] = {
    "images_per_task": (1, ("images_per_task",), draw_per_task),
    "sizes": (2, ("end_to_end", "reference_sizes"), draw_sizes),
}


def draw_pictures(tables: dict[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Draw what was measured as SVG; the files."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "cellbatch", "svg.fonttype": "none"})
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, (panels, sources, draw) in PICTURES.items():
        shown = [tables[source] for source in sources if source in tables]
        if sources[0] in tables:
            figure, axes = pyplot.subplots(1, panels, figsize=(5 * panels, 3.4), layout="constrained", squeeze=False)
            draw(axes[0], shown)
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None, "Description": f"drawn from {digest(*shown)}"})
            pyplot.close(figure)
            drawn.append(path)
    return drawn
