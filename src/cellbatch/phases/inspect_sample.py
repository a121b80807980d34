"""One sample, looked at: figures, verdict, overview and crops, in memory that does not grow with the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellbatch.geometry.blocks import BlockGrid
from cellbatch.io.atomic import write_bytes
from cellbatch.phases.samples import sample_file
from cellbatch.quality.figures import FigureGatherer
from cellbatch.quality.verdict import Threshold, judge
from cellbatch.reporting.canvas import OverviewCanvas
from cellbatch.reporting.crops import choose_windows, count_by_cell, crop_side, grid_window
from cellbatch.reporting.overlays import Picture, draw_overlay, draw_thumbnail, encode_png, find_limits
from cellbatch.reporting.summary import Findings
from cellbatch.spec import SampleSpec, Window

# a multiple of every storage chunk in use, and of the overview's reductions
BLOCK_PX = 2048
PROBE_PX = 384
PROBES = 3
CROP_PICTURE_PX = 512

ReadLabels = Callable[[Window], NDArray[np.integer]]


@dataclass(frozen=True)
class SamplePixels:
    """How the pixels of a sample are read.

    Attributes
    ----------
    inputs : window → float32 (Y, X, 2), nuclear and membrane channel
    labels : compartment → (window → labels (Y, X))
    """

    inputs: Callable[[Window], NDArray[np.float32]]
    labels: Mapping[str, ReadLabels]

    def read(self, window: Window) -> tuple[NDArray[np.float32], dict[str, NDArray[np.integer]]]:
        """Channels and labels of one window."""
        return self.inputs(window), {name: read(window) for name, read in self.labels.items()}


@dataclass(frozen=True)
class Pictures:
    """What a sample looks like: overlay and crops, and a JPEG thumbnail."""

    overlay: Picture
    crops: tuple[Picture, ...]
    thumbnail: bytes


def inspect_sample(
    sample: SampleSpec,
    pixels: SamplePixels,
    thresholds: Mapping[str, Threshold],
    given: Mapping[str, float] | None = None,
) -> tuple[Findings, Pictures]:
    """Look at a sample block by block, then at a few windows more closely.

    Parameters
    ----------
    sample : what was segmented
    pixels : its channels and labels
    thresholds : by name of the figure
    given : figures counted elsewhere (``uncertified_blocks``, ``missing_chunks``)
    """
    compartments = tuple(pixels.labels)
    gathered = FigureGatherer(sample.shape, sample.image_mpp, compartments, has_membrane=bool(sample.membrane))
    canvas = OverviewCanvas(sample.shape, compartments)
    block = None
    for core in BlockGrid(sample.shape, BLOCK_PX).cores():
        block = pixels.read(core)
        gathered.add_block(core, *block)
        canvas.add_block(core, *block)
    whole = block if max(sample.shape) <= BLOCK_PX else None

    def look(window: Window) -> tuple[NDArray[np.float32], dict[str, NDArray[np.integer]]]:
        return pixels.read(window) if whole is None else _cut(whole, window)

    for window in _probe_windows(sample, gathered):
        gathered.add_probe(*look(window))
    figures = gathered.finish(given or {})
    counts = {"cells": gathered.counts.get("whole_cell"), "nuclei": gathered.counts.get("nuclear")}
    verdict, reasons = judge({**figures, **counts}, thresholds)
    limits = find_limits(canvas.inputs)
    overlay = draw_overlay(canvas.inputs, *_pair(canvas.labels), limits=limits)
    cells = gathered.cells
    crops = []
    for window in choose_windows(sample.shape, crop_side(sample.image_mpp), cells.place, gathered.doubtful()):
        inputs, labels = look(window)
        crops.append(draw_overlay(inputs, *_pair(labels), limits=limits, min_side=CROP_PICTURE_PX))
    findings = Findings(
        gathered.counts, cells.area, cells.means, figures, verdict, tuple(reasons), canvas.reduction, len(crops)
    )
    return findings, Pictures(overlay, tuple(crops), draw_thumbnail(overlay))


def write_pictures(pictures: Pictures, sample: SampleSpec, folder: Path) -> None:
    """Write ``<sample>.overlay.png``, ``<sample>.thumbnail.jpg`` and ``<sample>.crop1.png`` to ``crop3.png``."""
    write_bytes(sample_file(folder, sample, "overlay.png"), encode_png(pictures.overlay))
    write_bytes(sample_file(folder, sample, "thumbnail.jpg"), pictures.thumbnail)
    for place, crop in enumerate(pictures.crops, 1):
        write_bytes(sample_file(folder, sample, f"crop{place}.png"), encode_png(crop))


def _probe_windows(sample: SampleSpec, gathered: FigureGatherer) -> list[Window]:
    """Windows with cells to look at closely: one of a small image, a few of a large one, from dense to usual."""
    side = PROBE_PX * gathered.pooling
    counts = count_by_cell(sample.shape, side, gathered.cells.place).ravel()
    filled = np.argsort(-counts, kind="stable")[: int(np.count_nonzero(counts))]
    wanted = 1 if sample.shape[0] * sample.shape[1] < 4 * side * side else PROBES
    chosen = filled[: -(-len(filled) // 2)][:: max(1, -(-len(filled) // (2 * wanted)))][:wanted]
    return [grid_window(sample.shape, side, int(place)) for place in chosen]


def _cut(
    whole: tuple[NDArray[np.float32], dict[str, NDArray[np.integer]]], window: Window
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.integer]]]:
    inputs, labels = whole
    return inputs[window.slices], {name: values[window.slices] for name, values in labels.items()}


def _pair(
    labels: Mapping[str, NDArray[np.integer]],
) -> tuple[NDArray[np.integer] | None, NDArray[np.integer] | None]:
    """Labels of cells and of nuclei, None for those that were not segmented."""
    return labels.get("whole_cell"), labels.get("nuclear")
