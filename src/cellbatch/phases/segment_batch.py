"""SEGMENT_BATCH: all phases of a batch in one task, overlapped, with nothing handed over between tasks."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cellbatch.io.handoffs import HandoffReader, HandoffWriter
from cellbatch.phases.batch_files import BATCH, join_labels
from cellbatch.phases.failures import Failures, leave_out
from cellbatch.phases.handoff_files import forget_files
from cellbatch.phases.infer_tiles import InferredPart, infer_sample, load_model
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.machine import describe_machine
from cellbatch.phases.measure_cells import MeasuredFiles, SummaryLines, measure_sample
from cellbatch.phases.pixels import PixelReader
from cellbatch.phases.postprocess_labels import postprocess_labels
from cellbatch.phases.preprocess_images import preprocess_images
from cellbatch.phases.samples import Workers, map_here, stream_samples
from cellbatch.planning.rates import FUSED
from cellbatch.planning.shards import Shard
from cellbatch.planning.stages import INFERRED_AT_ONCE, Stages, share_out
from cellbatch.reporting.timings import OVERLAPPED, Timings, peak_memory_mb
from cellbatch.spec import Batch, SampleSpec

logger = logging.getLogger(__name__)


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


def segment_batch(
    batch: Batch,
    files: SegmentFiles,
    options: SegmentOptions,
    *,
    processes: int = 1,
    failures: Failures | None = None,
) -> Timings:
    """Preprocess, infer, label and measure a batch, each sample as soon as the phase before has done it.

    This process loads the network once; the samples before and behind the one inside it are worked on beside it, in
    processes if the batch repays their start, else in threads. The results are those of the phases one after the
    other, byte for byte.

    Parameters
    ----------
    batch : the task's samples
    files : where everything lies
    options : of all phases
    processes : cores of the task
    failures : takes the samples that go wrong, with the phase; None stops at the first

    Returns
    -------
    Timings
        Rows as the single phases give them, and one of the phase ``fused`` for what all took together.
    """
    files.labels.mkdir(parents=True, exist_ok=True)
    files.measured.make_folders()
    files.scratch.mkdir(parents=True, exist_ok=True)
    stages = share_out([sample.shape for sample in batch.samples], processes, is_guarded=failures is not None)
    lines, timings, clock = SummaryLines(), Timings(FUSED, batch.batch), Timings.clock()
    logger.info("segmenting %d images of batch %s", len(batch.samples), batch.batch)
    with tempfile.TemporaryDirectory(prefix="fused.", dir=files.scratch) as scratch:
        work = _Work(batch.batch, replace(files, scratch=Path(scratch)), options, processes)
        stream = _Stream(work, stages, timings, failures)
        for _, done in stream.run(batch):
            lines.add(done.line, done.thumbnail)
        stream.leave_out(batch)
    setup_s = sum(row["seconds"] for row in timings.rows() if row["step"] in ("load_model", "warm_up"))
    timings.add("", OVERLAPPED, max(clock() - setup_s, 0.0), peak_mb=stream.peak_mb())
    if len(lines):
        lines.write(files.summary)
        files.measured.join(files.summary, batch.batch)
    if files.measured.table.layout == BATCH:
        join_labels(files.labels, batch.batch)
    return timings


@dataclass(frozen=True)
class _Done:
    """What is left of a sample when its files are written."""

    line: dict[str, Any]
    thumbnail: bytes
    timings: Timings


@dataclass(frozen=True)
class _Work:
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

    def infer(self, sample: SampleSpec, loaded: LoadedModel) -> Timings:
        """Infer all of an image."""
        timings, source = Timings("infer", self.batch), self.path(sample, "pixels")
        timings.machine = describe_machine(loaded.engine.device)
        part = InferredPart(self.options.compartment, Shard())
        with HandoffReader(source) as pixels, HandoffWriter(self.path(sample, "heads")) as heads:
            infer_sample(loaded, PixelReader(pixels, sample.sample), sample.sample, heads, part, timings)
        source.unlink()
        return timings

    def finish(self, sample: SampleSpec) -> _Done:
        """Label and measure."""
        heads, labels = self.path(sample, "heads"), self.path(sample, "labels")
        timings = postprocess_labels(
            self.alone(sample),
            heads,
            self.files.model,
            LabelFiles(self.files.labels, labels, self.files.is_tiff_wanted),
            compartment=self.options.compartment,
            overrides=self.options.watershed,
            processes=self.threads,
        )
        measured = replace(self.files.measured, labels=labels)
        line, thumbnail, seconds = measure_sample(sample, self.batch, measured)
        measuring = Timings("measure", self.batch)
        measuring.add(sample.sample, "measure", seconds, pixels=sample.shape[0] * sample.shape[1])
        timings.extend(measuring)
        # only now, because a worker that dies is given its sample once more
        forget_files()
        heads.unlink()
        labels.unlink()
        return _Done(line, thumbnail, timings)


class _Stream:
    """The three stages, each drawing on the one before it, with few samples between them.

    Parameters
    ----------
    work : on each sample
    stages : workers of each stage
    timings : get the rows of all phases
    failures : see ``segment_batch``
    """

    def __init__(self, work: _Work, stages: Stages, timings: Timings, failures: Failures | None) -> None:
        self._work, self._stages, self._timings, self._failures = work, stages, timings, failures
        phases = ("preprocess", "infer", "measure")
        self._prepared, self._inferred, self._finished = (None if failures is None else Failures(p) for p in phases)
        self._peaks_mb = {"prepare": 0.0, "finish": 0.0}

    def run(self, batch: Batch) -> Iterator[tuple[SampleSpec, _Done]]:
        """Give each sample that came through, in order."""
        stages, is_process = self._stages, self._stages.is_process
        with ThreadPoolExecutor(1) as pool:
            # while the network is loaded, the first samples are prepared
            loading = pool.submit(self._load)

            def infer(sample: SampleSpec) -> Timings | None:
                work = partial(self._work.infer, loaded=loading.result()[0])
                return next((timings for _, timings in map_here(work, [sample], self._inferred)), None)

            # a sample that kills this process can be told from others only if it is the only one at work
            at_once = INFERRED_AT_ONCE if self._failures is None else 1
            prepare = Workers(stages.prepare, is_process, 2 * stages.prepare, stages.room_px)
            network = Workers(at_once, False, at_once + 1, stages.room_px)
            finish = Workers(stages.finish, is_process, 2 * stages.finish + 1, stages.room_px)
            stream = self._noted("prepare", stream_samples(self._work.prepare, batch.samples, prepare, self._prepared))
            stream = self._noted("", stream_samples(infer, stream, network))
            for sample, done in stream_samples(self._work.finish, stream, finish, self._finished):
                self._note("finish", done.timings)
                yield sample, done
            self._timings.extend(loading.result()[1])

    def _load(self) -> tuple[LoadedModel, Timings]:
        timings = Timings("infer", self._work.batch)
        options = self._work.options
        return load_model(self._work.files.model, options.inference, options.compartment, timings), timings

    def _noted(self, stage: str, stream: Iterator[tuple[SampleSpec, Timings | None]]) -> Iterator[SampleSpec]:
        """Take the timings of a stage out of its stream; a sample without went wrong there."""
        for sample, timings in stream:
            if timings is not None:
                self._note(stage, timings)
                yield sample

    def _note(self, stage: str, timings: Timings) -> None:
        self._timings.extend(timings)
        if stage:
            peak_mb = max((row["peak_mb"] for row in timings.rows()), default=0.0)
            self._peaks_mb[stage] = max(self._peaks_mb[stage], peak_mb)

    def leave_out(self, batch: Batch) -> None:
        """Take back what was made of failed samples; labels stay if only their measurement went wrong, as ever."""
        if self._failures is None or not (self._prepared and self._inferred and self._finished):
            return
        files, specs = self._work.files, {sample.sample: sample for sample in batch.samples}
        unlabelled = Failures("postprocess")
        for failure in list(self._finished.found):
            if not self._work.path(specs[failure.sample], "labels").exists():
                self._finished.found.remove(failure)
                unlabelled.found.append(replace(failure, phase="postprocess"))
        leave_out(unlabelled, batch, None, files.labels)
        leave_out(self._finished, batch, None, *files.measured.folders())
        for part in (self._prepared, self._inferred, unlabelled, self._finished):
            self._failures.found.extend(part.found)

    def peak_mb(self) -> float:
        """Most memory of all processes of the task together, if all had their peaks at the same time."""
        workers = {"prepare": self._stages.prepare, "finish": self._stages.finish} if self._stages.is_process else {}
        return peak_memory_mb() + sum(count * self._peaks_mb[stage] for stage, count in workers.items())
