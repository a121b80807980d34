"""Figures by which drawn tissue is held against real images: grey levels, power spectrum, object sizes, contrasts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from tissue_options import TISSUE_MPP

# µm; a period of 1 µm is the finest that pixels of 0.5 µm show
PERIODS_UM = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
RIM_PX = 2
RING_PX = 4
CHANNELS = ("nuclear", "membrane")


def describe_channel(channel: NDArray[np.float32]) -> dict[str, float]:
    """Describe the grey levels and the texture of one channel.

    Parameters
    ----------
    channel : (Y, X) float32
        As the network sees it: 0.5 µm/px, clipped, equalised; 0..1.

    Returns
    -------
    dict
        ``dark``, the share of pixels below 0.1; ``middle`` and ``bright``, the quantiles 0.5 and 0.9; ``1-2 µm`` and so
        on, the share of the power at periods of that length, of all power between 1 and 32 µm.
    """
    figures = {"dark": float((channel < 0.1).mean())}
    figures["middle"], figures["bright"] = np.quantile(channel, (0.5, 0.9)).tolist()
    power = bin_power(channel)
    for low, high, share in zip(PERIODS_UM, PERIODS_UM[1:], power / max(power.sum(), 1e-12), strict=False):
        figures[f"{low:g}-{high:g} µm"] = float(share)
    return figures


def bin_power(channel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Add up the power of an image by period.

    A Hann window keeps what the sides of the image differ by out of it.

    Parameters
    ----------
    channel : (Y, X) float32
        Pixels of 0.5 µm.

    Returns
    -------
    (5,) float64
        Power at periods of 1 to 2, 2 to 4, … 16 to 32 µm.
    """
    window = np.hanning(channel.shape[0])[:, None] * np.hanning(channel.shape[1])[None, :]
    mean = (channel * window).sum() / window.sum()
    power = np.abs(fft.rfft2((channel - mean) * window)) ** 2
    # all columns of the half spectrum but those at the ends stand for two
    power[:, 1 : -1 if channel.shape[1] % 2 == 0 else None] *= 2
    frequency = np.hypot(
        fft.fftfreq(channel.shape[0], TISSUE_MPP)[:, None], fft.rfftfreq(channel.shape[1], TISSUE_MPP)[None, :]
    )
    edges = 1 / np.array(PERIODS_UM)[::-1]
    return np.histogram(frequency, edges, weights=power)[0][::-1]


def describe_objects(image: NDArray[np.float32], labels: NDArray[np.uint32]) -> dict[str, float]:
    """Describe the sizes of objects and how they stand out.

    Parameters
    ----------
    image : (Y, X, 2) float32
        As the network sees it.
    labels : (Y, X) uint32
        Objects; 0 is background.

    Returns
    -------
    dict
        ``small``, ``area`` and ``large``, the quantiles 0.1, 0.5 and 0.9 of the area in µm²; ``density``, objects per
        10,000 µm²; ``nuclear contrast``, the mean of the nuclear channel inside of objects over that in the 2 µm around
        them; ``membrane contrast``, the mean of the membrane channel in the outermost 1 µm of objects over that further
        inside. NaN where there is nothing to compare.
    """
    area = np.bincount(labels.ravel())[1:].astype(float)
    area = area[area > 0] * TISSUE_MPP**2
    small, middle, large = np.quantile(area, (0.1, 0.5, 0.9)).tolist() if len(area) else (np.nan,) * 3
    inside = labels > 0
    ring = ~inside & (ndimage.distance_transform_edt(~inside) <= RING_PX)
    # the background counts as another object, so that the rim of an object at it is a rim too
    is_border = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    depth = ndimage.distance_transform_edt(~is_border)
    rim, core = inside & (depth < RIM_PX), inside & (depth >= RIM_PX)
    return {
        "small": small,
        "area": middle,
        "large": large,
        "density": 1e4 * len(area) / (labels.size * TISSUE_MPP**2),
        "nuclear contrast": _ratio(image[..., 0], inside, ring),
        "membrane contrast": _ratio(image[..., 1], rim, core),
    }


def _ratio(channel: NDArray[np.float32], above: NDArray[np.bool_], below: NDArray[np.bool_]) -> float:
    """Mean over one mask by mean over another; NaN for an empty one or a black channel."""
    if not above.any() or not below.any() or not channel.any():
        return float("nan")
    return float(channel[above].mean() / max(channel[below].mean(), 1e-3))
