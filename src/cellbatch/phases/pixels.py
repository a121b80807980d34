"""The hand-off from preprocessing to inference: one byte per pixel and channel, plus what is global in an image."""

import numpy as np

from cellbatch.io.handoffs import HandoffReader, HandoffWriter
from cellbatch.preprocessing.statistics import PreprocessingStatistics, equalize
from cellbatch.spec import Window

BINS = "bins"
MAPS = "maps"


def write_pixels(handoff: HandoffWriter, sample: str, bins: np.ndarray, statistics: PreprocessingStatistics) -> None:
    """Store one image.

    Parameters
    ----------
    bins : uint8 (Y, X, C) at ``model_mpp``; stored as CYX, so that rectangles can be read
    statistics : what is global in the image; its small arrays are stored as attributes
    """
    arrays = statistics.to_arrays()
    handoff.write(sample, BINS, np.ascontiguousarray(np.moveaxis(bins, -1, 0)))
    handoff.write(sample, MAPS, np.asarray(arrays.pop(MAPS)))
    handoff.write_attributes(sample, {name: _to_plain(values) for name, values in arrays.items()})


def read_pixels(handoff: HandoffReader, sample: str) -> np.ndarray:
    """Rebuild the float32 image (Y, X, C) that the network sees, bit for bit."""
    bins = np.moveaxis(handoff.read(sample, BINS), 0, -1)
    arrays = {name: _from_plain(values) for name, values in handoff.attributes(sample).items()}
    statistics = PreprocessingStatistics.from_arrays({**arrays, MAPS: handoff.read(sample, MAPS)})
    return equalize(bins, statistics, Window(0, bins.shape[0], 0, bins.shape[1]))


def _to_plain(values: np.ndarray) -> object:
    """Make lists and numbers; JSON has no NaN, so ``None`` stands for it."""
    if values.dtype.kind == "f":
        return [None if np.isnan(value) else float(value) for value in values.ravel()]
    return values.tolist()


def _from_plain(values: object) -> np.ndarray:
    if isinstance(values, list):
        return np.array([np.nan if value is None else value for value in values])
    return np.asarray(values)
