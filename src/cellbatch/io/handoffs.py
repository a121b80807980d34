"""What one phase hands to the next: many arrays of many samples in one file per batch."""

from cellbatch.io.handoff_reader import HandoffReader
from cellbatch.io.handoff_writer import HandoffArray, HandoffParts, HandoffWriter

__all__ = ["HandoffArray", "HandoffParts", "HandoffReader", "HandoffWriter"]
