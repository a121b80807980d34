"""Measurement: labels and channels in, one table row per cell out."""

from cellbatch.measurement.cells import measure_cells

__all__ = ["measure_cells"]
