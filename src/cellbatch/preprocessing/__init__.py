"""From raw pixels to what the network sees: resize, clip bright spots, equalise contrast locally."""

from cellbatch.preprocessing.statistics import preprocess

__all__ = ["preprocess"]
