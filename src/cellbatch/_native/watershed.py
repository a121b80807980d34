"""Arrays into the post-processing kernels and out again. What goes in has been checked by the caller."""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellbatch._native.gaussian import gaussian_weights, smoothing_kernel
from cellbatch._native.library import (
    BlockPlace,
    WatershedOptions,
    WatershedReport,
    check,
    load_library,
)

Map = NDArray[np.float32]
Labels = NDArray[np.int32]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Flooding:
    """What happened on the way to the labels.

    Attributes
    ----------
    undecided_px : int
        Pixels that hung on exact ties, for which one heap flooded the whole map again; 0 as a rule.
    basins, markers : int
        How many there were.
    """

    undecided_px: int
    basins: int
    markers: int


@dataclass(frozen=True)
class KernelOptions:
    """Options of ``deep_watershed``, and how to compute: threads, forced heap, build of the kernels."""

    maxima_threshold: float
    interior_threshold: float
    maxima_smooth: float
    interior_smooth: float
    radius: int
    small_objects_threshold: float
    fill_holes_threshold: float
    threads: int = 1
    is_heap_forced: bool = False
    build: str | None = None


def find_largest(values: Map, threads: int = 1) -> np.float32:
    """Largest absolute value of a contiguous float32 map; infinity or NaN if it holds any."""
    bits = ctypes.c_int32()
    status = load_library().find_largest(values.ctypes.data, values.size, threads, ctypes.byref(bits))
    check(status, "find_largest", values.shape)
    return np.uint32(bits.value).view(np.float32)


def label_map(inner_distance: Map, interior: Map, options: KernelOptions) -> tuple[NDArray[np.uint32], Flooding]:
    """Labels of two contiguous float32 maps of the same shape (Y, X)."""
    labels = np.empty(interior.shape, np.uint32)
    report = WatershedReport()
    passed, kept = _passed(options)
    library = load_library(options.build)
    status = library.deep_watershed(
        inner_distance.ctypes.data,
        interior.ctypes.data,
        *interior.shape,
        ctypes.byref(passed),
        labels.ctypes.data,
        ctypes.byref(report),
    )
    check(status, "deep_watershed", interior.shape)
    del kept
    return labels, Flooding(report.undecided_px, report.basins, report.markers)


# Pieces of objects as the kernels give them; see ``BlockLabels``.
OBJECT = np.dtype(
    [
        ("key", np.int64),
        ("area", np.int64),
        ("quarters", np.int64),
        ("y0", np.int32),
        ("x0", np.int32),
        ("y1", np.int32),
        ("x1", np.int32),
    ]
)


@dataclass(frozen=True)
class BlockLabels:
    """Labels of the core of a block.

    Attributes
    ----------
    labels : ndarray of uint32, shape of the core
        1, 2, … in the order of `objects`.
    objects : structured ndarray of `OBJECT`
        Piece of an object: place of its marker's first pixel in the image (by which pieces are joined), area in px,
        four times the Euler number and box in the image, all of the core alone; area 0 where it has nothing of it.
    undecided_px : int
        Pixels that hang on exact ties.
    unsure_px : int
        Pixels of the core, or next to it, that something outside the window might change.
    """

    labels: NDArray[np.uint32]
    objects: NDArray[np.void]
    undecided_px: int
    unsure_px: int


def label_block(
    inner_distance: Map, interior: Map, boxes: tuple[Box, Box, Box], shape: tuple[int, int], options: KernelOptions
) -> BlockLabels:
    """Labels of a core; the boxes (y0, y1, x0, x1) are the maps' own, the one that is flooded, and the core."""
    source, window, core = boxes
    labels = np.empty((core[1] - core[0], core[3] - core[2]), np.uint32)
    place = BlockPlace(*shape, *((ctypes.c_int64 * 4)(*box) for box in (source, window, core)))
    passed, kept = _passed(options)
    library = load_library(options.build)
    result = ctypes.c_void_p()
    status = library.label_block(
        inner_distance.ctypes.data,
        interior.ctypes.data,
        ctypes.byref(place),
        ctypes.byref(passed),
        labels.ctypes.data,
        ctypes.byref(result),
    )
    check(status, "label_block", interior.shape)
    del kept
    try:
        objects = np.empty(library.count_block_objects(result), OBJECT)
        undecided, unsure = ctypes.c_int64(), ctypes.c_int64()
        library.read_block(result, objects.ctypes.data, ctypes.byref(undecided), ctypes.byref(unsure))
    finally:
        library.free_block(result)
    return BlockLabels(labels, objects, undecided.value, unsure.value)


