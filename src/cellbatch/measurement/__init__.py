"""Measurement: labels and channels in, one table row per cell out."""
