"""Formats, axes, compression and atomic writes: the only room that touches files."""
