"""An overview of an image of any size, filled block by block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cellbatch.quality.pooling import pool_mean, pool_pick
from cellbatch.reporting.overlays import MAX_SIDE_PX
from cellbatch.spec import Window


class OverviewCanvas:
    """The channels and labels of an image, reduced by a power of two so that its longer side is at most ``max_side``.

    Parameters
    ----------
    shape : (Y, X) of the whole image
    compartments : names of the labels
    max_side : px

    Attributes
    ----------
    reduction : how many px of the image one px of the overview stands for, per axis
    inputs : (y, x, 2) float32, means of the nuclear and membrane channel
    labels : compartment → (y, x) uint32, one label picked per pixel
    """

    def __init__(self, shape: tuple[int, int], compartments: tuple[str, ...], max_side: int = MAX_SIDE_PX) -> None:
        self.reduction = 1
        while max(shape) > max_side * self.reduction:
            self.reduction *= 2
        self.shape = (-(-shape[0] // self.reduction), -(-shape[1] // self.reduction))
        self.inputs = np.zeros((*self.shape, 2), np.float32)
        self.labels = {name: np.zeros(self.shape, np.uint32) for name in compartments}

    def add_block(self, window: Window, inputs: NDArray[np.float32], labels: Mapping[str, NDArray[np.integer]]) -> None:
        """Fill in one block.

        Parameters
        ----------
        window : where it lies; its upper left corner is a multiple of ``reduction``
        inputs : (Y, X, 2)
        labels : compartment → (Y, X)
        """
        y0, x0 = window.y0 // self.reduction, window.x0 // self.reduction
        pooled = pool_mean(inputs, self.reduction)
        place = slice(y0, y0 + pooled.shape[0]), slice(x0, x0 + pooled.shape[1])
        self.inputs[place] = pooled
        for name, canvas in self.labels.items():
            canvas[place] = pool_pick(labels[name], self.reduction)
