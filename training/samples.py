"""Tiles that the network learns from, cut from fields and changed by chance.

A tile may also see a strange marker: that of another field, a cloudy ground between the nuclei, or none. On real tissue
a marker often follows the matrix, or other cells than those that are asked for, and a network that learned from drawn
membranes alone believes it all the same.
"""

from __future__ import annotations

import numpy as np
from fields import Field
from numpy.typing import NDArray
from scipy import ndimage
from targets import BACKGROUND, inner_distance, pixel_classes, touching_pixels
from tissue_shapes import smooth_noise
from tissue_signal import cut_to_nuclei

from cellbatch.preprocessing import preprocess

TILE_PX = 256
OUTSIDE_PX = 96
# of strange markers; the rest is a cloudy ground
EMPTY_SHARE, OTHER_SHARE = 0.3, 0.25

Sample = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def draw_sample(field: Field, rng: np.random.Generator, marker: NDArray[np.float32] | None = None) -> Sample:
    """Cut one network input with its answers from a field, turned, flipped, with another contrast and noise.

    Parameters
    ----------
    field : Field
        The field; a side shorter than the input is completed by reflection, as inference does, and others at times
        by zeros.
    rng : numpy.random.Generator
        Source of all choices.
    marker : (Y, X) float32, optional
        Marker of another field, of any size. It, a cloudy ground, or nothing stands in for the field's own.

    Returns
    -------
    image : (256, 256, 2) float32
    distance : (256, 256, 2) float32
    classes : (256, 256, 2) int32
    touching : (256, 256, 2) float32, 1 where two objects meet
    """
    arrays = [field.image, field.distance, field.classes, field.touching]
    if marker is not None:
        arrays.append(np.stack([np.ones_like(field.nuclear), field.nuclear], axis=-1))
    size = TILE_PX
    shape = field.image.shape[:2]
    if min(shape) < size:
        short = [max(size - n, 0) for n in shape]
        padding = [(n // 2, n - n // 2) for n in short]
        arrays = [np.pad(a, [*padding, (0, 0)], mode="reflect") for a in arrays]
    if rng.random() < 0.4:
        # inference lays zeros around an image, up to half a stride
        around = [(OUTSIDE_PX, OUTSIDE_PX) if n >= size else (0, 0) for n in shape]
        fills = (0, 0, BACKGROUND, 0, 0)[: len(arrays)]
        arrays = [np.pad(a, [*around, (0, 0)], constant_values=v) for a, v in zip(arrays, fills, strict=True)]
    y, x = (int(rng.integers(0, n - size + 1)) for n in arrays[0].shape[:2])
    arrays = [a[y : y + size, x : x + size] for a in arrays]
    turns, is_flipped = int(rng.integers(4)), rng.random() < 0.5
    arrays = [np.rot90(a, turns)[:, :: -1 if is_flipped else 1] for a in arrays]
    image = arrays[0].astype(np.float32)
    if marker is not None:
        image[..., 1] = _draw_strange(marker, arrays[4][..., 1] > 0, rng) * arrays[4][..., 0]
    if rng.random() < 0.4:
        image = image ** np.exp(rng.normal(0, 0.15, 2)).astype(np.float32)
    if rng.random() < 0.3:
        image = image + rng.normal(0, rng.uniform(0, 0.05), image.shape).astype(np.float32) * (image > 0)
    return image, arrays[1].astype(np.float32), arrays[2].astype(np.int32), arrays[3].astype(np.float32)


def hide_marker(field: Field) -> Field:
    """Answer as if no marker told where cells end: of each what can be seen, its nucleus and a rim.

    Parameters
    ----------
    field : Field
        The field; not changed.

    Returns
    -------
    Field
        The same image with other whole cells.
    """
    cells = cut_to_nuclei(field.whole_cell, field.nuclear)
    distance, classes, touching = field.distance.copy(), field.classes.copy(), field.touching.copy()
    distance[..., 0] = inner_distance(cells)
    classes[..., 0] = pixel_classes(cells)
    touching[..., 0] = touching_pixels(cells)
    return Field(field.image, cells, field.nuclear, distance, classes, touching)


def _draw_strange(
    marker: NDArray[np.float32], nuclei: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a marker that tells nothing, as inference would see it; a short side of another one is mirrored."""
    kind = rng.random()
    if kind < EMPTY_SHARE:
        return np.zeros(nuclei.shape, np.float32)
    if kind < EMPTY_SHARE + OTHER_SHARE:
        marker = np.pad(marker, [(0, max(TILE_PX - n, 0)) for n in marker.shape], mode="reflect")
        y, x = (int(rng.integers(0, n - TILE_PX + 1)) for n in marker.shape)
        return np.rot90(marker[y : y + TILE_PX, x : x + TILE_PX], int(rng.integers(4)))
    clouds = [rng.uniform(0.2, 0.9) * smooth_noise(nuclei.shape, rng, size) for size in (rng.uniform(2, 8), 30.0)]
    hidden = rng.uniform(0.0, 1.0) * ndimage.gaussian_filter(nuclei.astype(np.float32), rng.uniform(0.5, 2.0))
    light = np.exp(sum(clouds)) * (1 - hidden) * rng.uniform(1, 60)
    counts = rng.poisson(light).astype(np.float32)
    return preprocess(np.stack([counts, counts], axis=-1), percentile=99.9, clahe_kernel_size=128)[..., 1]
