"""A fused task in which DeepCell's own code does everything between the image and its labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from cellbatch.errors import ConfigError, EngineError
from cellbatch.inference.deepcell_process import DeepcellProcess
from cellbatch.inference.engine import DEEPCELL, WEIGHTS_FORM
from cellbatch.io.models import read_manifest, verify_weights
from cellbatch.phases.deepcell_application import MESMER, check_options, name_application
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.loaded_model import check_compartment
from cellbatch.phases.machine import describe_machine
from cellbatch.phases.made_labels import write_foreign_labels
from cellbatch.phases.method_options import adapt_manifest
from cellbatch.phases.postprocess_labels import resolve_watershed
from cellbatch.phases.sample_work import SampleWork
from cellbatch.phases.samples import run_one
from cellbatch.phases.sources import SampleImage
from cellbatch.phases.streamed_preprocessing import check_pixels
from cellbatch.postprocessing.numbering import close_gaps
from cellbatch.reporting.timings import Timings
from cellbatch.spec import COMPARTMENTS, Manifest, SampleSpec

logger = logging.getLogger(__name__)

# tiles per call of the network, where nothing else is asked for
TILE_BATCH = 4


def predict_options(
    manifest: Manifest,
    compartment: str,
    watershed: Mapping[str, float | None],
    tile_batch: int | None,
) -> dict[str, Any]:
    """Keywords for the application's ``predict``, so that it does what the manifest and the options say.

    Parameters
    ----------
    manifest : of the model, with the options of the preprocessing that hold for this run
    compartment : ``both``, ``whole-cell`` or ``nuclear``
    watershed : see ``resolve_watershed``
    tile_batch : tiles per call of the network; None = DeepCell's own
    """
    steps = {name: asdict(options) for name, options in resolve_watershed(manifest.compartments, watershed).items()}
    steps_before: dict[str, Any] = {"kernel_size": manifest.preprocessing.clahe_kernel_size}
    options: dict[str, Any] = {"batch_size": tile_batch or TILE_BATCH, "pad_mode": manifest.tile_padding}
    if name_application(manifest) != MESMER:
        return {**options, "preprocess_kwargs": steps_before, "postprocess_kwargs": next(iter(steps.values()))}
    percentile = manifest.preprocessing.percentile
    steps_before |= {"threshold": percentile is not None, "percentile": percentile or 0.0, "normalize": True}
    named = {f"postprocess_kwargs_{name}": values for name, values in steps.items()}
    return {**options, "preprocess_kwargs": steps_before, **named, "compartment": compartment}


@dataclass(frozen=True)
class DeepcellWork(SampleWork):
    """Reading, writing and measuring are this project's; preprocessing, network and labels are DeepCell's."""

    def prepare(self, sample: SampleSpec) -> Timings:
        """Read what the network wants, at image resolution."""
        return run_one(self._read, sample)

    def _read(self, sample: SampleSpec) -> Timings:
        timings = Timings("preprocess", self.batch)
        with timings.step("read", sample.sample, pixels=sample.shape[0] * sample.shape[1]):
            with SampleImage(sample, self.files.measured.images) as image:
                pixels = check_pixels(image.model_input(self._manifest().channels))
            with self.path(sample, "pixels").open("wb") as file:
                np.save(file, pixels)
        return timings

    def load(self, timings: Timings) -> DeepcellProcess:
        """Start DeepCell's Python and load the network."""
        manifest, how = self._manifest(), self.options.inference
        application = name_application(manifest)
        check_compartment(manifest, self.options.compartment)
        form = WEIGHTS_FORM[DEEPCELL]
        verify_weights(self.files.model, manifest, form)
        check_options({"deepcell_python": how.deepcell_python, "precision": how.precision})
        with timings.step("import"):
            process = DeepcellProcess(how.deepcell_python)
        try:
            with timings.step("load_model"):
                weights = self.files.model / manifest.weights[form].file
                model_mpp = process.load(application, weights, how.device, how.threads)
            if model_mpp != manifest.model_mpp:
                raise ConfigError(
                    f"--engine deepcell: {application} runs its network at {model_mpp} um/px and knows no other, but "
                    f"model_mpp {manifest.model_mpp} was asked for; leave --model_mpp out, or choose another --engine"
                )
        except BaseException:
            process.close()
            raise
        timings.machine = describe_machine(process.device, process.gpu)
        logger.info("labelling with DeepCell's %s on the %s", application, process.device)
        return process

    def release(self, loaded: DeepcellProcess) -> None:
        """End DeepCell's process."""
        loaded.close()

    def infer(self, sample: SampleSpec, loaded: DeepcellProcess) -> Timings:
        """Let DeepCell label an image."""
        timings, how = Timings("infer", self.batch), self.options.inference
        timings.machine = describe_machine(loaded.device, loaded.gpu)
        given = (self.options.compartment, self.options.watershed, how.tile_batch)
        options = predict_options(self._manifest(), *given)
        image = self.path(sample, "pixels")
        seconds = loaded.label(image, sample.image_mpp, self.path(sample, "heads"), options)
        timings.add(sample.sample, "deepcell", seconds, pixels=sample.shape[0] * sample.shape[1])
        image.unlink()
        return timings

    def label(self, sample: SampleSpec, output: LabelFiles) -> Timings:
        """Write DeepCell's labels, numbered without gaps as labels are everywhere here."""
        return run_one(partial(self._write, output=output), sample)

    def _write(self, sample: SampleSpec, output: LabelFiles) -> Timings:
        timings = Timings("postprocess", self.batch)
        with self.path(sample, "heads").open("rb") as file:
            found = np.load(file)
        selected = self._manifest().selected(self.options.compartment)
        names = [name for name in COMPARTMENTS if name in selected]
        shape = (*sample.shape, len(names))
        if found.shape != shape:
            raise EngineError(f"DeepCell gave labels of shape {found.shape}, but {shape} was expected")
        labels = {name: np.asarray(close_gaps(found[..., at])[:, :]) for at, name in enumerate(names)}
        write_foreign_labels(sample, labels, output, timings)
        return timings

    def _manifest(self) -> Manifest:
        return adapt_manifest(read_manifest(self.files.model), self.options.preprocessing)
