"""POSTPROCESS_LABELS: heads become labels at image resolution."""

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cellbatch.io.handoffs import HandoffWriter
from cellbatch.io.label_store import LabelStore
from cellbatch.io.models import read_manifest
from cellbatch.phases.failures import Failures, leave_out, remove_empty
from cellbatch.phases.handoff_files import open_heads, open_shard
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.loaded_model import HEAD_NAMES
from cellbatch.phases.made_labels import SampleLabels, hand_over, match_labels, write_layers
from cellbatch.phases.promised_memory import tie_error, whole_image_px
from cellbatch.phases.samples import map_here, map_samples
from cellbatch.postprocessing.blocks import BlockOptions, NeedsWholeImage, Readable, label_by_blocks
from cellbatch.postprocessing.numbering import close_gaps
from cellbatch.postprocessing.resize import CORNER, ResizedLabels, choose_sampling
from cellbatch.postprocessing.watershed import deep_watershed
from cellbatch.progress import Progress
from cellbatch.reporting.timings import Timings
from cellbatch.spec import (
    COMPARTMENTS,
    IN_MEMORY_PX,
    Batch,
    CompartmentSpec,
    SampleSpec,
    WatershedOptions,
    override,
)

logger = logging.getLogger(__name__)

MAXIMA_THRESHOLD = "maxima_threshold_"


def resolve_watershed(
    compartments: Mapping[str, CompartmentSpec], overrides: Mapping[str, float | None]
) -> dict[str, WatershedOptions]:
    """Options per compartment: the manifest's, replaced by the user's where given.

    Parameters
    ----------
    compartments : those that are made
    overrides : option names of ``WatershedOptions``; ``maxima_threshold_<compartment>`` holds for one compartment
    """
    shared = {name: value for name, value in overrides.items() if not name.startswith(MAXIMA_THRESHOLD)}
    return {
        name: override(spec.watershed, maxima_threshold=overrides.get(MAXIMA_THRESHOLD + name), **shared)
        for name, spec in compartments.items()
    }


def make_labels(
    heads: Mapping[str, np.ndarray],
    options: WatershedOptions,
    shape: tuple[int, int],
    threads: int = 1,
    sampling: str = CORNER,
) -> np.ndarray:
    """Labels of one compartment at image resolution, all in memory.

    Parameters
    ----------
    heads : ``inner_distance`` and ``interior``, float32 (Y, X) at ``model_mpp``
    shape : (Y, X) of the image
    sampling : how labels return to image size, see ``choose_sampling``

    Returns
    -------
    uint32 (Y, X), 1 … n and 0 for background
    """
    labels = deep_watershed(heads["inner_distance"], heads["interior"], threads=threads, **asdict(options))
    return np.asarray(bring_to_image(labels, shape, sampling)[:, :])


def bring_to_image(labels: Readable, shape: tuple[int, int], sampling: str) -> Readable:
    """View labels at image resolution.

    Where an image is coarser than the model a label can lose all its pixels; the gaps in the numbers are closed.
    """
    resized = ResizedLabels(labels, shape, sampling)
    return close_gaps(resized) if resized.loses_labels else resized


def postprocess_labels(
    batch: Batch,
    heads: Path | Sequence[Path],
    model: Path,
    output: LabelFiles,
    *,
    compartment: str = "both",
    overrides: Mapping[str, float | None] | None = None,
    processes: int = 1,
    failures: Failures | None = None,
) -> Timings:
    """Write label images per sample, and all of them once more as one hand-off.

    Thousands of files would be staged one by one for the measurement; the hand-off is one. Of every sample it holds

    - ``whole_cell`` and ``nuclear``, uint32 (Y, X) at image resolution, as far as they are made;
    - where both are, ``nuclear_matched``, uint32 (Y, X), and ``nuclear_matching``, uint32 (nuclei, 3) with the columns
      nucleus, cell (0 = none) and overlap_px;
    - the attributes ``uncertified_blocks`` (a number per compartment) and ``matching`` (counts, see
      ``NucleusMatching.counts``).

    Parameters
    ----------
    batch : the task's samples
    heads : hand-offs of INFER_TILES: one, or the shards of a large image
    model : folder of the prepared model
    output : where the labels go
    compartment : ``both``, ``whole-cell`` or ``nuclear``
    overrides : see ``resolve_watershed``
    processes : small samples worked on at once, or threads of a large one
    failures : takes the samples that go wrong, and leaves no hand-off if none is left; None stops at the first. With
        it, samples that earlier phases left out are not missed

    Raises
    ------
    InputError
        If a label hangs on exact ties over a whole image that is too large to be done at once.
    NeedsMoreMemory
        If it could be done at once with more memory than the task was promised.
    """
    selected = read_manifest(model).selected(compartment)
    options = resolve_watershed(selected, overrides or {})
    paths = (heads,) if isinstance(heads, Path) else tuple(heads)
    timings = Timings("postprocess", batch.batch)
    output.folder.mkdir(parents=True, exist_ok=True)
    logger.info("labelling %d images of batch %s", len(batch.samples), batch.batch)
    work = _Work(paths, options, output, processes, 0)
    samples = batch.samples
    if failures is not None:
        inferred = {name for path in paths for name in open_shard(path).samples()}
        samples = tuple(sample for sample in samples if sample.sample in inferred)
        samples = tuple(sample for sample, _ in map_here(work.is_large, samples, failures))
    small = [sample for sample in samples if not work.is_large(sample)]
    large = [sample for sample in samples if work.is_large(sample)]
    work = replace(work, whole_image_px=whole_image_px(large, [work.model_px(one) for one in large], processes))
    with HandoffWriter(output.handoff) as handoff:
        for sample, made in map_samples(work.label_small, small, processes, failures):
            hand_over(handoff, sample, made, timings)
        # one after the other, in this process, because what they give stays on disk until it is written
        deque(map_here(partial(work.label_large, handoff=handoff, timings=timings), large, failures), maxlen=0)
        leave_out(failures, batch, handoff, output.folder)
    remove_empty(output.handoff, handoff)
    output.join(batch.batch)
    logger.info("wrote the labels of %d images", len(batch.samples))
    return timings


