"""INFER_TILES: bins become heads, with the model loaded and warmed once for the whole batch."""

import logging
from pathlib import Path

from cellbatch.io.handoffs import HandoffReader, HandoffWriter
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel, check_compartment
from cellbatch.phases.pixels import read_pixels
from cellbatch.reporting.timings import Timings

logger = logging.getLogger(__name__)


def infer_batch(
    pixels: Path, model: Path, output: Path, options: InferenceOptions, *, compartment: str = "both"
) -> Timings:
    """Load the network, warm it up, and write the heads of every sample of a hand-off.

    Parameters
    ----------
    pixels : hand-off of PREPROCESS_IMAGES
    model : folder of the prepared model
    output : the hand-off to write; each sample gets ``<compartment>_inner_distance`` and ``<compartment>_interior``,
        float32 (Y, X) at ``model_mpp``
    options : runtime and device
    compartment : ``both``, ``whole-cell`` or ``nuclear``

    Returns
    -------
    Timings
        One row for the load, one for the first call, and two per sample: inside the network, and around it.
    """
    with HandoffReader(pixels) as source, HandoffWriter(output) as handoff:
        timings = Timings("infer", output.name.split(".")[0])
        with timings.step("load_model"):
            loaded = LoadedModel(model, options)
        check_compartment(loaded.manifest, compartment)
        with timings.step("warm_up"):
            loaded.warm_up()
        names = source.samples()
        logger.info("inferring %d images with %s on the %s", len(names), loaded.manifest.name, loaded.engine.device)
        for sample in names:
            clock, network_s = Timings.clock(), loaded.network_s
            image = read_pixels(source, sample)
            heads = loaded.infer(image, compartment)
            for name, maps in heads.items():
                for head, values in maps.items():
                    handoff.write(sample, f"{name}_{head}", values)
            network_s = loaded.network_s - network_s
            timings.add(sample, "network", network_s)
            timings.add(sample, "tiles", clock() - network_s, pixels=image.shape[0] * image.shape[1])
    logger.info("wrote %s", output.name)
    return timings
