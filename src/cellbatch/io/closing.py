"""Context managers that close what they hold."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """Use a class with a method ``close`` in a ``with`` statement."""

    def close(self) -> None:
        """Release what is held; nothing to do where nothing is."""

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
