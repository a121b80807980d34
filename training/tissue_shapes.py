"""Outlines of drawn tissue: where cells lie, how they press on each other, where their nuclei are.

References
----------
Outlines are anisotropic multiplicatively weighted Voronoi regions cut off at the cell's own ellipse, in coordinates
bent by smooth noise: Okabe et al. (2000), Spatial Tessellations, 2nd ed., Wiley, doi:10.1002/9780470317013.
Centres are a dart-throwing sample: Cook (1986), Stochastic sampling in computer graphics, ACM Transactions on
Graphics 5, 51-72, doi:10.1145/7529.8927.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from tissue_options import TissueOptions

FloatImage = NDArray[np.float32]
LabelImage = NDArray[np.uint32]

SMALLEST_RADIUS_PX = 4.5


@dataclass(frozen=True)
class Ellipses:
    """Ellipses in px: ``centre`` (n, 2) as (y, x), half ``axes`` (n, 2), ``angle`` (n,) in radians."""

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    angle: NDArray[np.float64]

    def __len__(self) -> int:
        """Count the ellipses."""
        return len(self.angle)


def smooth_noise(shape: tuple[int, int], rng: np.random.Generator, scale_px: float) -> FloatImage:
    """Draw smooth noise of zero mean and unit standard deviation.

    Parameters
    ----------
    shape : (Y, X)
        Size in px.
    rng : numpy.random.Generator
        Source of the noise.
    scale_px : float
        Typical length of a bump.

    Returns
    -------
    (Y, X) float32
        The noise.
    """
    step = max(1, int(scale_px / 3))
    coarse_shape = [n // step + 8 for n in shape]
    coarse = ndimage.gaussian_filter(rng.standard_normal(coarse_shape, dtype=np.float32), scale_px / step / 2)
    coarse /= max(float(coarse.std()), 1e-9)
    if step == 1:
        return coarse[: shape[0], : shape[1]]
    return np.asarray(ndimage.zoom(coarse, step, order=1), np.float32)[: shape[0], : shape[1]]


def draw_shapes(
    shape: tuple[int, int], rng: np.random.Generator, options: TissueOptions
) -> tuple[LabelImage, LabelImage, FloatImage]:
    """Draw cells and their nuclei.

    Parameters
    ----------
    shape : (Y, X)
        Size in px.
    rng : numpy.random.Generator
        Source of all choices.
    options : TissueOptions
        The recipe.

    Returns
    -------
    cells : (Y, X) uint32
        Whole-cell labels, each one 4-connected piece.
    nuclei : (Y, X) uint32
        Nuclear labels, each inside one cell.
    thickness : (Y, X) float32
        Optical thickness of nuclei, 0..1 and more where nuclei lie above each other.
    """
    sites = _draw_sites(shape, rng, options)
    bend = [options.roughness_px * smooth_noise(shape, rng, 0.45 * options.cell_diameter_px) for _ in range(2)]
    cells = keep_largest_pieces(_paint_cells(shape, sites, bend, rng.normal(0, options.overlap, len(sites))), 25)
    nuclei, thickness = _paint_nuclei(cells, _place_nuclei(sites, rng, options), bend)
    return cells, keep_largest_pieces(nuclei, 12), thickness


def keep_largest_pieces(labels: LabelImage, min_size_px: int) -> LabelImage:
    """Keep the largest 4-connected piece of every label, unless it is small; numbers stay.

    Parameters
    ----------
    labels : (Y, X) uint32
        Labels, perhaps in pieces.
    min_size_px : int
        Smaller pieces go too.

    Returns
    -------
    (Y, X) uint32
        Every label in one piece.
    """
    pieces = label(labels, connectivity=1, background=0)
    size = np.bincount(pieces.ravel())
    size[0] = 0
    owner = np.zeros(len(size), np.int64)
    owner[pieces.ravel()] = labels.ravel()
    order = np.lexsort((size, owner))
    is_last = np.append(owner[order][1:] != owner[order][:-1], True)
    kept = np.zeros(len(size), bool)
    kept[order[is_last]] = True
    kept &= size >= min_size_px
    kept[0] = False
    return np.where(kept[pieces], labels, 0).astype(np.uint32)


def _draw_sites(shape: tuple[int, int], rng: np.random.Generator, options: TissueOptions) -> Ellipses:
    """Cells as ellipses whose centres keep their distance; some lie beyond the border."""
    margin = options.cell_diameter_px
    radius_px = options.cell_diameter_px / 2
    extent = np.array(shape) + 2 * margin
    ratio = options.small_ratio if options.small_share else 1.0
    count = int(6 * extent.prod() / (options.packing * options.cell_diameter_px * ratio) ** 2)
    centre = rng.uniform(0, 1, (count, 2)) * extent - margin
    radius = radius_px * np.exp(rng.normal(0, options.size_spread, count))
    if options.small_share:
        zone = smooth_noise(shape, rng, 5 * options.cell_diameter_px)
        at = np.clip(centre.astype(int), 0, np.array(shape) - 1)
        is_small = zone[at[:, 0], at[:, 1]] > np.quantile(zone, 1 - options.small_share)
        radius = np.where(is_small, np.maximum(radius * options.small_ratio, SMALLEST_RADIUS_PX), radius)
    accepted = np.empty((count, 3))
    n = 0
    for (y, x), r in zip(centre, radius, strict=True):
        reach = options.packing * (accepted[:n, 2] + r)
        if not np.any((accepted[:n, 0] - y) ** 2 + (accepted[:n, 1] - x) ** 2 < reach**2):
            accepted[n] = y, x, r
            n += 1
    accepted = accepted[:n]
    crowd = smooth_noise(shape, rng, 4 * options.cell_diameter_px)
    at = np.clip(accepted[:, :2].astype(int), 0, np.array(shape) - 1)
    level = crowd[at[:, 0], at[:, 1]] + rng.normal(0, 0.3, n)
    accepted = accepted[level > np.quantile(crowd, 0.75 * options.clustering) - 1e6 * (options.clustering == 0)]
    if options.empty > 0:
        accepted = accepted[~_is_in_blob(accepted[:, :2], shape, rng, options.empty)]
    is_spindle = rng.random(len(accepted)) < options.spindle
    aspect = np.exp(np.abs(rng.normal(0, options.elongation, len(accepted))) + rng.normal(0.9, 0.2) * is_spindle)
    # cells reach beyond half the distance to the next one, so that packed ones meet
    axes = accepted[:, 2:] * 1.12 * np.stack([np.sqrt(aspect), 1 / np.sqrt(aspect)], axis=1)
    flow = smooth_noise(shape, rng, 5 * options.cell_diameter_px)
    at = np.clip(accepted[:, :2].astype(int), 0, np.array(shape) - 1)
    angle = np.pi * flow[at[:, 0], at[:, 1]] + rng.normal(0, 0.4, len(accepted))
    return Ellipses(accepted[:, :2], axes, angle)


def _is_in_blob(
    points: NDArray[np.float64], shape: tuple[int, int], rng: np.random.Generator, size: float
) -> NDArray[np.bool_]:
    """Points inside one wobbly disc somewhere in the field."""
    offset = points - rng.uniform(0, 1, 2) * np.array(shape)
    angle = np.arctan2(offset[:, 0], offset[:, 1])
    wobble = 1 + 0.25 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.15 * np.sin(5 * angle + rng.uniform(0, 6))
    return np.hypot(*offset.T) < size * max(shape) * wobble


def _normalised_radius(
    ellipses: Ellipses, index: int, bend: list[FloatImage], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], FloatImage] | None:
    """Distance from an ellipse's centre in units of its outline, in a window around it."""
    (y, x), (a, b) = ellipses.centre[index], ellipses.axes[index]
    reach = 1.05 * max(a, b) + 5
    y0, y1 = max(int(y - reach), 0), min(int(y + reach) + 2, shape[0])
    x0, x1 = max(int(x - reach), 0), min(int(x + reach) + 2, shape[1])
    if y0 >= y1 or x0 >= x1:
        return None
    window = slice(y0, y1), slice(x0, x1)
    dy = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(y) + bend[0][window]
    dx = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(x) + bend[1][window]
    c, s = np.float32(np.cos(ellipses.angle[index])), np.float32(np.sin(ellipses.angle[index]))
    return window, np.hypot((c * dy + s * dx) / np.float32(a), (c * dx - s * dy) / np.float32(b))


