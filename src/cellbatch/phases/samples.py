"""Working through the samples of a batch: in order, on several processes, each fault with its sample's name."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from cellbatch.errors import CellbatchError, EngineError, InputError
from cellbatch.phases.records import decode_record
from cellbatch.spec import SAMPLES_WORTH_A_PROCESS, Batch, SampleSpec


def read_batch(path: Path) -> Batch:
    """Read the batch of a task, from its record."""
    return decode_record(path.read_text(encoding="utf-8"))


def map_samples(
    function: Callable[[SampleSpec], Any], samples: Iterable[SampleSpec], processes: int = 1
) -> Iterator[Any]:
    """Results of ``function`` for each sample, in order.

    Parameters
    ----------
    function : picklable; takes one sample
    samples : the batch's samples
    processes : used only when the batch is long enough to repay their start

    Raises
    ------
    CellbatchError
        The first sample's error, with its name in front.
    EngineError
        If a worker process was killed, by the system's memory guard for instance.
    """
    samples = list(samples)
    guarded = partial(_run_one, function)
    if processes < 2 or len(samples) < SAMPLES_WORTH_A_PROCESS:
        yield from map(guarded, samples)
        return
    # a forked child of a process with threads may hang: start clean ones
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            yield from pool.map(guarded, samples, chunksize=max(1, min(16, len(samples) // (4 * processes))))
        except BrokenProcessPool as error:
            raise EngineError(
                f"a worker process died while samples {samples[0].sample} … {samples[-1].sample} were worked on, "
                "most likely for lack of memory; the task can be tried again with more memory"
            ) from error


def sample_file(folder: Path, sample: SampleSpec, suffix: str) -> Path:
    """Path of one result of one sample, named as the contract says."""
    return folder / f"{sample.sample}.{suffix}"


def _run_one(function: Callable[[SampleSpec], Any], sample: SampleSpec) -> Any:
    """Call with the sample's name put in front of whatever goes wrong with its data."""
    try:
        return function(sample)
    except CellbatchError as error:
        raise type(error)(f"sample {sample.sample}: {error}") from error
    except ValueError as error:
        raise InputError(f"sample {sample.sample}: {error}") from error
    except MemoryError as error:
        raise EngineError(f"sample {sample.sample}: out of memory; the task can be tried again with more") from error
