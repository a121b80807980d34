"""Working through the samples of a batch: in order, on several processes, each fault with its sample's name."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cellbatch.errors import CellbatchError, EngineError, InputError, NeedsMoreMemory, explain_system_error
from cellbatch.phases.crashes import DIED_TWICE, at_hand, attempt, crashed_samples
from cellbatch.phases.failures import Failures
from cellbatch.phases.records import decode_record
from cellbatch.spec import LAST_ATTEMPT, SAMPLES_WORTH_A_PROCESS, Batch, SampleSpec

logger = logging.getLogger(__name__)

Work = Callable[[SampleSpec], Any]
DIED = (
    "the process that worked on it died, and died again when it had the sample to itself: for lack of memory, or in a "
    "library that this file crashes; look at the file, or give the task more memory"
)


class Named(Protocol):
    """Anything that stands for a sample."""

    @property
    def sample(self) -> str:
        """Its name."""
        ...


AnyNamed = TypeVar("AnyNamed", bound=Named)


@dataclass(frozen=True)
class Workers:
    """Where a stage of a stream of samples runs.

    Attributes
    ----------
    count : samples worked on at once
    is_process : in processes, which start slowly, but do not wait for each other and may die alone; else in threads
    most : samples that may be at work or done and waiting, at most; 0 = two per worker
    room_px : px of these samples above which no further one is begun, because what is made of them waits on the disk
    """

    count: int
    is_process: bool = True
    most: int = 0
    room_px: int = 1 << 62

    @property
    def ahead(self) -> int:
        """Samples at work or waiting, at most."""
        return self.most or 2 * self.count

    def start(self) -> Executor:
        """Start the workers; use as a context manager."""
        return process_pool(self.count) if self.is_process else ThreadPoolExecutor(self.count)


def read_batch(path: Path) -> Batch:
    """Read the batch of a task, from its record."""
    return decode_record(path.read_text(encoding="utf-8"))


def map_samples(
    function: Work, samples: Iterable[SampleSpec], processes: int = 1, failures: Failures | None = None
) -> Iterator[tuple[SampleSpec, Any]]:
    """Give each sample with the result of ``function``, in order.

    Parameters
    ----------
    function : picklable; takes one sample
    samples : the batch's samples
    processes : used only when the batch is long enough to repay their start
    failures : takes the samples that go wrong, which are then left out; None stops at the first. With it, every sample
        is worked on in a worker process; one that kills its worker, or runs out of memory, is tried once more alone

    Raises
    ------
    CellbatchError
        The first sample's error, with its name in front.
    EngineError
        If a worker process was killed, by the system's memory guard for instance.
    """
    samples = list(samples)
    guarded = partial(run_one, function)
    if failures is not None:
        yield from stream_samples(guarded, samples, Workers(min(processes, len(samples)) or 1), failures)
        return
    if processes < 2 or len(samples) < SAMPLES_WORTH_A_PROCESS:
        yield from zip(samples, map(guarded, samples), strict=True)
        return
    with process_pool(processes) as pool:
        try:
            chunk = max(1, min(16, len(samples) // (4 * processes)))
            yield from zip(samples, pool.map(guarded, samples, chunksize=chunk), strict=True)
        except BrokenProcessPool as error:
            raise _death(samples[0], samples[-1]) from error


def map_here(
    function: Callable[[AnyNamed], Any], samples: Iterable[AnyNamed], failures: Failures | None = None
) -> Iterator[tuple[AnyNamed, Any]]:
    """Give each sample with the result of ``function``, in this process, for work that cannot travel.

    Parameters
    ----------
    function, samples, failures : as for ``map_samples``; with ``failures``, samples that killed this script's process
        are left out, see ``outlive_crashes``

    Raises
    ------
    EngineError
        with ``failures``, too, while the task can still be tried again, with more memory for instance
    """
    crashed = crashed_samples()
    for sample in samples:
        if failures is None:
            yield sample, run_one(function, sample)
            continue
        if sample.sample in crashed:
            failures.add(sample.sample, EngineError(DIED_TWICE))
            continue
        try:
            with at_hand(sample.sample):
                result = run_one(function, sample)
        except Exception as error:  # the run keeps going: the reason travels to the report instead
            if isinstance(error, EngineError) and attempt() < LAST_ATTEMPT:
                raise
            failures.add(sample.sample, error)
        else:
            yield sample, result


def sample_file(folder: Path, sample: SampleSpec, suffix: str) -> Path:
    """Path of one result of one sample, named as the contract says."""
    return folder / f"{sample.sample}.{suffix}"


def stream_samples(
    work: Work, samples: Iterable[SampleSpec], workers: Workers, failures: Failures | None = None
) -> Iterator[tuple[SampleSpec, Any]]:
    """Give each sample with the result of ``work``, in order; samples are taken only as there is room for them.

    Parameters
    ----------
    work : takes one sample; its errors name the sample
    samples : may be the stream of a stage before this one, whose order it keeps
    workers : where it runs, and how far ahead of who takes the results
    failures : takes the samples that go wrong, which are then left out; None stops at the first. With it, ``workers``
        are processes; a sample that kills its worker, or runs out of memory, is tried once more alone

    Raises
    ------
    EngineError
        If a worker process was killed, by the system's memory guard for instance, and ``failures`` is None.
    """
    source = iter(samples)
    flying: deque[tuple[SampleSpec, Future[Any]]] = deque()
    is_broken = True
    while is_broken:
        is_broken = False
        with workers.start() as pool, ExitStack() as stack:
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            while not is_broken and (_fill(flying, source, partial(_submit, pool, work), workers) or flying):
                sample, future = flying[0]
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    if failures is None:
                        raise _death(sample, flying[-1][0]) from error
                    is_broken = True
                except Exception as error:
                    if failures is None:
                        raise
                    flying.popleft()
                    yield from _settle(work, sample, error, failures)
                else:
                    flying.popleft()
                    yield sample, result
        for sample, future in flying:
            if future.done() and not future.cancelled() and future.exception() is None:
                yield sample, future.result()
            elif failures is not None:
                yield from _alone(work, sample, failures)
        flying.clear()


def _fill(
    flying: deque[tuple[SampleSpec, Future[Any]]],
    source: Iterator[SampleSpec],
    submit: Callable[[SampleSpec], Future[Any]],
    workers: Workers,
) -> bool:
    """Submit samples while there is room; whether any is at work."""
    while not flying or (
        len(flying) < workers.ahead and sum(_pixels(sample) for sample, _ in flying) < workers.room_px
    ):
        sample = next(source, None)
        if sample is None:
            break
        flying.append((sample, submit(sample)))
    return bool(flying)


def _pixels(sample: SampleSpec) -> int:
    return sample.shape[0] * sample.shape[1]


def _submit(pool: Executor, work: Work, sample: SampleSpec) -> Future[Any]:
    """Submit; a pool that broke meanwhile says so when the result is asked for."""
    try:
        return pool.submit(work, sample)
    except BrokenProcessPool as error:
        future: Future[Any] = Future()
        future.set_exception(error)
        return future


def _death(first: SampleSpec, last: SampleSpec) -> EngineError:
    return EngineError(
        f"a worker process died while samples {first.sample} … {last.sample} were worked on, most likely for lack of "
        "memory; the task can be tried again with more memory"
    )


def process_pool(processes: int) -> ProcessPoolExecutor:
    """Make workers that end with this process, however it ends; their processor time counts in Nextflow's trace."""
    # a forked child of a process with threads may hang; children of a fork server would be nobody's when it ends
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_task)


