"""Crowd a picture of real nuclei: copies of its nuclei are laid against others, so that they touch and overlap.

Cut and paste as augmentation: Dwibedi, Misra and Hebert (2017), Cut, Paste and Learn, ICCV,
doi:10.1109/ICCV.2017.146.
"""

from __future__ import annotations

import numpy as np
import tissue_shapes
from numpy.typing import NDArray
from scipy import ndimage

RIM_PX = 2
KEPT_SHARE = 0.6
MOST_COPIES = 150
SMALLEST_PX = 10


def crowd(
    image: NDArray[np.float32], nuclei: NDArray[np.uint32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Lay copies of nuclei, turned and with another brightness, beside and partly over others.

    Parameters
    ----------
    image : (Y, X) float32
        Light of the nuclei, of any scale; not changed.
    nuclei : (Y, X) uint32
        Their labels; not changed.
    rng : numpy.random.Generator
        Source of all choices.

    Returns
    -------
    image : (Y, X) float32
        Light adds up where nuclei overlap, or the brighter shows, one of the two in the whole picture.
    nuclei : (Y, X) uint32
        Labels; an overlap belongs to the copy that was laid last. No copy is laid where it would leave less than
        ``KEPT_SHARE`` of another nucleus, and of a nucleus in pieces the largest stays.
    """
    image, nuclei = image.copy(), nuclei.copy()
    background = float(np.median(image[nuclei == 0])) if (nuclei == 0).any() else 0.0
    boxes = {index + 1: box for index, box in enumerate(ndimage.find_objects(nuclei)) if box}
    cuts = [cut for number, box in boxes.items() if (cut := _cut(image, nuclei, number, box, background))]
    if not cuts:
        return image, nuclei
    combine = np.add if rng.random() < 0.5 else np.maximum
    whole = dict(enumerate(np.bincount(nuclei.ravel())))
    centres = [np.array(centre) for centre in ndimage.center_of_mass(nuclei > 0, nuclei, list(boxes))]
    radii = [float(np.sqrt(whole[number] / np.pi)) for number in boxes]
    first, copies = int(nuclei.max()) + 1, min(int(len(boxes) * rng.uniform(0.3, 1.2)) + 1, MOST_COPIES)
    for number in range(first, first + copies):
        light, mask = _turn(*cuts[rng.integers(len(cuts))], rng)
        anchor, angle = rng.integers(len(centres)), rng.uniform(0, 2 * np.pi)
        radius = float(np.sqrt(mask.sum() / np.pi))
        apart = (radii[anchor] + radius) * rng.uniform(0.75, 1.05)
        centre = centres[anchor] + apart * np.array([np.sin(angle), np.cos(angle)])
        corner = np.rint(centre - np.array(mask.shape) / 2).astype(int)
        if (corner < 0).any() or (corner + mask.shape > image.shape).any():
            continue
        place = tuple(slice(start, start + size) for start, size in zip(corner, mask.shape, strict=True))
        covered = np.bincount(nuclei[place][mask], minlength=number + 1)
        left = np.bincount(nuclei.ravel(), minlength=number + 1) - covered
        if any(left[other] < KEPT_SHARE * whole[other] for other in np.flatnonzero(covered) if other):
            continue
        whole[number] = int(mask.sum())
        nuclei[place][mask] = number
        above = light * np.float32(np.exp(rng.normal(0, 0.25)))
        image[place] = np.where(above > 0, background + combine(image[place] - background, above), image[place])
        centres.append(centre)
        radii.append(radius)
    return image, tissue_shapes.keep_largest_pieces(nuclei, SMALLEST_PX)


def _cut(
    image: NDArray[np.float32], nuclei: NDArray[np.uint32], number: int, box: tuple[slice, ...], background: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Light of one nucleus above the background, fading over its rim, and its mask; None where it is not whole."""
    wide = tuple(slice(part.start - RIM_PX, part.stop + RIM_PX) for part in box)
    if any(part.start < 0 or part.stop > size for part, size in zip(wide, image.shape, strict=True)):
        return None
    mask = nuclei[wide] == number
    reach = ndimage.binary_dilation(mask, iterations=RIM_PX)
    if mask.sum() < SMALLEST_PX or (reach & (nuclei[wide] != number) & (nuclei[wide] != 0)).any():
        return None
    weight = np.where(mask, 1.0, reach * ndimage.gaussian_filter(mask.astype(np.float32), 1.0))
    return (np.maximum(image[wide] - background, 0) * weight).astype(np.float32), mask


def _turn(
    light: NDArray[np.float32], mask: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Both turned by one random angle, and mirrored at times."""
    degrees = float(rng.uniform(0, 360))
    turned = ndimage.rotate(light, degrees, order=1), ndimage.rotate(mask.astype(np.float32), degrees, order=1) > 0.5
    return (turned[0][:, ::-1], turned[1][:, ::-1]) if rng.random() < 0.5 else turned
