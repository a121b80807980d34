"""Labels of a rectangle of an image as the whole image has them, from the maps around it."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from cellbatch.geometry.blocks import BlockGrid
from cellbatch.postprocessing.blocks import BlockOptions, Readable, Undecided, label_core
from cellbatch.postprocessing.stitching import Stitching
from cellbatch.postprocessing.watershed import checked_options
from cellbatch.spec import WatershedOptions, Window

CONTEXT_PX = 128
MOST_CONTEXT_PX = 1024


def label_crop(
    inner_distance: Readable,
    interior: Readable,
    window: Window,
    options: WatershedOptions,
    *,
    context_px: int = CONTEXT_PX,
    most_context_px: int = MOST_CONTEXT_PX,
) -> NDArray[np.uint32]:
    """Label a rectangle with the context that it needs, exactly as `deep_watershed` labels it in the whole image.

    The context is doubled until every object that reaches into the rectangle lies inside it whole, and the block-wise
    certificate holds for all of it.

    Parameters
    ----------
    inner_distance, interior : array-like with shape and slices, shape (Y, X)
        Heads of the whole image, of which only the surroundings of the rectangle are read.
    window : Window
        The rectangle.
    options : WatershedOptions
        Of `deep_watershed`.
    context_px, most_context_px : int
        Width of the context at first, and at most.

    Returns
    -------
    ndarray of uint32, shape of the window
        The whole image's labels, renumbered 1 … n in their order; background 0.

    Raises
    ------
    ValueError
        If the window is empty or lies outside, the maps differ in shape, or the widest context does not suffice: an
        object is longer, or a label hangs on exact ties or on what is further away.

    Notes
    -----
    An image whose whole inner distance varies by less than the threshold of the maxima has no labels. A rectangle of it
    cannot tell, and raises the error of a context that does not suffice.
    """
    height, width = shape = (int(inner_distance.shape[0]), int(inner_distance.shape[1]))
    if tuple(interior.shape) != shape:
        raise ValueError(f"inner_distance {shape} and interior {tuple(interior.shape)} differ in shape")
    if not (0 <= window.y0 < window.y1 <= height and 0 <= window.x0 < window.x1 <= width):
        raise ValueError(f"{window} is empty or lies outside the image of {shape} px")
    kernel_options = checked_options(shape, **asdict(options))
    grid = BlockGrid(shape, max(shape))
    while True:
        core = grid.extend(window, context_px)
        try:
            found, _ = label_core((inner_distance, interior), core, grid, kernel_options, BlockOptions())
        except Undecided:
            found = None
        if found is not None and not found.unsure_px:
            labels = _OneBlock(core)
            stitching = Stitching(labels)
            stitching.add(core, found)
            stitching.finish(labels, options.small_objects_threshold, options.fill_holes_threshold)
            crop = labels[window.slices]
            if core.shape == shape or not np.isin(_at_cut_sides(labels, shape), crop[crop > 0]).any():
                return _renumbered(crop)
        if context_px >= most_context_px or core.shape == shape:
            raise ValueError(
                f"a context of {context_px} px around {window} does not settle its labels: an object is longer, or a "
                "label hangs on exact ties or on what is further away"
            )
        context_px = min(2 * max(context_px, 1), most_context_px)


class _OneBlock:
    """Labels of one core, addressed by places in the image; also the grid of that core alone."""

    def __init__(self, core: Window) -> None:
        self.core = core
        self._labels = np.zeros(core.shape, np.uint32)

    def cores(self) -> list[Window]:
        """List the core."""
        return [self.core]

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint32]:
        """Labels of a rectangle of the image."""
        return self._labels[self._moved(key)]

    def __setitem__(self, key: tuple[slice, slice], values: NDArray[np.uint32]) -> None:
        """Write a rectangle of the image."""
        self._labels[self._moved(key)] = values

    def _moved(self, key: tuple[slice, slice]) -> tuple[slice, slice]:
        y, x = (slice(part.start - at, part.stop - at) for part, at in zip(key, self.core[::2], strict=True))
        return y, x


def _at_cut_sides(labels: _OneBlock, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Labels at the sides of the core that are not the image's own."""
    core = labels.core
    y0, y1, x0, x1 = core
    sides = (
        (y0 > 0, Window(y0, y0 + 1, x0, x1)),
        (y1 < shape[0], Window(y1 - 1, y1, x0, x1)),
        (x0 > 0, Window(y0, y1, x0, x0 + 1)),
        (x1 < shape[1], Window(y0, y1, x1 - 1, x1)),
    )
    found = [labels[side.slices].ravel() for is_cut, side in sides if is_cut]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint32)


def _renumbered(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Numbers without gaps, in the same order."""
    present = np.flatnonzero(np.bincount(labels.ravel()))
    numbers = np.zeros(int(labels.max()) + 1, np.uint32)
    present = present[present > 0]
    numbers[present] = np.arange(1, len(present) + 1, dtype=np.uint32)
    return numbers[labels]
