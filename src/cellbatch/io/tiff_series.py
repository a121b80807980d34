"""Which of the images in a TIFF file is meant."""

from __future__ import annotations

import math

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.io.reader import refuse_channels_last
from cellbatch.io.stacks import Stack, choose_stack
from cellbatch.io.tiff_metadata import OmeImage
from cellbatch.spec import ReadOptions

CHANNEL_AXES = "CIQ"
DIALECTS = ("ome", "shaped", "imagej", "uniform", "generic", "qpi", "svs")


def first_series(tif: tifffile.TiffFile, name: str, ome: OmeImage | None) -> tifffile.TiffPageSeries:
    """Choose the image of a file.

    Parameters
    ----------
    tif : open file
    name : what messages call it
    ome : its OME header, if it has one

    Returns
    -------
    TiffPageSeries
        full resolution with its pyramid; thumbnails, labels and macro images do not count

    Raises
    ------
    InputError
        if there is none, the OME header does not fit the pages, or several images have equal right
    """
    every = list(tif.series)
    if not every:
        raise InputError(f"{name}: holds no image; write it again")
    series = every[0]
    if ome is not None and series.kind != "ome":
        raise InputError(missing_planes(name, ome.planes, len(tif.pages)))
    if series.kind not in DIALECTS:
        raise InputError(f"{name}: TIFF files of kind {series.kind!r} are not read; convert it to OME-TIFF (bfconvert)")
    if series.kind == "shaped" and all(_is_equal_page(series, other) for other in every):
        # Pages that tifffile wrote one by one count as an image each there; they are the channels of one.
        pages, shape = [one.pages[0] for one in every], (len(every), *series.shape)
        return tifffile.TiffPageSeries(pages, shape, series.dtype, "I" + series.axes, kind="uniform")
    rivals = [other for other in every[1:] if series.kind not in ("qpi", "svs") and not _is_side_image(series, other)]
    if rivals:
        raise InputError(
            f"{name}: holds {1 + len(rivals)} images ({', '.join(str(one.shape) for one in [series, *rivals][:5])}), "
            "expected one; write each to a file of its own"
        )
    return series


def lay_out(name: str, series: tifffile.TiffPageSeries, options: ReadOptions) -> tuple[Stack, NDArray[np.intp]]:
    """Tell the axes of an image apart.

    Returns
    -------
    stack : planes that make one of each channel
    order : (channels, planes of a stack), number of each page in the file

    Raises
    ------
    InputError
        if the axes leave open which are the channels, or which plane of a stack is meant
    """
    sizes = {axis: size for axis, size in zip(series.axes, series.shape, strict=True) if size > 1}
    stack = choose_stack(name, {axis.lower(): size for axis, size in sizes.items()}, options)
    for axis, size in sizes.items():
        if axis not in CHANNEL_AXES + "SYX" + stack.axis.upper():
            raise InputError(
                f"{name}: has an axis {axis} of length {size}, expected channels, Y and X; write a 2-D image"
            )
    axes = [axis for axis in series.axes if axis in CHANNEL_AXES and axis in sizes]
    unnamed_stack = "S" in sizes and axes not in ([], ["C"])
    if len(axes) > 1 or unnamed_stack:
        raise InputError(
            f"{name}: axes {series.axes} of shape {series.shape} leave open which are the channels; "
            "write it as OME-TIFF with axes CYX"
        )
    if axes == ["Q"]:
        refuse_channels_last(name, series.shape)
    leading = [axis for axis in series.axes if axis in axes or (stack.axis and axis == stack.axis.upper())]
    order = np.arange(math.prod(sizes[axis] for axis in leading)).reshape([sizes[axis] for axis in leading])
    if len(leading) == 2 and leading[1] in axes:
        order = order.T
    return stack, order.reshape(sizes.get(axes[0], 1) if axes else 1, -1)


def _is_equal_page(series: tifffile.TiffPageSeries, other: tifffile.TiffPageSeries) -> bool:
    """Whether a series is one plane of the same shape and type as the first."""
    alike = (other.axes, other.shape, other.dtype) == ("YX", series.shape, series.dtype)
    return alike and len(other.pages) == 1 and len(other.levels) == 1


def _is_side_image(series: tifffile.TiffPageSeries, other: tifffile.TiffPageSeries) -> bool:
    """Whether a further series is a thumbnail, label, macro or reduced copy of the first."""
    words = (other.name or "").lower()
    if any(word in words for word in ("label", "macro", "thumbnail", "overview")) or other.keyframe.is_reduced:
        return True
    height, width = series.keyframe.shaped[2:4]
    factors = [height / other.keyframe.shaped[2], width / other.keyframe.shaped[3]]
    power = round(math.log2(max(factors[0], 1)))
    return power > 0 and all(abs(factor / 2**power - 1) < 0.02 for factor in factors)


def missing_planes(name: str, claimed: int, found: int) -> str:
    """Message for a header that does not fit the pages."""
    return (
        f"{name}: its OME header claims {claimed} planes that do not fit the {found} pages in the file "
        "(number or size); the header was copied from another image or the file is cut short: write it again"
    )
