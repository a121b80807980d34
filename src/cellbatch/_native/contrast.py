"""Arrays into the preprocessing kernels and out again. What goes in has been checked by the caller."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.library import (
    BinScale,
    LevelRange,
    Plane,
    ResizeAxis,
    TileMaps,
    check,
    load_library,
)

Channel = NDArray[np.float32]
Bins = NDArray[np.uint8]
Maps = NDArray[np.uint16]
Levels = NDArray[np.uint16]
Counts = NDArray[np.int64]


def find_range(channel: Channel) -> tuple[np.float32, np.float32]:
    """Minimum and maximum of a channel (Y, X) without NaN."""
    lowest, highest = ctypes.c_float(), ctypes.c_float()
    values, plane = _readable(channel)
    status = load_library().find_channel_range(ctypes.byref(plane), ctypes.byref(lowest), ctypes.byref(highest))
    check(status, "find_channel_range", values.shape)
    return np.float32(lowest.value), np.float32(highest.value)


def count_upper_halves(channel: Channel, counts: Counts) -> None:
    """Add to `counts` (65536) the non-zero values of a channel (Y, X) by the upper half of their ordered bits."""
    values, plane = _readable(channel)
    status = load_library().count_channel_upper(ctypes.byref(plane), counts.ctypes.data)
    check(status, "count_channel_upper", values.shape)


def count_lower_halves(channel: Channel, upper: int, counts: Counts, above: int) -> int:
    """Add to `counts` those with the upper half `upper` by the lower half; the least bits above those, at most `above`.

    ``value_of_bits`` turns bits back into a value.
    """
    least = ctypes.c_uint32(above)
    values, plane = _readable(channel)
    status = load_library().count_channel_lower(ctypes.byref(plane), upper, counts.ctypes.data, ctypes.byref(least))
    check(status, "count_channel_lower", values.shape)
    return least.value


def value_of_bits(order: int) -> np.float32:
    """Value of bits that were made to order like the values."""
    bits = order & 0x7FFFFFFF if order & 0x80000000 else ~order & 0xFFFFFFFF
    return np.uint32(bits).view(np.float32)


def bin_pixels(channel: Channel, scale: tuple[float, float, float], bin_of_step: Bins, out: Bins) -> bool:
    """Write the CLAHE bins of a channel into `out`; whether all pixels lay within the scale.

    The scale is ceiling (brighter pixels are set to it), minimum and maximum.
    """
    is_inside = ctypes.c_int32()
    values, plane = _readable(channel)
    status = load_library().bin_channel(
        ctypes.byref(plane),
        ctypes.byref(BinScale(*scale)),
        bin_of_step.ctypes.data,
        ctypes.byref(_plane(out)),
        ctypes.byref(is_inside),
    )
    check(status, "bin_channel", values.shape)
    return bool(is_inside.value)


def count_tiles(bins: Bins, tile_width: int, counts: Counts) -> None:
    """Add the bins of some rows to `counts` (columns, 256) of their row of CLAHE tiles."""
    values, plane = _readable(bins)
    status = load_library().count_channel_tiles(ctypes.byref(plane), tile_width, counts.ctypes.data)
    check(status, "count_channel_tiles", values.shape)


def map_counts(counts: Counts, tile_px: int, limit: int) -> Maps:
    """CLAHE maps (columns, 256) of a row of tiles from its counts, which are cut at `limit` in their place."""
    maps = np.empty(counts.shape, np.uint16)
    status = load_library().map_channel_counts(counts.ctypes.data, len(counts), tile_px, limit, maps.ctypes.data)
    check(status, "map_channel_counts", counts.shape)
    return maps


def interpolate(
    bins: Bins, maps: Maps, tile_shape: tuple[int, int], origin: tuple[int, int]
) -> tuple[Levels, int, int]:
    """Grey levels of a rectangle that begins at `origin`, and the lowest and highest of them."""
    levels = np.empty(bins.shape, np.uint16)
    found = LevelRange()
    values, plane = _readable(bins)
    tiles, kept = _tiles(maps, tile_shape)
    status = load_library().interpolate_channel(
        ctypes.byref(plane), ctypes.byref(tiles), *origin, ctypes.byref(_plane(levels)), ctypes.byref(found)
    )
    check(status, "interpolate_channel", values.shape)
    del kept
    return levels, found.lowest, found.highest


def equalize(
    bins: Bins,
    maps: Maps,
    tile_shape: tuple[int, int],
    origin: tuple[int, int],
    levels: tuple[int, int],
    out: Channel,
) -> None:
    """Write the preprocessed pixels of a rectangle that begins at `origin`; `levels` become 0 and 1."""
    values, plane = _readable(bins)
    tiles, kept = _tiles(maps, tile_shape)
    status = load_library().equalize_channel(
        ctypes.byref(plane),
        ctypes.byref(tiles),
        *origin,
        ctypes.byref(LevelRange(*levels)),
        ctypes.byref(_plane(out)),
    )
    check(status, "equalize_channel", values.shape)
    del kept


def stretch(grey: Levels, levels: tuple[int, int], out: Channel) -> None:
    """Write grey levels as float32; `levels` become 0 and 1."""
    values, plane = _readable(grey)
    status = load_library().stretch_channel(
        ctypes.byref(plane), ctypes.byref(LevelRange(*levels)), ctypes.byref(_plane(out))
    )
    check(status, "stretch_channel", values.shape)


def resize(
    pixels: Channel,
    rows: tuple[NDArray[np.int64], NDArray[np.float64]],
    columns: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> Channel:
    """Bilinear samples of an image (Y, X, C) at lower neighbours and distances per axis, zeros outside."""
    source = np.ascontiguousarray(pixels, np.float32)
    resized = np.empty((rows[0].size, columns[0].size, source.shape[2]), np.float32)
    kept = [np.ascontiguousarray(values) for values in (*rows, *columns)]
    axes = [ResizeAxis(kept[i].ctypes.data, kept[i + 1].ctypes.data, kept[i].size) for i in (0, 2)]
    status = load_library().resize_image(
        source.ctypes.data, *source.shape, ctypes.byref(axes[0]), ctypes.byref(axes[1]), resized.ctypes.data
    )
    check(status, "resize_image", resized.shape)
    return resized


def _plane(values: NDArray[np.generic]) -> Plane:
    """Describe an array (Y, X) with positive, aligned steps."""
    return Plane(values.ctypes.data, *values.shape, *(step // values.itemsize for step in values.strides))


def _readable(values: NDArray[np.generic]) -> tuple[NDArray[np.generic], Plane]:
    """Describe any array (Y, X) in native byte order; a copy where memory does not suit. Keep the array meanwhile."""
    is_suited = values.flags.aligned and all(step > 0 and step % values.itemsize == 0 for step in values.strides)
    if not is_suited or not values.dtype.isnative:
        values = np.array(values, values.dtype.newbyteorder("="), order="C")
    return values, _plane(values)


def _tiles(maps: Maps, tile_shape: tuple[int, int]) -> tuple[TileMaps, Maps]:
    """Describe maps, and the array to keep meanwhile."""
    kept = np.ascontiguousarray(maps, np.uint16)
    return TileMaps(kept.ctypes.data, *kept.shape[:2], *tile_shape), kept
