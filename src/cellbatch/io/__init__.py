"""Formats, axes, compression and atomic writes: the room that knows what stands in a file."""
