"""Arrays into the measuring kernels and out again. What goes in has been checked by the caller."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.library import check, load_library

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHAPE_NAMES = (
    "area",
    "centroid_y",
    "centroid_x",
    "major_axis_length",
    "minor_axis_length",
    "eccentricity",
    "orientation",
    "area_convex",
    "perimeter",
    "feret_diameter",
)
INTENSITY_NAMES = ("mean", "median", "min", "max", "std", "total")
CHANNEL_TYPES = tuple(map(np.dtype, ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")))
RUN = np.dtype([("y", np.int32), ("x0", np.int32), ("x1", np.int32)])


class _LabelImage(ctypes.Structure):
    _fields_ = [
        ("labels", ctypes.c_void_p),
        ("excluded", ctypes.c_void_p),
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
    ]


class _Regions(ctypes.Structure):
    _fields_ = [("runs", ctypes.c_void_p), ("offsets", ctypes.c_void_p), ("count", ctypes.c_int64)]


@dataclass(frozen=True)
class Runs:
    """Pixels of ``n`` regions, row by row.

    Attributes
    ----------
    runs : structured ndarray of ``RUN``
        Pixels x0 … x1 - 1 of row y, region by region in raster order.
    offsets : (n + 1,) int64
        Region k has the runs ``offsets[k]:offsets[k + 1]``.
    """

    runs: NDArray[np.void]
    offsets: Ints

    def __len__(self) -> int:
        """Count the regions."""
        return len(self.offsets) - 1

    def passed(self) -> _Regions:
        """Give the record that the kernels take; it points into these arrays."""
        return _Regions(self.runs.ctypes.data, self.offsets.ctypes.data, len(self))


@dataclass(frozen=True)
class Rings:
    """Outlines of ``n`` regions along the edges of their pixels.

    Attributes
    ----------
    corners : (c, 2) int32
        ``x, y`` of the corners at which the rings turn; pixel (y, x) reaches from corner (x, y) to (x + 1, y + 1).
    ring_ends, part_ends, region_ends : int64
        Ends of the corners of each ring, of the rings of each part, of the parts of each region. The first ring of a
        part is its outer one, the others are holes.
    """

    corners: NDArray[np.int32]
    ring_ends: Ints
    part_ends: Ints
    region_ends: Ints


@cache
def _library() -> ctypes.CDLL:
    """Load the kernels with the signatures of those that measure."""
    library = load_library()
    pointer, size, count = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    for name, arguments in {
        "grow_region_boxes": [pointer, pointer, pointer, size, pointer, pointer],
        "find_region_runs": [pointer, pointer, pointer, size, pointer, pointer],
        "measure_region_shapes": [pointer, count, pointer],
        "measure_region_channel": [pointer, pointer, count, size, count, pointer],
        "trace_region_outlines": [pointer, pointer],
    }.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, count
    library.count_outlines.argtypes, library.count_outlines.restype = [pointer] * 2, None
    library.read_outlines.argtypes, library.read_outlines.restype = [pointer] * 5, None
    library.free_outlines.argtypes, library.free_outlines.restype = [pointer], None
    return library


def grow_boxes(labels: NDArray[np.uint32], place: tuple[int, int], boxes: Ints, areas: Ints) -> None:
    """Widen boxes (n, 4) of labels 1 … n, ``y0, x0, y1, x1`` (absent: zeros), and areas (n,) by a window at `place`."""
    shape, origin = np.array(labels.shape, np.int64), np.array(place, np.int64)
    status = _library().grow_region_boxes(
        labels.ctypes.data, shape.ctypes.data, origin.ctypes.data, len(areas), boxes.ctypes.data, areas.ctypes.data
    )
    check(status, "grow_boxes", labels.shape)


def find_runs(
    labels: NDArray[np.uint32], ids: NDArray[np.uint32], boxes: Ints, excluded: NDArray[np.uint32] | None = None
) -> Runs:
    """Find the runs of labels inside their boxes (n, 4), but for pixels with the same label in `excluded`."""
    image = _LabelImage(labels.ctypes.data, None if excluded is None else excluded.ctypes.data, *labels.shape)
    offsets = np.zeros(len(ids) + 1, np.int64)
    runs = None
    for _ in range(2):  # count, then write
        status = _library().find_region_runs(
            ctypes.byref(image),
            ids.ctypes.data,
            boxes.ctypes.data,
            len(ids),
            offsets.ctypes.data,
            None if runs is None else runs.ctypes.data,
        )
        check(status, "find_runs", labels.shape)
        if runs is None:
            runs = np.empty(int(offsets[-1]), RUN)
    assert runs is not None
    return Runs(runs, offsets)


def measure_shapes(regions: Runs, threads: int = 1) -> Floats:
    """Shapes (n, 10) of regions, in the order of ``SHAPE_NAMES``; NaN and area 0 where a region has no pixel."""
    shapes = np.empty((len(regions), len(SHAPE_NAMES)))
    passed = regions.passed()
    status = _library().measure_region_shapes(ctypes.byref(passed), threads, shapes.ctypes.data)
    check(status, "measure_shapes", shapes.shape)
    return shapes


def measure_channel(regions: Runs, channel: NDArray[np.generic], threads: int = 1) -> Floats:
    """Statistics (n, 6) over a contiguous channel of one of ``CHANNEL_TYPES``, in the order of ``INTENSITY_NAMES``."""
    intensities = np.empty((len(regions), len(INTENSITY_NAMES)))
    passed = regions.passed()
    status = _library().measure_region_channel(
        ctypes.byref(passed),
        channel.ctypes.data,
        CHANNEL_TYPES.index(channel.dtype),
        channel.shape[1],
        threads,
        intensities.ctypes.data,
    )
    check(status, "measure_channel", channel.shape)
    return intensities


def trace_outlines(regions: Runs) -> Rings:
    """Rings around the pixels of each region."""
    library, passed, result = _library(), regions.passed(), ctypes.c_void_p()
    check(
        library.trace_region_outlines(ctypes.byref(passed), ctypes.byref(result)), "trace_outlines", (len(regions), 1)
    )
    try:
        counts = np.zeros(3, np.int64)
        library.count_outlines(result, counts.ctypes.data)
        rings = Rings(
            np.empty((counts[0], 2), np.int32),
            np.empty(counts[1], np.int64),
            np.empty(counts[2], np.int64),
            np.empty(len(regions), np.int64),
        )
        arrays = (rings.corners, rings.ring_ends, rings.part_ends, rings.region_ends)
        library.read_outlines(result, *(array.ctypes.data for array in arrays))
    finally:
        library.free_outlines(result)
    return rings
