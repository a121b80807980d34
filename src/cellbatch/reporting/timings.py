"""How long what took: rows that every phase records."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Steps that a task pays once, however many images it has; the report shows them apart.
SETUP_STEPS = frozenset({"import", "load_model", "warm_up"})
# What all phases of a fused task took together, beside their own rows, which run at the same time.
OVERLAPPED = "overlapped"
COLUMNS = {
    "phase": "str",
    "batch": "str",
    "sample": "str",
    "step": "str",
    "seconds": "float64",
    "started": "float64",
    "pixels": "int64",
    "machine": "str",
    "peak_mb": "float64",
    "gpu_busy": "float64",
}


class Timings:
    """The timings of one task.

    Parameters
    ----------
    phase : name of the phase, such as ``infer``
    batch : name of the batch, empty where a task has none

    Attributes
    ----------
    machine : model of the processor or accelerator that the results of the task may depend on, empty where they do not

    Examples
    --------
    >>> timings = Timings("infer", "b0001")
    >>> with timings.step("load_model"):
    ...     pass
    >>> timings.add("tonsil", "infer", 0.25, pixels=65536)
    >>> [row["step"] for row in timings.rows()]
    ['load_model', 'infer']
    """

    def __init__(self, phase: str, batch: str = "") -> None:
        self.phase, self.batch, self.machine = phase, batch, ""
        self._rows: list[dict[str, Any]] = []

    @contextmanager
    def step(self, step: str, sample: str = "", pixels: int = 0) -> Iterator[None]:
        """Time the body of a ``with`` statement, also one that ends in an error."""
        clock = self.clock()
        try:
            yield
        finally:
            self.add(sample, step, clock(), pixels=pixels)

    def extend(self, other: Timings) -> None:
        """Take the rows of another phase of the same task over."""
        self._rows.extend(other.rows())

    def add(
        self,
        sample: str,
        step: str,
        seconds: float,
        *,
        pixels: int = 0,
        peak_mb: float | None = None,
        gpu_busy: float | None = None,
    ) -> None:
        """Record a step that ends now.

        Parameters
        ----------
        sample : empty for what the whole batch shares
        step : what was done; those in ``SETUP_STEPS`` count as set-up
        seconds : how long it took
        pixels : how many px it worked on, 0 where that says nothing
        peak_mb : most memory so far, in MB (10⁶ bytes), where it is not that of this process alone
        gpu_busy : share of the time in which the GPU worked, 0 … 1, where it was asked
        """
        self._rows.append(
            {
                "phase": self.phase,
                "batch": self.batch,
                "sample": sample,
                "step": step,
                "seconds": float(seconds),
                "started": time.time() - seconds,
                "pixels": int(pixels),
                "machine": self.machine,
                "peak_mb": peak_memory_mb() if peak_mb is None else peak_mb,
                "gpu_busy": math.nan if gpu_busy is None else gpu_busy,
            }
        )

    def rows(self) -> list[dict[str, Any]]:
        """Copy the records, one per step, with the names of ``COLUMNS``; ``started`` is the Unix time in s."""
        return [dict(row) for row in self._rows]

    @staticmethod
    def clock() -> Callable[[], float]:
        """Start a stop watch; calling what is returned gives the seconds since then."""
        start = time.perf_counter()
        return lambda: time.perf_counter() - start


def peak_memory_mb() -> float:
    """Most memory that this process has held so far, in MB (10⁶ bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
