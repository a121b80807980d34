"""PREPROCESS_IMAGES: the images of a batch become one byte per pixel and channel, plus maps and scalars."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from cellbatch.geometry.scale import model_shape
from cellbatch.io.handoffs import HandoffWriter
from cellbatch.io.models import read_manifest
from cellbatch.phases.pixels import write_pixels
from cellbatch.phases.samples import map_samples
from cellbatch.phases.sources import SampleImage
from cellbatch.preprocessing.resize import resize_image
from cellbatch.preprocessing.statistics import PreprocessingStatistics, bin_pixels, compute_statistics
from cellbatch.reporting.timings import Timings
from cellbatch.spec import Batch, Manifest, PreprocessingOptions, SampleSpec, override

logger = logging.getLogger(__name__)


def preprocess_images(
    batch: Batch,
    images: Path,
    model: Path,
    output: Path,
    *,
    overrides: Mapping[str, float | None] | None = None,
    processes: int = 1,
) -> Timings:
    """Write the hand-off of one batch for the network.

    Parameters
    ----------
    batch : the task's samples
    images : folder with the staged inputs
    model : folder of the prepared model
    output : the hand-off to write; see ``write_pixels``
    overrides : options that replace the manifest's; ``None`` values do not
    processes : samples worked on at once

    Returns
    -------
    Timings
        One row per sample.
    """
    manifest = read_manifest(model)
    options = override(manifest.preprocessing, **(overrides or {}))
    timings = Timings("preprocess", batch.batch)
    work = partial(_preprocess_sample, images=images, manifest=manifest, options=options)
    logger.info("preprocessing %d images of batch %s", len(batch.samples), batch.batch)
    with HandoffWriter(output) as handoff:
        for sample, (bins, statistics, seconds) in zip(
            batch.samples, map_samples(work, batch.samples, processes), strict=True
        ):
            write_pixels(handoff, sample.sample, bins, statistics)
            timings.add(sample.sample, "preprocess", seconds, pixels=bins.shape[0] * bins.shape[1])
    logger.info("wrote %s", output.name)
    return timings


def check_pixels(pixels: np.ndarray) -> np.ndarray:
    """Return the image as it is.

    Raises
    ------
    ValueError
        If it holds NaN or infinite pixels.
    """
    if not np.isfinite(pixels).all():
        raise ValueError("the image holds NaN or infinite pixels; replace them, by zeros for instance")
    return pixels


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
    resized = resize_image(image, shape)
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
