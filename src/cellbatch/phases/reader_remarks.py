"""What readers warn of while the plan opens their files, on its way to the user."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class _Remarks(logging.Handler):
    """Keeps the warnings that readers give."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.texts.append(record.getMessage())


@contextmanager
def collect_warnings(sample: str, words: Mapping[str, str], remarks: list[tuple[str, str]]) -> Iterator[None]:
    """Add what the readers warn of meanwhile to ``remarks``: the log of a task that ends well is seen by nobody."""
    handler = _Remarks()
    logger = logging.getLogger("cellbatch.io")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        remarks.extend((sample, in_users_words(text, words)) for text in handler.texts)


def in_users_words(text: str, words: Mapping[str, str]) -> str:
    """Replace the paths of staged files by those that the user wrote."""
    for staged, written in words.items():
        text = text.replace(staged, written)
    return text
