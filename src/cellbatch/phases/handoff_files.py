"""Hand-offs as a task's worker processes read them."""

from functools import lru_cache
from pathlib import Path

from cellbatch.io.handoffs import HandoffReader


@lru_cache(maxsize=1)
def open_handoff(path: Path) -> HandoffReader:
    """Open a hand-off once per process: the list of entries of a long batch takes its time."""
    return HandoffReader(path)
