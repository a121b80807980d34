"""Labels from the inner distance and interior maps of one compartment."""

import logging
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellbatch._native.watershed import KernelOptions, find_largest, label_map

# Differences of such values are still finite in float32.
_LARGEST = 1e38
_TOO_MANY_PX = 1 << 31
_MOST_THREADS = 256
_WIDEST_SIGMA_PX = 1e4

logger = logging.getLogger(__name__)


def deep_watershed(
    inner_distance: ArrayLike,
    interior: ArrayLike,
    *,
    maxima_threshold: float,
    interior_threshold: float = 0.2,
    maxima_smooth: float = 0,
    interior_smooth: float = 2,
    radius: int = 2,
    small_objects_threshold: float = 15,
    fill_holes_threshold: float = 15,
    threads: int | None = None,
) -> NDArray[np.uint32]:
    """Segment one compartment: markers from the inner distance, flooded down the interior probability.

    Both maps are smoothed with Gaussians (float32, reflected borders), markers are the maxima of the inner distance
    that rise by `maxima_threshold`, and they grow over four neighbours where the interior exceeds
    `interior_threshold`. Small objects are dropped, small holes filled, labels renumbered. All in float32, with
    thresholds rounded to float32.

    Parameters
    ----------
    inner_distance, interior : array_like, shape (Y, X)
        Heads of the network; real numbers without NaN or infinities, taken as float32.
    maxima_threshold : float
        Height of a marker above its surroundings, in units of the inner distance; greater than 0.
    interior_threshold : float
        Pixels above it belong to objects.
    maxima_smooth, interior_smooth : float
        Sigma in px; 0 leaves the map as it is.
    radius : int
        Radius in px of the disk of neighbours over which maxima are compared.
    small_objects_threshold, fill_holes_threshold : float
        Objects and holes with fewer px go; 0 skips the step.
    threads : int or None
        Most threads to use, at most one per 16 rows; None stands for one. Labels are the same for any number. The
        interpreter's lock is released meanwhile.

    Returns
    -------
    ndarray of uint32, shape (Y, X)
        Background 0, objects 1 … n.

    Raises
    ------
    TypeError
        If a map does not hold real numbers, or an option is not a number of its kind.
    ValueError
        If the maps are not 2-D, empty, of unequal shape, not finite or of 2³¹ px and more, or an option is out of
        range.
    MemoryError
        If the intermediate maps, some 13 bytes per px, do not fit.

    References
    ----------
    N. F. Greenwald et al., Whole-cell segmentation of tissue images with human-level performance using large-scale
    data annotation and deep learning, Nature Biotechnology 40, 2022; arithmetic of deepcell-toolbox 0.12.1 with
    scikit-image 0.25.2, described in the method documentation of this project.
    """
    maxima_shape, surface_shape = np.shape(inner_distance), np.shape(interior)
    if maxima_shape != surface_shape:
        raise ValueError(f"inner_distance {maxima_shape} and interior {surface_shape} differ in shape")
    if math.prod(maxima_shape) >= _TOO_MANY_PX:
        raise ValueError(f"maps of {maxima_shape} px are too large for 32-bit labels; take blocks of the image")
    options = checked_options(
        maxima_shape,
        maxima_threshold=maxima_threshold,
        interior_threshold=interior_threshold,
        maxima_smooth=maxima_smooth,
        interior_smooth=interior_smooth,
        radius=radius,
        small_objects_threshold=small_objects_threshold,
        fill_holes_threshold=fill_holes_threshold,
        threads=threads,
    )
    maxima = checked_map("inner_distance", inner_distance, options.threads)
    surface = checked_map("interior", interior, options.threads)
    labels, flooding = label_map(maxima, surface, options)
    if flooding.undecided_px:
        logger.debug("%d px hung on exact ties; one heap flooded the whole map", flooding.undecided_px)
    return labels


def checked_options(shape: tuple[int, ...], **options: Any) -> KernelOptions:
    """Take the options of `deep_watershed` for a map of some shape, or say why they cannot be used."""
    _check_number("interior_threshold", options["interior_threshold"], lowest=-_LARGEST)
    _check_number("maxima_threshold", options["maxima_threshold"])
    if options["maxima_threshold"] == 0:
        raise ValueError("maxima_threshold must be greater than 0: every pixel would be a marker")
    _check_number("maxima_smooth", options["maxima_smooth"], highest=_WIDEST_SIGMA_PX)
    _check_number("interior_smooth", options["interior_smooth"], highest=_WIDEST_SIGMA_PX)
    _check_number("small_objects_threshold", options["small_objects_threshold"])
    _check_number("fill_holes_threshold", options["fill_holes_threshold"])
    _check_count("radius", options["radius"], lowest=0)
    threads = options.get("threads")
    if threads is not None:
        _check_count("threads", threads, lowest=1)
    return KernelOptions(
        maxima_threshold=float(options["maxima_threshold"]),
        interior_threshold=float(options["interior_threshold"]),
        maxima_smooth=float(options["maxima_smooth"]),
        interior_smooth=float(options["interior_smooth"]),
        radius=min(int(options["radius"]), sum(shape)),
        small_objects_threshold=float(options["small_objects_threshold"]),
        fill_holes_threshold=float(options["fill_holes_threshold"]),
        threads=min(int(threads or 1), _MOST_THREADS),
    )


def checked_map(name: str, values: ArrayLike, threads: int = 1) -> NDArray[np.float32]:
    """Take a head as contiguous float32 (Y, X), or say why it cannot be used."""
    head = np.asarray(values)
    if head.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, found dtype {head.dtype}")
    if head.ndim != 2 or head.size == 0:
        raise ValueError(f"{name} must have the shape (Y, X) with at least 1 px, found {head.shape}")
    with np.errstate(over="ignore"):
        contiguous = np.ascontiguousarray(head, np.float32)
    if not find_largest(contiguous, threads) <= _LARGEST:
        raise ValueError(f"{name} must hold finite values within ±{_LARGEST:.0e}, found {head.min()} … {head.max()}")
    return contiguous


def _check_number(name: str, value: float, lowest: float = 0, highest: float = _LARGEST) -> None:
    """Refuse an option that is not a number of `lowest` … `highest`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, found {value!r}")
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be a number of {lowest:g} … {highest:g}, found {value}")


def _check_count(name: str, value: int, lowest: int) -> None:
    """Refuse an option that is not a whole number of at least `lowest`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, found {value!r}")
    if value < lowest:
        raise ValueError(f"{name} must be at least {lowest}, found {value}")
