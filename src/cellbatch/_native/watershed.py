"""Arrays into the post-processing kernels and out again. What goes in has been checked by the caller."""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.library import SmoothingKernel, WatershedOptions, WatershedReport, check, load_library

Map = NDArray[np.float32]
Labels = NDArray[np.int32]


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


def gaussian_weights(sigma: float) -> NDArray[np.float64] | None:
    """Weights of the centre and of the neighbours 1, 2, … px away; None where nothing is smoothed.

    The truncation (4 sigma), the order of operations and the normalisation are those of ``scipy.ndimage``.
    """
    if sigma <= 1e-15:
        return None
    radius = int(4 * float(sigma) + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    return np.ascontiguousarray((weights / weights.sum())[radius:])


def label_map(inner_distance: Map, interior: Map, options: KernelOptions) -> tuple[NDArray[np.uint32], Flooding]:
    """Labels of two contiguous float32 maps of the same shape (Y, X)."""
    maxima_weights, interior_weights = (
        gaussian_weights(sigma) for sigma in (options.maxima_smooth, options.interior_smooth)
    )
    labels = np.empty(interior.shape, np.uint32)
    report = WatershedReport()
    passed = WatershedOptions(
        options.maxima_threshold,
        options.small_objects_threshold,
        options.fill_holes_threshold,
        _kernel(maxima_weights),
        _kernel(interior_weights),
        options.interior_threshold,
        options.radius,
        options.threads,
        options.is_heap_forced,
    )
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
    return labels, Flooding(report.undecided_px, report.basins, report.markers)


def smooth(values: Map, sigma: float, threads: int = 1) -> Map:
    """Gaussian filter of a contiguous float32 map, equal to ``scipy.ndimage.gaussian_filter``."""
    weights = gaussian_weights(sigma)
    if weights is None:
        return values.copy()
    smoothed = np.empty_like(values)
    kernel = _kernel(weights)
    status = load_library().smooth_map(
        values.ctypes.data, *values.shape, ctypes.byref(kernel), threads, smoothed.ctypes.data
    )
    check(status, "smooth_map", values.shape)
    return smoothed


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


def _kernel(weights: NDArray[np.float64] | None) -> SmoothingKernel:
    """Weights as the kernels take them; the array must outlive the call."""
    if weights is None:
        return SmoothingKernel(None, -1)
    return SmoothingKernel(weights.ctypes.data, len(weights) - 1)
