"""Outlines of regions as polygons with holes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cellbatch._native.measurement import Runs, trace_outlines

Ring = NDArray[np.int64]
# outer ring, then holes
Polygon = list[Ring]


def outline_regions(regions: Runs, origin: tuple[int, int] = (0, 0)) -> Iterator[list[Polygon]]:
    """Outlines along the edges of the pixels, region by region.

    Parameters
    ----------
    regions : pixels
    origin : ``y, x`` of the pixel from which they are counted

    Yields
    ------
    list of polygons
        One per part of the region, none for a region without a pixel. Parts are pixels that touch by their edges. A
        polygon is its outer ring and its holes; a ring is (corners, 2) of ``x, y`` in px, closed, where pixel (y, x)
        reaches from (x, y) to (x + 1, y + 1). Outer rings have a positive area in x and y, holes a negative one. The
        area of the polygons is exactly the number of pixels, and all of them are valid: rings touch each other at
        corners only, and none touches itself.
    """
    rings = trace_outlines(regions)
    corners = rings.corners.astype(np.int64) + np.array([origin[1], origin[0]])
    first_corner, first_ring, first_part = 0, 0, 0
    for last_part in rings.region_ends.tolist():
        polygons = []
        for last_ring in rings.part_ends[first_part:last_part].tolist():
            polygon = []
            for last_corner in rings.ring_ends[first_ring:last_ring].tolist():
                ring = corners[first_corner:last_corner]
                polygon.append(np.concatenate([ring, ring[:1]]))
                first_corner = last_corner
            polygons.append(polygon)
            first_ring = last_ring
        first_part = last_part
        yield polygons
