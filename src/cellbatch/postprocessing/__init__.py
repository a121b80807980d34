"""From inner distance and interior maps to labels."""

from cellbatch.postprocessing.watershed import deep_watershed

__all__ = ["deep_watershed"]
