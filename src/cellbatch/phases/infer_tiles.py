"""INFER_TILES: bins become heads, with the model loaded and warmed once for the whole task."""

import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cellbatch.io.handoffs import HandoffParts, HandoffReader, HandoffWriter
from cellbatch.phases.failures import Failures
from cellbatch.phases.handoff_files import FIRST_ROW, ROWS
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel, check_compartment, make_grid
from cellbatch.phases.machine import describe_machine
from cellbatch.phases.pixels import PixelReader
from cellbatch.phases.samples import map_here
from cellbatch.planning.shards import Shard
from cellbatch.progress import Progress
from cellbatch.reporting.timings import Timings
from cellbatch.spec import Window

logger = logging.getLogger(__name__)


class _Name(NamedTuple):
    """A sample of which no more is known here."""

    sample: str


def infer_batch(
    pixels: Path,
    model: Path,
    output: Path,
    options: InferenceOptions,
    *,
    compartment: str = "both",
    shard: Shard | None = None,
    failures: Failures | None = None,
) -> Timings:
    """Load the network, warm it up, and write the heads of every sample of a hand-off.

    Parameters
    ----------
    pixels : hand-off of PREPROCESS_IMAGES
    model : folder of the prepared model
    output : the hand-off to write; each sample gets ``<compartment>_inner_distance`` and ``<compartment>_interior``,
        float32 (Y, X) at ``model_mpp``: all rows, or those of the shard; see ``open_heads``
    options : runtime and device
    compartment : ``both``, ``whole-cell`` or ``nuclear``
    shard : part of the batch; everything by default
    failures : takes the samples that go wrong, whose heads are then absent; None stops at the first

    Returns
    -------
    Timings
        One row for the load, one for the first call, and two per sample: inside the network, and around it.
    """
    shard = shard or Shard()
    timings = Timings("infer", output.name.split(".")[0])
    with HandoffReader(pixels) as source, HandoffWriter(output) as handoff:
        loaded = load_model(model, options, compartment, timings)
        names = source.samples()
        logger.info("inferring %d images with %s on the %s", len(names), loaded.manifest.name, loaded.engine.device)
        part = InferredPart(compartment, shard)

        def infer(named: _Name) -> None:
            image = PixelReader(source, named.sample)
            infer_sample(loaded, image, named.sample, handoff, part, timings)

        deque(map_here(infer, map(_Name, names), failures), maxlen=0)
        for failure in failures.found if failures else ():
            handoff.discard(failure.sample)
    logger.info("wrote %s", output.name)
    return timings


def load_model(model: Path, options: InferenceOptions, compartment: str, timings: Timings) -> LoadedModel:
    """Load the network and run it once; what both took, and on which device, goes to the timings."""
    with timings.step("load_model"):
        loaded = LoadedModel(model, options)
    timings.machine = describe_machine(loaded.engine.device, loaded.gpu)
    check_compartment(loaded.manifest, compartment)
    with timings.step("warm_up"):
        loaded.warm_up()
    return loaded


@dataclass(frozen=True)
class InferredPart:
    """Which maps of a sample are wanted, and which part of its rows."""

    compartment: str
    shard: Shard


def infer_sample(
    loaded: LoadedModel, image: PixelReader, sample: str, handoff: HandoffWriter, part: InferredPart, timings: Timings
) -> None:
    """Write the heads of one sample; its seconds inside the network, and around it, go to the timings."""
    clock = Timings.clock()
    network_s, waited_s = loaded.seconds.network, loaded.seconds.waited
    since = loaded.gpu.mark() if loaded.gpu else None
    done_px = _infer_rows(loaded, image, sample, handoff, part)
    network_s, waited_s = loaded.seconds.network - network_s, loaded.seconds.waited - waited_s
    if done_px:
        busy = loaded.gpu.busy_since(since) if loaded.gpu and since else None
        timings.add(sample, "network", network_s, gpu_busy=busy)
        timings.add(sample, "tiles", clock() - network_s - waited_s, pixels=done_px)


def _infer_rows(
    loaded: LoadedModel, image: PixelReader, sample: str, handoff: HandoffWriter, part: InferredPart
) -> int:
    """Write the heads of one sample's rows in this task, as they are finished; how many px these rows have."""
    grid = make_grid(image.shape, loaded.manifest)
    owned = part.shard.rows(grid)
    if owned is None:
        return 0
    y0, y1 = grid.owned_rows(*owned)
    width = image.shape[1]
    targets = [
        HandoffParts(handoff.create(sample, f"{name}_{head}", (y1 - y0, width), "float32"))
        for name, head in loaded.head_names(part.compartment)
    ]
    handoff.write_attributes(sample, {FIRST_ROW: y0, ROWS: image.shape[0]})
    with Progress(f"infer {sample}", (y1 - y0) * width) as progress:
        for done in loaded.infer_rows(image.read, image.shape, part.compartment, owned):
            (top, bottom, left, right), (height, breadth) = done.window, done.window.shape
            for index, target in enumerate(targets):
                target.write(Window(top - y0, bottom - y0, left, right), done.pixels[..., index])
            progress.add(height * breadth)
    return (y1 - y0) * width
