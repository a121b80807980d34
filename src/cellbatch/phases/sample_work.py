"""What a fused task does with one sample: preprocess, infer, label and measure it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cellbatch.io.handoffs import HandoffReader, HandoffWriter
from cellbatch.phases.handoff_files import forget_files
from cellbatch.phases.infer_tiles import InferredPart, infer_sample, load_model
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.loaded_model import InferenceOptions
from cellbatch.phases.machine import describe_machine
from cellbatch.phases.measure_cells import MeasuredFiles, measure_sample
from cellbatch.phases.pixels import PixelReader
from cellbatch.phases.postprocess_labels import postprocess_labels
from cellbatch.phases.preprocess_images import preprocess_images
from cellbatch.phases.samples import run_one
from cellbatch.planning.shards import Shard
from cellbatch.reporting.timings import Timings
from cellbatch.spec import Batch, SampleSpec


@dataclass(frozen=True)
class SegmentFiles:
    """Where everything is read and written.

    Attributes
    ----------
    model : folder of the prepared model
    labels : gets ``<sample>.<compartment>.ome.tif``, unless ``is_tiff_wanted`` is False
    measured : images, and where all other results go; its ``labels`` are not used
    summary : as ``measure_batch`` writes it; absent if no sample was labelled
    scratch : folder for what goes from phase to phase, which is deleted as soon as it is used
    """

    model: Path
    labels: Path
    measured: MeasuredFiles
    summary: Path
    scratch: Path
    is_tiff_wanted: bool = True


@dataclass(frozen=True)
class SegmentOptions:
    """Options of the phases: see ``preprocess_images``, ``infer_batch`` and ``postprocess_labels``."""

    compartment: str = "both"
    preprocessing: Mapping[str, float | None] = field(default_factory=dict)
    watershed: Mapping[str, float | None] = field(default_factory=dict)
    inference: InferenceOptions = field(default_factory=InferenceOptions)


@dataclass(frozen=True)
class Done:
    """What is left of a sample when its files are written."""

    line: dict[str, Any]
    thumbnail: bytes
    timings: Timings


@dataclass(frozen=True)
class SampleWork:
    """What is done with each sample, in this process or in a worker."""

    batch: str
    files: SegmentFiles
    options: SegmentOptions
    threads: int

    def path(self, sample: SampleSpec, phase: str) -> Path:
        """Scratch file that a phase makes of a sample."""
        return self.files.scratch / f"{sample.sample}.{phase}.zip"

    def alone(self, sample: SampleSpec) -> Batch:
        """One sample as a batch of the task's name."""
        return Batch(self.batch, (sample,))

    def prepare(self, sample: SampleSpec) -> Timings:
        """Preprocess."""
        images, target = self.files.measured.images, self.path(sample, "pixels")
        return preprocess_images(
            self.alone(sample), images, self.files.model, target, overrides=self.options.preprocessing
        )

    def load(self, timings: Timings) -> Any:
        """Load what ``infer`` is given; what it takes goes to the timings."""
        return load_model(self.files.model, self.options.inference, self.options.compartment, timings)

    def release(self, loaded: Any) -> None:
        """Let go of what ``load`` gave."""

    def infer(self, sample: SampleSpec, loaded: Any) -> Timings:
        """Infer all of an image."""
        timings, source = Timings("infer", self.batch), self.path(sample, "pixels")
        timings.machine = describe_machine(loaded.engine.device, loaded.gpu)
        part = InferredPart(self.options.compartment, Shard())
        with HandoffReader(source) as pixels, HandoffWriter(self.path(sample, "heads")) as heads:
            infer_sample(loaded, PixelReader(pixels, sample.sample), sample.sample, heads, part, timings)
        source.unlink()
        return timings

    def label(self, sample: SampleSpec, output: LabelFiles) -> Timings:
        """Make labels of what ``infer`` left."""
        return postprocess_labels(
            self.alone(sample),
            self.path(sample, "heads"),
            self.files.model,
            output,
            compartment=self.options.compartment,
            overrides=self.options.watershed,
            processes=self.threads,
        )

    def finish(self, sample: SampleSpec) -> Done:
        """Label and measure."""
        labels = self.path(sample, "labels")
        timings = self.label(sample, LabelFiles(self.files.labels, labels, self.files.is_tiff_wanted))
        measured = replace(self.files.measured, labels=labels)
        measure = partial(measure_sample, batch=self.batch, files=measured)
        line, thumbnail, seconds = run_one(measure, sample)
        measuring = Timings("measure", self.batch)
        measuring.add(sample.sample, "measure", seconds, pixels=sample.shape[0] * sample.shape[1])
        timings.extend(measuring)
        # only now, because a worker that dies is given its sample once more
        forget_files()
        self.path(sample, "heads").unlink()
        labels.unlink()
        return Done(line, thumbnail, timings)
