"""SEGMENT_BATCH: all phases of a batch in one task, overlapped, with nothing handed over between tasks."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cellbatch.inference.engine import DEEPCELL
from cellbatch.phases.failures import Failures, leave_out
from cellbatch.phases.measure_cells import SummaryLines
from cellbatch.phases.results_layout import BATCH, join_labels
from cellbatch.phases.sample_work import Done, SampleWork, SegmentFiles, SegmentOptions
from cellbatch.phases.samples import Workers, map_here, stream_samples
from cellbatch.phases.segment_with_deepcell import DeepcellWork
from cellbatch.planning.rates import FUSED
from cellbatch.planning.stages import INFERRED_AT_ONCE, Stages, share_out
from cellbatch.reporting.timings import OVERLAPPED, SETUP_STEPS, Timings, peak_memory_mb
from cellbatch.spec import Batch, SampleSpec

logger = logging.getLogger(__name__)


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
        kind = DeepcellWork if options.inference.engine == DEEPCELL else SampleWork
        work = kind(batch.batch, replace(files, scratch=Path(scratch)), options, processes)
        stream = _Stream(work, stages, timings, failures)
        for _, done in stream.run(batch):
            lines.add(done.line, done.thumbnail)
        stream.leave_out(batch)
    setup_s = sum(row["seconds"] for row in timings.rows() if row["step"] in SETUP_STEPS)
    timings.add("", OVERLAPPED, max(clock() - setup_s, 0.0), peak_mb=stream.peak_mb(), gpu_busy=stream.gpu_busy)
    if len(lines):
        lines.write(files.summary)
        files.measured.join(files.summary, batch.batch)
    if files.measured.table.layout == BATCH:
        join_labels(files.labels, batch.batch)
    return timings


class _Stream:
    """The three stages, each drawing on the one before it, with few samples between them.

    Parameters
    ----------
    work : on each sample
    stages : workers of each stage
    timings : get the rows of all phases
    failures : see ``segment_batch``
    """

    def __init__(self, work: SampleWork, stages: Stages, timings: Timings, failures: Failures | None) -> None:
        self._work, self._stages, self._timings, self._failures = work, stages, timings, failures
        phases = ("preprocess", "infer", "measure")
        self._prepared, self._inferred, self._finished = (None if failures is None else Failures(p) for p in phases)
        self._peaks_mb = {"prepare": 0.0, "finish": 0.0}
        # share of the time from the loaded network to the last file in which the GPU worked
        self.gpu_busy: float | None = None

    def run(self, batch: Batch) -> Iterator[tuple[SampleSpec, Done]]:
        """Give each sample that came through, in order."""
        stages, is_process = self._stages, self._stages.is_process
        with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
            # while the network is loaded, the first samples are prepared
            loading = pool.submit(self._load)
            stack.callback(lambda: loading.exception() or self._work.release(loading.result()[0]))

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
            loaded, timings, since = loading.result()
            self._timings.extend(timings)
            self.gpu_busy = loaded.gpu.busy_since(since) if loaded.gpu else None

    def _load(self) -> tuple[Any, Timings, Any]:
        timings = Timings("infer", self._work.batch)
        loaded = self._work.load(timings)
        return loaded, timings, loaded.gpu.mark() if loaded.gpu else None

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
