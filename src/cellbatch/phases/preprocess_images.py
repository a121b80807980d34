"""PREPROCESS_IMAGES: the images of a batch become one byte per pixel and channel, plus maps and scalars."""

import logging
import math
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from cellbatch.geometry.scale import model_shape
from cellbatch.io.handoffs import HandoffWriter
from cellbatch.io.models import read_manifest
from cellbatch.phases.failures import Failures, leave_out, remove_empty
from cellbatch.phases.method_options import adapt_manifest
from cellbatch.phases.pixels import write_pixels
from cellbatch.phases.samples import map_here, map_samples
from cellbatch.phases.sources import SampleImage
from cellbatch.phases.streamed_preprocessing import check_pixels, stream_sample
from cellbatch.preprocessing.resize_single import resize_input
from cellbatch.preprocessing.statistics import PreprocessingStatistics, bin_pixels, compute_statistics
from cellbatch.reporting.timings import Timings
from cellbatch.spec import IN_MEMORY_PX, Batch, Manifest, PreprocessingOptions, SampleSpec

logger = logging.getLogger(__name__)


def preprocess_images(
    batch: Batch,
    images: Path,
    model: Path,
    output: Path,
    *,
    overrides: Mapping[str, float | None] | None = None,
    processes: int = 1,
    failures: Failures | None = None,
) -> Timings:
    """Write the hand-off of one batch for the network.

    Parameters
    ----------
    batch : the task's samples
    images : folder with the staged inputs
    model : folder of the prepared model
    output : the hand-off to write; see ``write_pixels``
    overrides : options, see ``adapt_manifest``, that replace the manifest's; ``None`` values do not
    processes : samples worked on at once
    failures : takes the samples that go wrong, and leaves no hand-off if none is left; None stops at the first

    Returns
    -------
    Timings
        One row per sample.
    """
    manifest = adapt_manifest(read_manifest(model), overrides or {})
    options = manifest.preprocessing
    timings = Timings("preprocess", batch.batch)
    logger.info("preprocessing %d images of batch %s", len(batch.samples), batch.batch)
    work = partial(_preprocess_sample, images=images, manifest=manifest, options=options)
    small, large = ([s for s in batch.samples if is_small(s, manifest) == wanted] for wanted in (True, False))
    with HandoffWriter(output) as handoff:
        for sample, (bins, statistics, seconds) in map_samples(work, small, processes, failures):
            write_pixels(handoff, sample.sample, bins, statistics)
            timings.add(sample.sample, "preprocess", seconds, pixels=bins.shape[0] * bins.shape[1])
        stream = partial(_stream_sample, images=images, manifest=manifest, options=options, handoff=handoff)
        for sample, (pixels, seconds) in map_here(stream, large, failures):
            timings.add(sample.sample, "preprocess", seconds, pixels=pixels)
        leave_out(failures, batch, handoff)
    remove_empty(output, handoff)
    logger.info("wrote %s", output.name)
    return timings


def is_small(sample: SampleSpec, manifest: Manifest) -> bool:
    """Whether an image is worked on in memory, which takes less time; others go block by block.

    Counted is the larger of the image and of what the network sees of it.
    """
    model = model_shape(sample.shape, sample.image_mpp, manifest.model_mpp)
    return max(math.prod(sample.shape), math.prod(model)) <= IN_MEMORY_PX


def prepare_input(
    image: np.ndarray, image_mpp: float, manifest: Manifest, options: PreprocessingOptions
) -> tuple[np.ndarray, PreprocessingStatistics]:
    """Resize to the model's pixel size and reduce to bins.

    Parameters
    ----------
    image : float32 (Y, X, C)
    image_mpp : µm per px of the image

    Returns
    -------
    bins : uint8 (Y, X, C) at ``model_mpp``
    statistics : all that is global, from which with the bins float32 is rebuilt exactly
    """
    shape = model_shape(image.shape[:2], image_mpp, manifest.model_mpp)
    resized = resize_input(image, shape)
    statistics = compute_statistics(resized, options)
    return bin_pixels(resized, statistics), statistics


def _preprocess_sample(
    sample: SampleSpec, images: Path, manifest: Manifest, options: PreprocessingOptions
) -> tuple[np.ndarray, PreprocessingStatistics, float]:
    clock = Timings.clock()
    with SampleImage(sample, images) as image:
        pixels = image.model_input(manifest.channels)
    check_pixels(pixels)
    bins, statistics = prepare_input(pixels, sample.image_mpp, manifest, options)
    return bins, statistics, clock()


def _stream_sample(
    sample: SampleSpec, images: Path, manifest: Manifest, options: PreprocessingOptions, handoff: HandoffWriter
) -> tuple[int, float]:
    """Preprocess one large image block by block, straight into the hand-off; its pixels there, and the seconds."""
    clock = Timings.clock()
    with ExitStack() as stack:
        image = stack.enter_context(SampleImage(sample, images))
        bins, statistics = stream_sample(sample, image, manifest, options, stack)
        write_pixels(handoff, sample.sample, bins, statistics)
    return statistics.shape[0] * statistics.shape[1], clock()