def _paint_cells(
    shape: tuple[int, int], sites: Ellipses, bend: list[FloatImage], depth: NDArray[np.float64]
) -> LabelImage:
    """Give each pixel to the cell of smallest normalised radius; depth lifts a cell above its neighbours."""
    nearest = np.full(shape, np.inf, np.float32)
    cells = np.zeros(shape, np.uint32)
    for index in range(len(sites)):
        found = _normalised_radius(sites, index, bend, shape)
        if found is not None:
            window, radius = found
            score = radius + np.float32(depth[index])
            wins = (radius < 1) & (score < nearest[window])
            cells[window][wins] = index + 1
            nearest[window][wins] = score[wins]
    return cells


def _place_nuclei(sites: Ellipses, rng: np.random.Generator, options: TissueOptions) -> tuple[Ellipses, LabelImage]:
    """None, one or two nuclei per cell, off centre where there is room; and the cell label of each."""
    count = 1 + (rng.random(len(sites)) < options.binucleate).astype(int)
    count[rng.random(len(sites)) < options.anucleate] = 0
    owner = np.repeat(np.arange(len(sites)), count)
    is_twin = count[owner] == 2
    ratio = options.nucleus_ratio * np.exp(rng.normal(0, 0.1, len(owner))) / 1.12
    ratio = np.clip(ratio, 0.3, 0.92) * np.where(is_twin, 0.65, 1)
    # nuclei are rounder than their cells
    mean_axis = np.sqrt(sites.axes[owner].prod(axis=1, keepdims=True))
    axes = ratio[:, None] * mean_axis**0.4 * sites.axes[owner] ** 0.6 * np.exp(rng.normal(0, 0.08, (len(owner), 2)))
    shift = rng.normal(0, 0.3, (len(owner), 2)) * (1 - ratio[:, None]) * mean_axis
    side = np.where(np.arange(len(owner)) % 2, 1, -1) * is_twin * 0.45 * mean_axis[:, 0]
    angle = sites.angle[owner]
    shift += np.stack([side * np.cos(angle), side * np.sin(angle)], axis=1)
    tilt = angle + rng.normal(0, 0.3, len(owner))
    return Ellipses(sites.centre[owner] + shift, axes, tilt), (owner + 1).astype(np.uint32)


def _paint_nuclei(
    cells: LabelImage, placed: tuple[Ellipses, LabelImage], bend: list[FloatImage]
) -> tuple[LabelImage, FloatImage]:
    """Nuclear labels inside their cells, and how thick the nuclei are; their light spills over the outline."""
    ellipses, owner = placed
    nearest = np.full(cells.shape, np.inf, np.float32)
    nuclei = np.zeros(cells.shape, np.uint32)
    thickness = np.zeros(cells.shape, np.float32)
    calm_bend = [0.5 * component for component in bend]
    for index in range(len(ellipses)):
        found = _normalised_radius(ellipses, index, calm_bend, cells.shape)
        if found is None:
            continue
        window, radius = found
        at_home = cells[window] == owner[index]
        wins = (radius < 1) & at_home & (radius < nearest[window])
        nuclei[window][wins] = index + 1
        nearest[window][wins] = radius[wins]
        dome = np.sqrt(np.clip(1 - radius**2, 0, 1))
        thickness[window] += np.where(at_home, 1.0, 0.5).astype(np.float32) * np.sqrt(dome)
    return nuclei, thickness
