"""What the pixels of a sample say of its focus, pixel size, channels and signal, from a few windows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cellbatch.quality.pooling import pool_mean, pool_pick

# windows are looked at near this pixel size: finer ones are averaged down to it
PROBE_MPP = 0.5
MAX_POOLING = 8
# planes are halved before a filter that stays at least this wide
MIN_SIGMA_PX = 1.2
RING_UM = 1.5
RIDGE_SIGMA_UM = 1.5
FOCUS_SIGMA_UM = 0.8
STRETCH_PERCENTILES = (1.0, 99.5)
_BLOB_DIAMETER_PER_SIGMA = 2 * 2**0.5
_MIN_RING_PX = 5
_TRUNCATE = 3.0

Image = NDArray[np.float32]
Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Appearance:
    """What windows of a sample look like; NaN where they cannot tell.

    Attributes
    ----------
    signal_to_noise : median over nuclei of (mean inside - mean around) / standard error of a pixel's noise
    contrast : median over nuclei of (mean inside - mean around) / mean inside, of the nuclear channel
    grain_um : diameter of the blobs that the nuclear channel is mostly made of
    focus : detail of 0.8 µm (sigma) in the nuclear channel, as a share of the detail at the size of its blobs
    arrangement : how much more the nuclear channel is made of blobs, and the membrane of walls around dark cells;
        negative where it is the other way round
    """

    signal_to_noise: float
    contrast: float
    grain_um: float
    focus: float
    arrangement: float


class AppearanceProbe:
    """Gathers windows of one sample.

    Parameters
    ----------
    image_mpp : µm per px
    """

    def __init__(self, image_mpp: float) -> None:
        self.pooling = int(np.clip(round(PROBE_MPP / image_mpp), 1, MAX_POOLING))
        self.mpp = image_mpp * self.pooling
        self._objects: list[NDArray[np.float64]] = []
        self._bands: list[NDArray[np.float64]] = []
        self._shapes = np.zeros((2, 4))

    def add(self, inputs: Image, nuclei: Labels, *, compare_channels: bool = True) -> None:
        """Look at one window.

        Parameters
        ----------
        inputs : (Y, X, 2) nuclear and membrane channel
        nuclei : (Y, X) labels of nuclei, or of cells where only these are known
        compare_channels : whether ``arrangement`` is wanted, a third of the work
        """
        pooled = pool_mean(inputs, self.pooling)
        radius = max(1, round(RING_UM / self.mpp))
        self._objects.append(compare_with_ring(pooled[..., 0], pool_pick(nuclei, self.pooling), radius))
        nuclear = _stretch(pooled[..., 0])
        self._bands.append(band_energies(nuclear))
        if not compare_channels:
            return
        sigma = RIDGE_SIGMA_UM / self.mpp
        halved = 2 if sigma >= 2 * MIN_SIGMA_PX else 1
        planes = pool_mean(np.stack([nuclear, _stretch(pooled[..., 1])], axis=-1), halved)
        for channel in (0, 1):
            self._shapes[channel] += curvatures(planes[..., channel], sigma / halved)

    def finish(self) -> Appearance:
        """Put the windows together."""
        objects = np.concatenate(self._objects) if self._objects else np.zeros((0, 2))
        signal, contrast = np.median(objects, axis=0) if len(objects) else (np.nan, np.nan)
        grain, focus = self._grain()
        return Appearance(float(signal), float(contrast), grain, focus, self._arrangement())

    def _grain(self) -> tuple[float, float]:
        length = max((len(bands) for bands in self._bands), default=0)
        energies = np.zeros(length)
        for bands in self._bands:
            energies[: len(bands)] += bands
        if length < 3 or not energies.any():
            return np.nan, np.nan
        detail = np.sqrt(energies)
        # bands are half an octave wide, the first from sigma 1 to the square root of 2 px
        octaves = np.arange(length) / 2 + 0.25
        wanted = np.log2(FOCUS_SIGMA_UM / self.mpp)
        focus = float(np.interp(wanted, octaves, detail) / detail.max())
        peak = _highest_peak(detail)
        sigma_px = 2 ** (np.interp(peak, np.arange(length), octaves)) if np.isfinite(peak) else np.nan
        return float(_BLOB_DIAMETER_PER_SIGMA * sigma_px * self.mpp), focus

    def _arrangement(self) -> float:
        if not (self._shapes[:, [1, 3]] > 0).all():
            return float("nan")
        (blobs, holes) = self._shapes[:, [0, 2]].T / self._shapes[:, [1, 3]].T
        return float((blobs[0] - blobs[1]) - (holes[0] - holes[1]))


def compare_with_ring(plane: Image, labels: Labels, radius: int) -> NDArray[np.float64]:
    """Compare each label with the unlabelled pixels around it.

    Parameters
    ----------
    plane : (Y, X)
    labels : (Y, X), 0 background
    radius : width of the ring in px

    Returns
    -------
    (n, 2) float64
        Of every label with enough of a ring: the difference of the means over the standard error of a mean over the
        label's area; and the difference over the mean inside.
    """
    high = int(labels.max(initial=0))
    if not high:
        return np.zeros((0, 2))
    low = int(labels.min(where=labels > 0, initial=high))
    inside = np.where(labels, labels.astype(np.int64) - (low - 1), 0).astype(np.int32)
    ring = np.where(inside, 0, ndimage.maximum_filter(inside, size=2 * radius + 1))
    values = plane.astype(np.float64).ravel()
    (area, mean, spread), (ring_area, ring_mean, ring_spread) = (
        _moments(place.ravel(), values, high - low + 1) for place in (inside, ring)
    )
    kept = (area > 0) & (ring_area >= _MIN_RING_PX)
    difference = (mean - ring_mean)[kept]
    noise = np.sqrt((spread + ring_spread)[kept] / 2)
    signal = difference * np.sqrt(area[kept]) / np.maximum(noise, 1e-12 + 1e-6 * np.abs(mean[kept]))
    return np.stack([signal, difference / np.maximum(np.abs(mean[kept]), 1e-12)], axis=1)


def band_energies(plane: Image) -> NDArray[np.float64]:
    """Mean square of what is brighter than its surroundings, at sizes half an octave apart.

    Differences of Gaussians [1]_, every octave on half of the pixels; sizes end at a fifth of the shorter side.

    Parameters
    ----------
    plane : (Y, X) in 0 … 1

    Returns
    -------
    (k,) float64
        The first for Gaussians of 1 and of the square root of 2 px.

    References
    ----------
    .. [1] Lindeberg, Feature detection with automatic scale selection, Int. J. Comput. Vis. 30 (1998) 79
    """
    energies: list[float] = []
    blurred = ndimage.gaussian_filter(plane, 1.0, truncate=_TRUNCATE)
    while min(blurred.shape) >= 10:
        middle = ndimage.gaussian_filter(blurred, 1.0, truncate=_TRUNCATE)
        coarse = ndimage.gaussian_filter(middle, 2**0.5, truncate=_TRUNCATE)
        for fine, rough in ((blurred, middle), (middle, coarse)):
            energies.append(float(np.mean(np.square(np.maximum(fine - rough, 0)), dtype=np.float64)))
        blurred = coarse[::2, ::2]
    return np.array(energies)


def curvatures(plane: Image, sigma: float) -> NDArray[np.float64]:
    """Sum the curvatures of a plane by kind: bright blobs curve down both ways, walls one way.

    Parameters
    ----------
    plane : (Y, X)
    sigma : of the Gaussian derivatives, px

    Returns
    -------
    (4,) float64
        Sums over all pixels of the weaker and of the stronger downward curvature, then of the weaker and of the
        stronger upward one. The weaker over the stronger is near 1 for round spots and near 0 for walls.
    """
    yy, xx, xy = (
        ndimage.gaussian_filter(plane, sigma, order=order, truncate=_TRUNCATE) for order in ((2, 0), (0, 2), (1, 1))
    )
    middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    lower, upper = middle - half, middle + half
    parts = (-upper, -lower, lower, upper)
    return np.array([np.maximum(part, 0).sum(dtype=np.float64) for part in parts])


def _moments(
    place: NDArray[np.int32], values: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Area, mean and variance of the values at each place from 1."""
    area = np.bincount(place, minlength=count + 1)[1:].astype(np.float64)
    safe = np.maximum(area, 1)
    mean = np.bincount(place, values, count + 1)[1:] / safe
    square = np.bincount(place, values * values, count + 1)[1:] / safe
    return area, mean, np.maximum(square - mean * mean, 0)


def _stretch(plane: Image) -> Image:
    """Bring a plane to 0 … 1 between robust percentiles; one that is mostly zeros keeps its bright spots."""
    low, high = np.percentile(plane, STRETCH_PERCENTILES)
    high = max(high, low + 0.05 * float(plane.max()))
    if not high > low:
        return np.zeros(plane.shape, np.float32)
    return np.clip((plane - low) / (high - low), 0, 1).astype(np.float32)


def _highest_peak(detail: NDArray[np.float64]) -> float:
    """Place of the highest inner maximum, between the samples by a parabola; NaN without one."""
    inner = np.arange(1, len(detail) - 1)
    peaks = inner[(detail[inner] >= detail[inner - 1]) & (detail[inner] >= detail[inner + 1])]
    if not len(peaks):
        return float("nan")
    top = int(peaks[np.argmax(detail[peaks])])
    before, here, after = detail[top - 1 : top + 2]
    bend = before - 2 * here + after
    return top + (0.5 * (before - after) / bend if bend < 0 else 0.0)