def _end_with_task() -> None:
    """End this worker when the task that started it has ended, which a task that is killed cannot see to itself."""
    task = multiprocessing.parent_process()
    if task is not None:
        threading.Thread(target=_wait_and_end, args=(task,), daemon=True).start()


def _wait_and_end(task: BaseProcess) -> None:
    task.join()
    os._exit(1)


def _settle(
    guarded: Work, sample: SampleSpec, error: Exception, failures: Failures
) -> Iterator[tuple[SampleSpec, Any]]:
    """Try what may pass once more; note the rest."""
    if isinstance(error, NeedsMoreMemory) and attempt() < LAST_ATTEMPT:
        raise error
    if isinstance(error, EngineError):
        yield from _alone(guarded, sample, failures)
    else:
        failures.add(sample.sample, error)


def _alone(guarded: Work, sample: SampleSpec, failures: Failures) -> Iterator[tuple[SampleSpec, Any]]:
    """Work on one sample in a process of its own."""
    logger.warning("sample %s: its process died or ran out of memory; it is tried once more alone", sample.sample)
    with process_pool(1) as pool:
        try:
            result = pool.submit(guarded, sample).result()
        except BrokenProcessPool:
            failures.add(sample.sample, EngineError(DIED))
        except Exception as error:  # the run keeps going: the reason travels to the report instead
            failures.add(sample.sample, error)
        else:
            yield sample, result


def run_one(function: Callable[[AnyNamed], Any], sample: AnyNamed) -> Any:
    """Call with the sample's name put in front of whatever goes wrong with its data."""
    try:
        return function(sample)
    except CellbatchError as error:
        raise type(error)(f"sample {sample.sample}: {error}") from error
    except ValueError as error:
        raise InputError(f"sample {sample.sample}: {error}") from error
    except MemoryError as error:
        raise EngineError(f"sample {sample.sample}: out of memory; the task can be tried again with more") from error
    except OSError as error:
        meant = explain_system_error(error)
        if meant is None:
            raise
        raise type(meant)(f"sample {sample.sample}: {meant}") from error
