"""How far a long step has come: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

logger = logging.getLogger(__name__)

# A plain line at most this often, so that a step shorter than this leaves none.
LINE_EVERY_S = 20.0


class Progress:
    """Progress of one step, counted in pixels; use as a context manager. Threads may share it.

    Parameters
    ----------
    what : the step and its sample, such as ``preprocess tonsil``
    total_px : pixels of the whole step, about

    Examples
    --------
    >>> with Progress("preprocess tonsil", 100) as progress:
    ...     progress.add(60)
    ...     progress.add(40)
    >>> progress.done_px
    100
    """

    def __init__(self, what: str, total_px: int) -> None:
        self.done_px = 0
        self._what, self._total_px = what, max(total_px, 1)
        self._lock = threading.Lock()
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        """Start the clock, and show the bar where there is a terminal."""
        self._started = self._last = time.monotonic()
        # processes that work at once would write over each other's bars
        if sys.stderr.isatty() and multiprocessing.parent_process() is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"))
            self._bar = Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._what, total=self._total_px, rate="")
            self._bar.start()
        return self

    def add(self, pixels: int) -> None:
        """Count pixels as done, and say so if it is time."""
        with self._lock:
            self.done_px = min(self.done_px + pixels, self._total_px)
            now = time.monotonic()
            rate = self.done_px / max(now - self._started, 1e-6)
            if self._bar is not None:
                self._bar.update(self._task, completed=self.done_px, rate=f"{rate / 1e6:.1f} Mpx/s")
            elif now - self._last >= LINE_EVERY_S:
                self._last = now
                left_s = (self._total_px - self.done_px) / max(rate, 1e-6)
                percent = 100 * self.done_px / self._total_px
                logger.info("%s: %.0f %%, %.1f Mpx/s, %s left", self._what, percent, rate / 1e6, _duration(left_s))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _duration(seconds: float) -> str:
    """Seconds as people say them."""
    whole = max(round(seconds), 0)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{whole} s"