def label_maxima(maxima: Map, threshold: float, radius: int, threads: int = 1) -> Labels:
    """Find and count the 8-connected maxima of a contiguous float32 map that rise by `threshold`."""
    labels = np.empty(maxima.shape, np.int32)
    status = load_library().label_maxima(
        maxima.ctypes.data, *maxima.shape, threshold, radius, threads, labels.ctypes.data
    )
    check(status, "label_maxima", maxima.shape)
    return labels


def flood(
    surface: Map, markers: Labels, mask: NDArray[np.bool_], threads: int = 1, *, is_heap_forced: bool = False
) -> tuple[Labels, int]:
    """Labels that grow from markers over a mask, lowest pixels of the surface first, and how many px hung on ties."""
    heights = np.where(mask, -surface, -np.inf).astype(np.float32)
    seeds = np.ascontiguousarray(markers, np.int32)
    labels = np.empty(surface.shape, np.int32)
    undecided = ctypes.c_int64()
    status = load_library().flood_map(
        heights.ctypes.data,
        seeds.ctypes.data,
        *surface.shape,
        threads,
        is_heap_forced,
        labels.ctypes.data,
        ctypes.byref(undecided),
    )
    check(status, "flood_map", surface.shape)
    return labels, undecided.value


def clean(labels: Labels, small_objects: float, holes: float, threads: int = 1) -> NDArray[np.uint32]:
    """Drop small objects, fill small holes, number without gaps."""
    cleaned = np.array(labels, np.int32, order="C")
    status = load_library().clean_labels(
        cleaned.ctypes.data, *cleaned.shape, int(cleaned.max()), small_objects, holes, threads
    )
    check(status, "clean_labels", cleaned.shape)
    return cleaned.view(np.uint32)


def renumber(labels: ArrayLike, numbers: NDArray[np.uint32], *, is_in_place: bool = False) -> NDArray[np.uint32]:
    """Give each label its number from a table of at least one; labels beyond its end get the last.

    What is given may be overwritten where `is_in_place`; the numbers are what is returned in any case.
    """
    places = np.ascontiguousarray(labels, np.uint32)
    table = np.ascontiguousarray(numbers, np.uint32)
    renumbered = places if is_in_place else np.empty(places.shape, np.uint32)
    status = load_library().renumber_labels(
        places.ctypes.data, places.size, table.ctypes.data, table.size, renumbered.ctypes.data
    )
    check(status, "renumber_labels", (places.size, 1))
    return renumbered


def find_small_components(is_open: NDArray[np.bool_], limit: float) -> NDArray[np.bool_]:
    """Find the pixels of those 4-connected components of a mask that have fewer px than a limit."""
    left = np.array(is_open, np.bool_, order="C")
    is_small = np.empty(left.shape, np.bool_)
    status = load_library().find_small_components(left.ctypes.data, *left.shape, limit, is_small.ctypes.data)
    check(status, "find_small_components", left.shape)
    return is_small


def _passed(options: KernelOptions) -> tuple[WatershedOptions, list[NDArray[np.float64] | None]]:
    """Options as the kernels take them, and the arrays to keep meanwhile."""
    weights = [gaussian_weights(sigma) for sigma in (options.maxima_smooth, options.interior_smooth)]
    passed = WatershedOptions(
        options.maxima_threshold,
        options.small_objects_threshold,
        options.fill_holes_threshold,
        smoothing_kernel(weights[0]),
        smoothing_kernel(weights[1]),
        options.interior_threshold,
        options.radius,
        options.threads,
        options.is_heap_forced,
    )
    return passed, weights
