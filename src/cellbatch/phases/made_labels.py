"""Labels of a sample, written: as files, and into the hand-off that the measurement reads."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cellbatch.geometry.blocks import BlockGrid, cover
from cellbatch.io.handoffs import HandoffWriter
from cellbatch.io.labels import write_labels
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.samples import sample_file
from cellbatch.postprocessing.blocks import Readable
from cellbatch.postprocessing.matching import NucleusMatching, match_nuclei
from cellbatch.reporting.timings import Timings
from cellbatch.spec import COMPARTMENTS, SampleSpec

logger = logging.getLogger(__name__)

# arrays and attributes of a sample in the labels hand-off, besides whole_cell and nuclear
NUCLEAR_MATCHED = "nuclear_matched"
NUCLEAR_MATCHING = "nuclear_matching"
UNCERTIFIED = "uncertified_blocks"
WRITTEN_PX = 1024


@dataclass
class SampleLabels:
    """What was made of one sample.

    Attributes
    ----------
    labels : uint32 (Y, X) at image resolution by name, arrays or views on stores
    matching : cells of the nuclei, where both compartments are made
    uncertified : blocks per compartment whose labels a wider halo might have changed
    pixels : of the sample at ``model_mpp``
    seconds : that it took
    """

    labels: dict[str, Any] = field(default_factory=dict)
    matching: NucleusMatching | None = None
    uncertified: dict[str, int] = field(default_factory=dict)
    pixels: int = 0
    seconds: float = 0.0


def match_labels(sample: SampleSpec, made: SampleLabels) -> None:
    """Add the nuclei with the numbers of their cells, where both are made."""
    if set(made.labels) != set(COMPARTMENTS):
        return
    whole_cell, nuclear = (made.labels[name] for name in COMPARTMENTS)
    cores = BlockGrid(sample.shape, WRITTEN_PX).cores()
    made.matching = match_nuclei((nuclear[core.slices], whole_cell[core.slices]) for core in cores)
    made.labels[NUCLEAR_MATCHED] = made.matching.apply(nuclear)


def write_layers(
    sample: SampleSpec,
    made: SampleLabels,
    output: LabelFiles,
    threads: int = 1,
    count_px: Callable[[int], None] = lambda pixels: None,
) -> None:
    """Write the label files."""
    for name, labels in (made.labels if output.is_tiff_wanted else {}).items():
        path = sample_file(output.folder, sample, f"{name}.ome.tif")
        write_labels(path, labels, sample.image_mpp, name, threads, count_px)


def write_foreign_labels(
    sample: SampleSpec, labels: Mapping[str, Readable], output: LabelFiles, timings: Timings
) -> None:
    """Write labels that others made, as POSTPROCESS_LABELS writes its own.

    Parameters
    ----------
    sample : whose labels they are
    labels : uint32 (Y, X) at image resolution, 1 … n, by compartment
    output : where they go; the hand-off holds this sample alone
    timings : get what writing took
    """
    made = SampleLabels(dict(labels), uncertified=dict.fromkeys(labels, 0), pixels=sample.shape[0] * sample.shape[1])
    clock = Timings.clock()
    output.folder.mkdir(parents=True, exist_ok=True)
    match_labels(sample, made)
    write_layers(sample, made, output)
    with HandoffWriter(output.handoff) as handoff:
        hand_over(handoff, sample, replace(made, seconds=clock()), timings)


def hand_over(
    handoff: HandoffWriter,
    sample: SampleSpec,
    made: SampleLabels,
    timings: Timings,
    count_px: Callable[[int], None] = lambda pixels: None,
) -> None:
    """Write everything of a sample into the hand-off, the labels block by block."""
    for name, labels in made.labels.items():
        target = handoff.create(sample.sample, name, sample.shape, np.uint32)
        for start, block in _blocks(labels, sample.shape, target.chunks):
            target.write(start, block)
            count_px(block.size)
    attributes: dict[str, Any] = {UNCERTIFIED: made.uncertified}
    if made.matching:
        handoff.write(sample.sample, NUCLEAR_MATCHING, made.matching.table)
        attributes["matching"] = made.matching.counts()
    handoff.write_attributes(sample.sample, attributes)
    for compartment, count in made.uncertified.items():
        if count:
            logger.warning("sample %s: %d blocks of %s could not be certified", sample.sample, count, compartment)
    timings.add(sample.sample, "postprocess", made.seconds, pixels=made.pixels)


def _blocks(
    labels: Readable, shape: tuple[int, int], chunks: tuple[int, ...]
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Blocks of whole chunks, with their first pixel."""
    rows = chunks[0] * max(WRITTEN_PX // chunks[0], 1)
    for core in cover(shape, (rows, chunks[1])):
        yield (core.y0, core.x0), np.asarray(labels[core.slices], np.uint32)