@dataclass(frozen=True)
class _Work:
    """What the samples of a batch have in common."""

    heads: tuple[Path, ...]
    options: Mapping[str, WatershedOptions]
    output: LabelFiles
    threads: int
    whole_image_px: int

    def is_large(self, sample: SampleSpec) -> bool:
        """Whether a sample is worked on block by block."""
        return max(self.model_px(sample), sample.shape[0] * sample.shape[1]) > IN_MEMORY_PX

    def model_px(self, sample: SampleSpec) -> int:
        """Pixels at ``model_mpp``."""
        return math.prod(self._maps(sample, next(iter(self.options)))[HEAD_NAMES[0]].shape)

    def label_small(self, sample: SampleSpec) -> SampleLabels:
        """Label in memory."""
        clock = Timings.clock()
        made, sampling = SampleLabels(), choose_sampling(len(self.options))
        for compartment, watershed in self.options.items():
            maps = {head: source[:, :] for head, source in self._maps(sample, compartment).items()}
            made.labels[compartment] = make_labels(maps, watershed, sample.shape, sampling=sampling)
            made.uncertified[compartment] = 0
            made.pixels = maps["interior"].size
        match_labels(sample, made)
        made.labels = {name: np.asarray(values[:, :]) for name, values in made.labels.items()}
        write_layers(sample, made, self.output)
        return replace(made, seconds=clock())

    def label_large(self, sample: SampleSpec, handoff: HandoffWriter, timings: Timings) -> None:
        """Label block by block; the labels wait on disk beside the hand-off."""
        clock = Timings.clock()
        made = SampleLabels()
        with ExitStack() as stack:
            progress = stack.enter_context(Progress(f"label {sample.sample}", self._work_px(sample)))
            for compartment, watershed in self.options.items():
                maps = self._maps(sample, compartment)
                shape = maps["interior"].shape
                store = stack.enter_context(LabelStore(shape, self.output.handoff.parent))
                blocks = BlockOptions(threads=self.threads, whole_image_px=self.whole_image_px)
                try:
                    report = label_by_blocks(*maps.values(), store, watershed, blocks, progress.add)
                except NeedsWholeImage as error:
                    files = ", ".join(path.name for path in self.heads)
                    raise tie_error(error, shape[0] * shape[1], f"{compartment} maps in {files}") from error
                made.labels[compartment] = bring_to_image(store, sample.shape, choose_sampling(len(self.options)))
                made.uncertified[compartment] = len(report.uncertified)
                made.pixels = shape[0] * shape[1]
            match_labels(sample, made)
            write_layers(sample, made, self.output, self.threads, progress.add)
            hand_over(handoff, sample, replace(made, seconds=clock()), timings, progress.add)

    def _work_px(self, sample: SampleSpec) -> int:
        """Pixels of all steps of a large sample: labelling, and each layer into its file and into the hand-off."""
        layers = len(self.options) + (set(self.options) == set(COMPARTMENTS))
        written = layers * (1 + self.output.is_tiff_wanted)
        return len(self.options) * self.model_px(sample) + written * sample.shape[0] * sample.shape[1]

    def _maps(self, sample: SampleSpec, compartment: str) -> dict[str, Any]:
        return {head: open_heads(self.heads, sample.sample, f"{compartment}_{head}") for head in HEAD_NAMES}
