"""Reading ahead of the consumer, and several parts of a file at once, so that a slow mount does not starve the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

# reads in flight at once within one window: most wait for the disk or the network, not for a processor
PARALLEL_READS = 16


def read_ahead(keys: Iterable[Key], read: Callable[[Key], Value], ahead: int = 2) -> Iterator[Value]:
    """Give ``read(key)`` for each key in order, while the next ones are already being read by threads.

    Parameters
    ----------
    keys : what to read, such as windows
    read : may be called by several threads at once
    ahead : how many results may wait or be in the making besides the one in use; bounds the memory

    Yields
    ------
    value of ``read``, in the order of the keys; an error in it is raised in the key's turn

    Examples
    --------
    >>> list(read_ahead(range(4), lambda key: key * key))
    [0, 1, 4, 9]
    """
    pool = ThreadPoolExecutor(ahead, thread_name_prefix="read-ahead")
    waiting: deque[Future[Value]] = deque()
    try:
        for key in keys:
            waiting.append(pool.submit(read, key))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_together(jobs: list[Callable[[], object]]) -> None:
    """Run jobs at once, each reading a part of a file; the first error of any is raised after all have ended."""
    if len(jobs) < 2:
        for job in jobs:
            job()
        return
    futures = [_pool().submit(job) for job in jobs]
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    if errors:
        raise errors[0]


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads shared by all open files of the process; they never wait for each other."""
    return ThreadPoolExecutor(PARALLEL_READS, thread_name_prefix="read-parts")
