"""Light of drawn tissue: nuclear and marker signal, optics and detector.

References
----------
Optics as a Gaussian blur and detection as a Poisson process with an offset: Svoboda & Ulman (2017), MitoGen, IEEE
Transactions on Medical Imaging 36, 310-321, doi:10.1109/TMI.2016.2606545 (the idea of a simulated microscope).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import resize
from tissue_options import TissueOptions
from tissue_shapes import FloatImage, LabelImage, keep_largest_pieces, smooth_noise

BARE_MARGIN_PX = 3.0


def draw_nuclear_signal(
    nuclei: LabelImage, thickness: FloatImage, rng: np.random.Generator, options: TissueOptions
) -> FloatImage:
    """Light of a DNA stain.

    Parameters
    ----------
    nuclei : (Y, X) uint32
        Nuclear labels.
    thickness : (Y, X) float32
        Optical thickness of nuclei.
    rng : numpy.random.Generator
        Source of all choices.
    options : TissueOptions
        The recipe.

    Returns
    -------
    (Y, X) float32
        Signal of about 1 inside a typical nucleus.
    """
    brightness = np.exp(rng.normal(0, options.nuclear_contrast, int(nuclei.max()) + 1)).astype(np.float32)
    area = np.maximum(np.bincount(nuclei.ravel(), minlength=len(brightness)), 1)
    brightness *= (np.median(area[1:]) / area if len(area) > 1 else area) ** (0.5 * options.condensation)
    where = ndimage.distance_transform_edt(nuclei == 0, return_distances=False, return_indices=True)
    gain = ndimage.gaussian_filter(brightness[nuclei[tuple(where)]], 1.0)
    texture = np.exp(options.chromatin * smooth_noise(nuclei.shape, rng, rng.uniform(2, 5)))
    return np.asarray(thickness * gain * texture, np.float32)


def hide_bare_cells(
    cells: LabelImage, nuclei: LabelImage, rng: np.random.Generator, options: TissueOptions
) -> tuple[LabelImage, FloatImage]:
    """Choose each cell's marker brightness, and cut cells without marker down to what can be seen.

    Parameters
    ----------
    cells, nuclei : (Y, X) uint32
        Labels.
    rng : numpy.random.Generator
        Source of all choices.
    options : TissueOptions
        The recipe.

    Returns
    -------
    visible : (Y, X) uint32
        Cells with marker as they are; cells without as their nucleus and 3 px (1.5 µm) around it, or nothing.
    brightness : (n + 1,) float32
        Marker brightness by cell label, 0 for bare cells and background.
    """
    count = int(cells.max()) + 1
    brightness = np.exp(rng.normal(0, 0.35, count)).astype(np.float32)
    brightness[rng.random(count) < options.marker_absent] = 0
    brightness[0] = 0
    if options.marker in ("absent", "unrelated"):
        brightness[:] = 0
    return cut_to_nuclei(cells, nuclei, brightness[cells] > 0), brightness


def cut_to_nuclei(cells: LabelImage, nuclei: LabelImage, kept: NDArray[np.bool_] | bool = False) -> LabelImage:
    """Cut cells down to what can be seen without marker: their nucleus and 3 px (1.5 µm) around it, or nothing.

    Parameters
    ----------
    cells, nuclei : (Y, X) uint32
        Labels.
    kept : (Y, X) bool
        Where cells stay as they are.

    Returns
    -------
    (Y, X) uint32
        Of a cell in pieces the largest.
    """
    near_nucleus = ndimage.distance_transform_edt(nuclei == 0) <= BARE_MARGIN_PX
    visible = np.where(kept | near_nucleus, cells, 0).astype(np.uint32)
    return keep_largest_pieces(visible, 15)


def draw_marker_signal(
    cells: LabelImage,
    nuclei: LabelImage,
    brightness: FloatImage,
    rng: np.random.Generator,
    options: TissueOptions,
) -> FloatImage:
    """Light of a membrane or cytoplasm marker, shared by touching cells, broken and absent in places.

    Parameters
    ----------
    cells, nuclei : (Y, X) uint32
        Labels.
    brightness : (n + 1,) float32
        Marker brightness by cell label.
    rng : numpy.random.Generator
        Source of all choices.
    options : TissueOptions
        The recipe.

    Returns
    -------
    (Y, X) float32
        Signal of about 1 on a typical outline.
    """
    shape = cells.shape
    if options.marker == "unrelated":
        return _draw_unrelated(shape, rng, options)
    count = len(brightness)
    on_membrane = np.full(count, float(options.marker == "membrane"))
    if options.marker == "mixed":
        on_membrane = rng.beta(0.6, 0.6, count)
    outline = np.exp(-((_depth(cells) / options.membrane_width_px) ** 2))
    gaps = smooth_noise(shape, rng, 0.7 * options.cell_diameter_px)
    kept = 1 / (1 + np.exp(-6 * (gaps - np.quantile(gaps, options.marker_broken)))) if options.marker_broken else 1.0
    signal = outline * kept * (brightness * on_membrane)[cells]
    grain = np.exp(0.35 * smooth_noise(shape, rng, 3.0))
    in_cytoplasm = np.where(ndimage.gaussian_filter((nuclei > 0).astype(np.float32), 0.7) > 0.5, 0.35, 1.0)
    filled = np.maximum(options.fill, 0.8 * (1 - on_membrane))
    signal += grain * in_cytoplasm * (brightness * filled)[cells]
    # light of an outline reaches the other side of it
    signal = np.maximum(signal, 0.6 * ndimage.grey_dilation(signal, 3) * (cells == 0))
    if options.stroma:
        fibres = np.exp(-((np.abs(smooth_noise(shape, rng, 14)) / 0.15) ** 2)) * (smooth_noise(shape, rng, 60) > 0)
        signal += options.stroma * (cells == 0) * (fibres + 0.3)
    return np.asarray(signal * np.exp(0.25 * smooth_noise(shape, rng, 12)), np.float32)


def _draw_unrelated(shape: tuple[int, int], rng: np.random.Generator, options: TissueOptions) -> FloatImage:
    """Light that follows no cell: a cloudy ground, fibres, bright spots and dark folds."""
    signal = rng.uniform(0.1, 0.6) * np.exp(rng.uniform(0.1, 0.5) * smooth_noise(shape, rng, rng.uniform(4, 60)))
    if rng.random() < 0.6:
        fibres = np.exp(-((smooth_noise(shape, rng, rng.uniform(10, 40)) / 0.12) ** 2))
        signal = signal + options.stroma * fibres * (smooth_noise(shape, rng, 60) > 0.3)
    if rng.random() < 0.6:
        signal = signal + rng.uniform(0.5, 3) * (smooth_noise(shape, rng, rng.uniform(6, 20)) > 2.3)
    if rng.random() < 0.3:
        signal = signal * (smooth_noise(shape, rng, 25) < 2.0)
    return np.asarray(signal, np.float32)


def record(signal: FloatImage, rng: np.random.Generator, options: TissueOptions) -> NDArray[np.uint16]:
    """Record the light as a microscope or mass cytometer does.

    Parameters
    ----------
    signal : (Y, X, 2) float32
        Nuclear and marker signal, bright level 1.
    rng : numpy.random.Generator
        Source of all choices.
    options : TissueOptions
        The recipe.

    Returns
    -------
    (Y, X, 2) uint16
        Recorded image: bleed-through, debris, blur, uneven light, binning, counting noise, saturation.
    """
    light = signal + options.bleed * signal[..., ::-1]
    light = light + options.background
    for channel in range(2):
        options_here = replace(options, photons=options.photons * float(np.exp(rng.normal(0, 0.4))))
        light[..., channel] = _record_channel(light[..., channel], rng, options_here)
    full_well = 65535.0 if options.full_scale > 300 else 4 * options.full_scale
    return np.clip(np.rint(light * options.full_scale), 0, min(full_well, 65535.0)).astype(np.uint16)


def _record_channel(light: FloatImage, rng: np.random.Generator, options: TissueOptions) -> FloatImage:
    """One channel through optics and detector, in units of the bright level."""
    shape = light.shape
    if options.debris:
        specks = rng.random(shape) < options.debris / 1e4
        size = rng.uniform(0.5, 2.0)
        light = light + ndimage.gaussian_filter(specks * rng.exponential(4.0, shape), size) * 2 * np.pi * size**2
    if options.haze:
        light = light + options.haze * ndimage.gaussian_filter(light, options.haze_px)
    light = ndimage.gaussian_filter(light, options.blur_px)
    drop = smooth_noise(shape, rng, max(shape)) + np.linspace(-1, 1, shape[0])[:, None] * rng.normal()
    drop = (drop - drop.min()) / max(float(np.ptp(drop)), 1e-9)
    light = light * (1 - options.illumination * drop)
    if options.saturated:
        y, x = rng.uniform(0, 1, 2) * shape
        far = np.hypot(*np.ogrid[-y : shape[0] - y - 0.5, -x : shape[1] - x - 0.5]) / (options.saturated * max(shape))
        light = np.minimum(light * (1 + 8 * np.exp(-(far**2) * 3)), 1.6)
    if options.binning > 1:
        small = tuple(max(n // options.binning, 1) for n in shape)
        light = resize(light, small, order=1, anti_aliasing=True)
    counts = rng.poisson(np.maximum(light, 0) * options.photons) / options.photons
    counts = np.maximum(counts + rng.normal(0, 0.004, counts.shape), 0)
    return np.asarray(resize(counts, shape, order=1) if options.binning > 1 else counts, np.float32)


def _depth(labels: LabelImage) -> FloatImage:
    """Distance in px of labelled pixels to the next pixel that belongs to something else; 0 on the outline."""
    padded = np.pad(labels, 1, mode="edge")
    differs = np.zeros(labels.shape, bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        differs |= padded[dy : dy + labels.shape[0], dx : dx + labels.shape[1]] != labels
    return np.asarray(ndimage.distance_transform_edt(~(differs & (labels > 0))), np.float32)
