"""Which planes of a z-stack or time series make a channel, and how they become one plane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import InputError
from cellbatch.spec import ReadOptions

STACKS = {"z": "z-stack", "t": "time series"}
MEAN = "mean"


@dataclass(frozen=True)
class Stack:
    """Planes that make one of each channel: ``planes`` along ``axis`` (empty where there is no such axis)."""

    axis: str = ""
    planes: range = range(1)
    projection: str = ""

    def dtype(self, stored: Any) -> np.dtype[Any]:
        """Type of the pixels: a mean is float32."""
        return np.dtype(np.float32 if self.projection == MEAN and len(self.planes) > 1 else stored)


def choose_stack(name: str, sizes: Mapping[str, int], options: ReadOptions) -> Stack:
    """Say which planes of an image are meant.

    Parameters
    ----------
    name : what messages call the image
    sizes : length by axis, ``z`` and ``t`` among them where the image has them
    options : the plane or projection that the user named

    Raises
    ------
    InputError
        if the image is a stack or series and no plane or projection is named, the plane is not there, or it is both
    """
    long = {axis: sizes[axis] for axis in STACKS if sizes.get(axis, 1) > 1}
    if not long:
        return Stack()
    told = " and a ".join(f"{STACKS[axis]} of {size} planes" for axis, size in long.items())
    remedy = "write the plane or projection that you want as a 2-D image"
    if len(long) > 1:
        raise InputError(f"{name}: is a {told}, expected one of them at most; {remedy}")
    ((axis, size),) = long.items()
    if options.z_plane is None and not options.projection:
        raise InputError(
            f"{name}: is a {told}, expected one plane per channel; {remedy}, or name it with --z_plane or --projection"
        )
    if options.z_plane is None:
        return Stack(axis, range(size), options.projection)
    if options.z_plane >= size:
        raise InputError(f"{name}: is a {told} and has no plane {options.z_plane}; give --z_plane from 0 to {size - 1}")
    return Stack(axis, range(options.z_plane, options.z_plane + 1))


def project(planes: Iterable[NDArray[Any]], stack: Stack) -> NDArray[Any]:
    """Make one plane of several, one of which is in memory at a time.

    Parameters
    ----------
    planes : (Y, X) each, as many as the stack has
    stack : which gives the projection: ``max``, or ``mean`` (summed in float64, given as float32)
    """
    each = iter(planes)
    result = next(each)
    if len(stack.planes) == 1:
        return result
    result = result.astype(np.float64 if stack.projection == MEAN else result.dtype)
    for plane in each:
        if stack.projection == MEAN:
            result += plane
        else:
            np.maximum(result, plane, out=result)
    return (result / len(stack.planes)).astype(np.float32) if stack.projection == MEAN else result
