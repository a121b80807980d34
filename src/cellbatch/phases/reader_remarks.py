"""What readers warn of while the plan opens their files, on its way to the user."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class _Remarks(logging.Handler):
    """Keeps the warnings that readers give, for each thread those of its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._own = threading.local()

    @contextmanager
    def kept(self) -> Iterator[list[str]]:
        """Give the list to which this thread's warnings are added meanwhile."""
        outer = getattr(self._own, "texts", None)
        self._own.texts = []
        try:
            yield self._own.texts
        finally:
            self._own.texts = outer

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message, if its thread keeps any."""
        texts: list[str] | None = getattr(self._own, "texts", None)
        if texts is not None:
            texts.append(record.getMessage())


# one for all threads, and never removed: whoever logs while another's is taken away could lose what he says
_REMARKS = _Remarks()


@contextmanager
def collect_warnings(sample: str, words: Mapping[str, str], remarks: list[tuple[str, str]]) -> Iterator[None]:
    """Add what readers warn of in this thread to ``remarks``: the log of a task that ends well is seen by nobody."""
    logging.getLogger("cellbatch.io").addHandler(_REMARKS)
    with _REMARKS.kept() as texts:
        try:
            yield
        finally:
            remarks.extend((sample, in_users_words(text, words)) for text in texts)


def in_users_words(text: str, words: Mapping[str, str]) -> str:
    """Replace the paths of staged files by those that the user wrote."""
    for staged, written in words.items():
        text = text.replace(staged, written)
    return text
