"""Loads the build of the kernels that suits the processor."""

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

# The least level of the x86-64 instruction sets that each build needs, fastest first.
BUILDS = {"x86_64_v4": 4, "x86_64_v3": 3, "plain": 0}
_NO_MEMORY = 1


class SmoothingKernel(ctypes.Structure):
    """Half of a symmetric kernel; radius -1 stands for no smoothing."""

    _fields_ = [("weights", ctypes.c_void_p), ("radius", ctypes.c_int32)]


class WatershedOptions(ctypes.Structure):
    """Options of ``deep_watershed`` as the kernels take them."""

    _fields_ = [
        ("maxima_threshold", ctypes.c_double),
        ("small_objects_threshold", ctypes.c_double),
        ("fill_holes_threshold", ctypes.c_double),
        ("maxima_kernel", SmoothingKernel),
        ("interior_kernel", SmoothingKernel),
        ("interior_threshold", ctypes.c_float),
        ("radius", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("is_heap_forced", ctypes.c_int32),
    ]


class WatershedReport(ctypes.Structure):
    """What happened on the way to the labels."""

    _fields_ = [("undecided_px", ctypes.c_int64), ("basins", ctypes.c_int64), ("markers", ctypes.c_int64)]


class Plane(ctypes.Structure):
    """One channel of an image: first value, shape, and how many values rows and columns lie apart."""

    _fields_ = [
        ("values", ctypes.c_void_p),
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("row_step", ctypes.c_int64),
        ("step", ctypes.c_int64),
    ]


class BinScale(ctypes.Structure):
    """The linear map from pixel to CLAHE bin."""

    _fields_ = [("ceiling", ctypes.c_float), ("minimum", ctypes.c_float), ("maximum", ctypes.c_float)]


class TileMaps(ctypes.Structure):
    """CLAHE maps (rows, columns, 256)."""

    _fields_ = [
        ("maps", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("tile_height", ctypes.c_int64),
        ("tile_width", ctypes.c_int64),
    ]


class LevelRange(ctypes.Structure):
    """Grey levels that become 0 and 1."""

    _fields_ = [("lowest", ctypes.c_int32), ("highest", ctypes.c_int32)]


class ResizeAxis(ctypes.Structure):
    """Lower neighbour of each new position on an axis, and its distance."""

    _fields_ = [("lower", ctypes.c_void_p), ("distance", ctypes.c_void_p), ("size", ctypes.c_int64)]


class BlockPlace(ctypes.Structure):
    """Shape of the image, and the boxes (y0, y1, x0, x1) that are read, flooded and owned."""

    _fields_ = [
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("source", ctypes.c_int64 * 4),
        ("window", ctypes.c_int64 * 4),
        ("core", ctypes.c_int64 * 4),
    ]


_POINTER, _SIZE, _COUNT, _NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_double
_SIGNATURES = {
    "x86_64_level": [],
    "find_largest": [_POINTER, _SIZE, _COUNT, _POINTER],
    "smooth_map": [_POINTER, _SIZE, _SIZE, ctypes.POINTER(SmoothingKernel), _COUNT, _POINTER],
    "label_maxima": [_POINTER, _SIZE, _SIZE, _NUMBER, _COUNT, _COUNT, _POINTER],
    "flood_map": [_POINTER, _POINTER, _SIZE, _SIZE, _COUNT, _COUNT, _POINTER, ctypes.POINTER(ctypes.c_int64)],
    "clean_labels": [_POINTER, _SIZE, _SIZE, _COUNT, _NUMBER, _NUMBER, _COUNT],
    "find_channel_range": [_POINTER, _POINTER, _POINTER],
    "count_channel_upper": [_POINTER, _POINTER],
    "count_channel_lower": [_POINTER, ctypes.c_uint32, _POINTER, _POINTER],
    "bin_channel": [_POINTER, _POINTER, _POINTER, _POINTER, _POINTER],
    "count_channel_tiles": [_POINTER, _SIZE, _POINTER],
    "map_channel_counts": [_POINTER, _SIZE, _SIZE, _SIZE, _POINTER],
    "interpolate_channel": [_POINTER, _POINTER, _SIZE, _SIZE, _POINTER, _POINTER],
    "equalize_channel": [_POINTER, _POINTER, _SIZE, _SIZE, _POINTER, _POINTER],
    "stretch_channel": [_POINTER, _POINTER, _POINTER],
    "resize_image": [_POINTER, _SIZE, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER],
    "blur_image": [_POINTER, _SIZE, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER],
    "add_weighted_tile": [_POINTER, _SIZE, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER, _SIZE],
    "renumber_labels": [_POINTER, _SIZE, _POINTER, _SIZE, _POINTER],
    "find_small_components": [_POINTER, _SIZE, _SIZE, _NUMBER, _POINTER],
    "label_block": [_POINTER, _POINTER, _POINTER, ctypes.POINTER(WatershedOptions), _POINTER, _POINTER],
    "deep_watershed": [
        _POINTER,
        _POINTER,
        _SIZE,
        _SIZE,
        ctypes.POINTER(WatershedOptions),
        _POINTER,
        ctypes.POINTER(WatershedReport),
    ],
}


@cache
def load_library(build: str | None = None) -> ctypes.CDLL:
    """Load the kernels; calls into them release the interpreter's lock.

    Parameters
    ----------
    build : {None, "plain", "x86_64_v3", "x86_64_v4"}
        None takes the fastest one that the processor runs.

    Raises
    ------
    ImportError
        If the kernels have not been built.
    """
    if build is None:
        level = load_library("plain").x86_64_level()
        return load_library(next(name for name, needed in BUILDS.items() if needed <= level and _find(name)))
    path = _find(build)
    if path is None:
        raise ImportError(
            f"no {build} build of the native kernels in {Path(__file__).parent}; build them with "
            "`pip install --no-build-isolation --editable .` in the project's folder"
        )
    library = ctypes.CDLL(str(path))
    for name, arguments in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, ctypes.c_int32
    library.count_block_objects.argtypes, library.count_block_objects.restype = [_POINTER], _SIZE
    library.read_block.argtypes, library.read_block.restype = [_POINTER] * 4, None
    library.free_block.argtypes, library.free_block.restype = [_POINTER], None
    return library


def check(status: int, name: str, shape: tuple[int, ...]) -> None:
    """Turn the status of a kernel into an exception."""
    if status == _NO_MEMORY:
        raise MemoryError(f"{name}: not enough memory for {shape[0]}x{shape[1]} px")
    if status:
        raise RuntimeError(f"{name} failed on {shape[0]}x{shape[1]} px")


def _find(build: str) -> Path | None:
    """Path of a build, if it is there."""
    candidates = (Path(__file__).with_name(f"_kernels_{build}{suffix}") for suffix in EXTENSION_SUFFIXES)
    return next((path for path in candidates if path.exists()), None)
