"""Labels of images of any size in bounded memory: block by block, each with a certificate."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellbatch._native.gaussian import gaussian_weights, smooth
from cellbatch._native.watershed import BlockLabels, KernelOptions, label_block
from cellbatch.geometry.blocks import BlockGrid
from cellbatch.postprocessing.stitching import Stitching
from cellbatch.postprocessing.watershed import checked_map, checked_options, deep_watershed
from cellbatch.spec import WatershedOptions, Window

logger = logging.getLogger(__name__)
FLATNESS_PX = 512  # most images have a maximum in the first piece of this size


class Readable(Protocol):
    """An array, a memory map or a Zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    def __getitem__(self, key: tuple[slice, slice]) -> ArrayLike:
        """Pixels of a rectangle."""


class Writable(Readable, Protocol):
    """What can also be written."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Kind of numbers."""

    def __setitem__(self, key: tuple[slice, slice], values: NDArray[np.uint32]) -> None:
        """Write a rectangle."""


@dataclass(frozen=True)
class BlockOptions:
    """How an image is cut; labels do not depend on it.

    Attributes
    ----------
    core_px : int
        Side of the squares that are worked on at once.
    halo_px, halo_cap_px : int
        What each block reads around its core, doubled as long as the certificate fails, up to the cap.
    whole_image_px : int
        Largest image that is redone at once where blocks do not suffice.
    threads : int
        Blocks worked on at once.
    """

    core_px: int = 1536
    halo_px: int = 48
    halo_cap_px: int = 512
    whole_image_px: int = 1 << 26
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse sizes that no block can have."""
        if min(self.core_px, self.halo_px, self.threads) < 1 or self.halo_cap_px < self.halo_px:
            raise ValueError(f"block sizes must be at least 1 px and the cap no less than the halo, found {self}")


@dataclass(frozen=True)
class BlockReport:
    """What happened on the way to the labels.

    Attributes
    ----------
    blocks, widened : int
        How many there were, and how many needed a wider halo than the first.
    uncertified : tuple of Window
        Cores whose labels might have been others with a still wider halo; there the doubtful pixels are background.
    is_redone : bool
        Whether the whole image was done at once after all.
    """

    blocks: int
    widened: int
    uncertified: tuple[Window, ...]
    is_redone: bool


class Undecided(Exception):
    """An exact tie that hangs on the whole image."""


class NeedsWholeImage(ValueError):
    """An exact tie on an image that is larger than what may be done at once."""


def label_by_blocks(
    inner_distance: Readable,
    interior: Readable,
    labels: Writable,
    options: WatershedOptions,
    blocks: BlockOptions | None = None,
    count_px: Callable[[int], None] | None = None,
) -> BlockReport:
    """Do what `deep_watershed` does, reading and writing block by block.

    Every block is flooded with a halo at whose cut sides the strongest influence that the outside could have comes in.
    A core that it does not reach is exact; else the halo is doubled. Pieces of an object are joined by the place of
    their marker's first pixel.

    Parameters
    ----------
    inner_distance, interior : array-like with shape and slices, shape (Y, X)
        Heads of the network; real numbers without NaN or infinities, taken as float32. Read several times.
    labels : array-like with slices, dtype uint32, shape (Y, X)
        Receives the labels, background 0, objects 1 … n.
    options : WatershedOptions
        Of `deep_watershed`.
    blocks : BlockOptions, optional
        How to cut.
    count_px : callable, optional
        Is told the pixels of each block that has been labelled.

    Returns
    -------
    BlockReport

    Raises
    ------
    TypeError
        If a map does not hold real numbers, or `labels` is not uint32.
    NeedsWholeImage
        If a label hangs on exact ties over the whole image, which is too large to be done at once.
    ValueError
        If shapes differ, or values or options are out of range.

    References
    ----------
    Arithmetic of `deep_watershed`; the certificate is this project's own, described in its method documentation.
    """
    blocks = blocks or BlockOptions()
    height, width = shape = _checked_shape(inner_distance, interior, labels)
    whole = (slice(0, height), slice(0, width))
    kernel_options = checked_options(shape, **asdict(options))
    work = _Work(inner_distance, interior, labels, kernel_options, BlockGrid(shape, blocks.core_px), blocks)
    if work.is_flat():
        for core in work.grid.cores():
            labels[core.slices] = np.zeros(core.shape, np.uint32)
        return BlockReport(0, 0, (), False)
    try:
        report = work.run(count_px or (lambda pixels: None))
    except Undecided:
        report = None
    can_redo = height * width <= blocks.whole_image_px
    if report and not (report.uncertified and can_redo):
        if report.uncertified:
            logger.warning("%d of %d blocks could not be certified", len(report.uncertified), report.blocks)
        return report
    if not can_redo:
        raise NeedsWholeImage(
            f"labels of the {height}x{width} px image hang on exact ties of values that only the whole image settles, "
            f"and it is larger than the {blocks.whole_image_px} px that may be done at once; smooth the interior map"
        )
    labels[whole] = deep_watershed(inner_distance[whole], interior[whole], threads=blocks.threads, **asdict(options))
    return BlockReport(len(list(work.grid.cores())), 0, (), True)


@dataclass(frozen=True)
class _Work:
    """One image."""

    inner_distance: Readable
    interior: Readable
    labels: Writable
    options: KernelOptions
    grid: BlockGrid
    blocks: BlockOptions

    def is_flat(self) -> bool:
        """Whether the whole range of the smoothed inner distance, rounded to float32, is below the threshold."""
        lowest, highest = np.float32(np.inf), np.float32(-np.inf)
        grid = BlockGrid(self.grid.shape, FLATNESS_PX)
        for core in grid.cores():
            source = grid.extend(core, _reach(self.options.maxima_smooth))
            values = smooth(_read("inner_distance", self.inner_distance, source), self.options.maxima_smooth)
            y, x = core.y0 - source.y0, core.x0 - source.x0
            part = values[y : y + core.shape[0], x : x + core.shape[1]]
            lowest, highest = min(lowest, part.min()), max(highest, part.max())
            if float(highest - lowest) >= self.options.maxima_threshold:
                return False
        return True

    def run(self, count_px: Callable[[int], None]) -> BlockReport:
        """Label all blocks, then join them."""
        stitching, lock = Stitching(self.labels), Lock()
        widened, uncertified = 0, []

        def label_one(core: Window) -> tuple[Window, bool, bool]:
            found, is_widened = self._label(core)
            with lock:
                stitching.add(core, found)
            return core, is_widened, found.unsure_px > 0

        for core, is_widened, is_unsure in self._map(label_one):
            count_px(core.shape[0] * core.shape[1])
            widened += is_widened
            if is_unsure:
                uncertified.append(core)
        stitching.finish(self.grid, self.options.small_objects_threshold, self.options.fill_holes_threshold)
        return BlockReport(len(list(self.grid.cores())), widened, tuple(uncertified), False)

    def _map(self, label_one: "_LabelOne") -> Iterator[tuple[Window, bool, bool]]:
        """Work on the cores, several at once where asked."""
        if self.blocks.threads == 1:
            yield from map(label_one, self.grid.cores())
            return
        with ThreadPoolExecutor(self.blocks.threads) as pool:
            try:
                yield from pool.map(label_one, self.grid.cores())
            except Undecided:
                pool.shutdown(cancel_futures=True)
                raise

    def _label(self, core: Window) -> tuple[BlockLabels, bool]:
        """Labels of a core, and whether its halo had to be widened."""
        return label_core((self.inner_distance, self.interior), core, self.grid, self.options, self.blocks)


def label_core(
    maps: tuple[Readable, Readable], core: Window, grid: BlockGrid, options: KernelOptions, blocks: BlockOptions
) -> tuple[BlockLabels, bool]:
    """Labels of a core with the narrowest halo that certifies it.

    Parameters
    ----------
    maps : inner distance and interior, read around the core
    core : rectangle of the image
    grid : of the image
    options, blocks : of the kernels; how wide the halo may become

    Returns
    -------
    labels : of the core, with the pixels that the widest halo leaves in doubt
    is_widened : whether the halo is wider than the first

    Raises
    ------
    Undecided
        If a label hangs on exact ties.
    """
    halo = blocks.halo_px
    reach = max(_reach(sigma) for sigma in (options.maxima_smooth, options.interior_smooth))
    while True:
        window = grid.extend(core, halo)
        source = grid.extend(window, reach)
        read = (_read(name, one, source) for name, one in zip(("inner_distance", "interior"), maps, strict=True))
        found = label_block(*read, (source, window, core), grid.shape, options)
        is_certain = found.unsure_px == 0 and found.undecided_px == 0
        if is_certain or halo >= blocks.halo_cap_px or window.shape == grid.shape:
            break
        halo = min(2 * halo, blocks.halo_cap_px)
    if found.undecided_px:
        raise Undecided
    return found, halo > blocks.halo_px


def _read(name: str, source: Readable, window: Window) -> NDArray[np.float32]:
    """Read a rectangle of a head."""
    return checked_map(name, source[window.slices])


def _reach(sigma: float) -> int:
    """How far a Gaussian looks, in px."""
    weights = gaussian_weights(sigma)
    return 0 if weights is None else len(weights) - 1


class _LabelOne(Protocol):
    """Work on one core."""

    def __call__(self, core: Window) -> tuple[Window, bool, bool]:
        """Core, whether its halo was widened, whether it stays uncertified."""


def _checked_shape(inner_distance: Readable, interior: Readable, labels: Writable) -> tuple[int, int]:
    """Height and width that all three share."""
    shapes = [tuple(one.shape) for one in (inner_distance, interior, labels)]
    if len(set(shapes)) > 1:
        raise ValueError(f"inner_distance {shapes[0]}, interior {shapes[1]} and labels {shapes[2]} differ in shape")
    if len(shapes[0]) != 2 or 0 in shapes[0]:
        raise ValueError(f"maps must have the shape (Y, X) with at least 1 px, found {shapes[0]}")
    if np.dtype(labels.dtype) != np.uint32:
        raise TypeError(f"labels must be uint32, found {labels.dtype}")
    height, width = shapes[0]
    return int(height), int(width)
