"""POSTPROCESS_LABELS: heads become labels at image resolution."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cellbatch.io.handoffs import HandoffWriter
from cellbatch.io.labels import write_labels
from cellbatch.io.models import read_manifest
from cellbatch.phases.handoff_files import open_handoff
from cellbatch.phases.loaded_model import HEAD_NAMES
from cellbatch.phases.samples import map_samples, sample_file
from cellbatch.postprocessing.resize import resize_labels
from cellbatch.postprocessing.watershed import deep_watershed
from cellbatch.reporting.timings import Timings
from cellbatch.spec import Batch, CompartmentSpec, SampleSpec, WatershedOptions, override

logger = logging.getLogger(__name__)

MAXIMA_THRESHOLD = "maxima_threshold_"


@dataclass(frozen=True)
class LabelFiles:
    """Where labels go: ``folder`` gets ``<sample>.<compartment>.ome.tif``, ``handoff`` is for the measurement."""

    folder: Path
    handoff: Path


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
    heads: Mapping[str, np.ndarray], options: WatershedOptions, shape: tuple[int, int], threads: int = 1
) -> np.ndarray:
    """Labels of one compartment at image resolution.

    Parameters
    ----------
    heads : ``inner_distance`` and ``interior``, float32 (Y, X) at ``model_mpp``
    shape : (Y, X) of the image

    Returns
    -------
    uint32 (Y, X), 1 … n and 0 for background
    """
    labels = deep_watershed(heads["inner_distance"], heads["interior"], threads=threads, **asdict(options))
    return _renumber(resize_labels(labels, shape))


def _renumber(labels: np.ndarray) -> np.ndarray:
    """Close the gaps that are left where an image is coarser than the model and a label lost all its pixels."""
    present = np.bincount(labels.ravel()) > 0
    present[0] = False
    if present[1:].all():
        return labels
    return np.where(present, np.cumsum(present), 0).astype(np.uint32)[labels]


def postprocess_labels(
    batch: Batch,
    heads: Path,
    model: Path,
    output: LabelFiles,
    *,
    compartment: str = "both",
    overrides: Mapping[str, float | None] | None = None,
    processes: int = 1,
) -> Timings:
    """Write a label image per sample and compartment, and all of them once more as one hand-off.

    Thousands of files would be staged one by one for the measurement; the hand-off is one.

    Parameters
    ----------
    batch : the task's samples
    heads : hand-off of INFER_TILES
    model : folder of the prepared model
    output : where the labels go
    compartment : ``both``, ``whole-cell`` or ``nuclear``
    overrides : see ``resolve_watershed``
    processes : samples worked on at once
    """
    selected = read_manifest(model).selected(compartment)
    options = resolve_watershed(selected, overrides or {})
    timings = Timings("postprocess", batch.batch)
    output.folder.mkdir(parents=True, exist_ok=True)
    logger.info("labelling %d images of batch %s", len(batch.samples), batch.batch)
    work = partial(_label_sample, heads=heads, options=options, folder=output.folder)
    with HandoffWriter(output.handoff) as handoff:
        for sample, (labels, pixels, seconds) in zip(
            batch.samples, map_samples(work, batch.samples, processes), strict=True
        ):
            for name, values in labels.items():
                handoff.write(sample.sample, name, values)
            timings.add(sample.sample, "postprocess", seconds, pixels=pixels)
    logger.info("wrote %d label images", len(batch.samples) * len(options))
    return timings


def _label_sample(
    sample: SampleSpec, heads: Path, options: Mapping[str, WatershedOptions], folder: Path
) -> tuple[dict[str, np.ndarray], int, float]:
    clock = Timings.clock()
    source = open_handoff(heads)
    labels, pixels = {}, 0
    for compartment, watershed in options.items():
        maps = {head: source.read(sample.sample, f"{compartment}_{head}") for head in HEAD_NAMES}
        labels[compartment] = make_labels(maps, watershed, sample.shape)
        path = sample_file(folder, sample, f"{compartment}.ome.tif")
        write_labels(path, labels[compartment], sample.image_mpp, compartment)
        pixels = maps["interior"].size
    return labels, pixels, clock()
