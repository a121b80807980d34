"""Measure a model on real images with masks: ``python training/evaluate_images.py --images ../shared/data/images``.

For every image F1 at IoU 0.5 to 0.9, average precision, splits and merges, next to a baseline (Otsu's threshold and a
watershed of the distance to the background); a contact sheet; and a search for the image in the training archive.
None of the images is used for training or tuning.

References
----------
Otsu (1979), IEEE Transactions on Systems, Man, and Cybernetics 9, 62-66, doi:10.1109/TSMC.1979.4310076.
Average precision as TP / (TP + FP + FN), mean over IoU thresholds: Caicedo et al. (2019), Nature Methods 16,
1247-1253, doi:10.1038/s41592-019-0612-7.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage
from scores import Matches, count_matches, count_splits_and_merges
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import expand_labels, watershed
from skimage.transform import resize

from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.segment_image import segment_loaded

MODEL_FOLDER = Path(__file__).parent.parent / "assets" / "models" / "demo"
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
CELL_RIM_UM = 2.5
CARD_PX = 400
IMC_PREFIX = "20210305_NE_"
Labels = NDArray[np.uint32]


@dataclass(frozen=True)
class Case:
    """An image (Y, X, 2) float32, its pixel size, the compartments that its mask is held against, and that mask."""

    group: str
    image: NDArray[np.float32]
    image_mpp: float
    compartments: tuple[str, ...]
    truth: Labels


@dataclass(frozen=True)
class Scored:
    """The mask of a case, what the model and the baseline found of one compartment."""

    case: Case
    labels: Labels
    baseline: Labels


def read_cases(data: Path) -> Iterator[Case]:
    """Read the images with masks of the folder; see its README for sources and licences.

    Pixel sizes that are stated nowhere: 0.49 µm (500 µm field) for the granuloma, 0.65 µm for CyCIF at 20x, 0.5 µm
    (no resizing) for the cultured nuclei. The mask of the CyCIF exemplar is named after cells and follows nuclei, so it
    is held against both.
    """
    plain = (
        ("stardist_nuclei", "img2d.tif", "mask2d.tif", 0.5, ("nuclear",)),
        ("cycif_dna_tissue", "test.tiff", "mask.tiff", 0.65, ("nuclear",)),
        ("cardiomyocyte_omezarr", "nuc_mem.ome.tif", "mask_fractal_nuclei.tif", 0.65, ("nuclear",)),
        ("mibi_breast_fov8", "nuc_mem.ome.tif", "mask_deepcell_2022.tif", 0.390625, ("whole_cell",)),
        ("mibi_tb_granuloma", "nuc_mem.ome.tif", "mask_study_wholecell.tif", 0.49, ("whole_cell",)),
        ("cycif_exemplar001", "nuc_mem.ome.tif", "mask_mcmicro_cell.tif", 0.65, ("whole_cell", "nuclear")),
    )
    for folder, image, mask, mpp, compartments in plain:
        yield Case(folder, _two_channels(data / folder / image), mpp, compartments, _mask(data / folder / mask))
    for image in sorted((data / "imc_mock/orig").glob("ome__*.ome.tiff")):
        name = image.name.removeprefix("ome__" + IMC_PREFIX).removesuffix(".ome.tiff")
        truth = _mask(data / f"imc_mock/orig/masks_deepcell__{IMC_PREFIX}{name}.tiff")
        yield Case("imc_mock", _two_channels(image, "H3K27Ac", "Cytokeratin 5"), 1.0, ("whole_cell",), truth)


def segment_baseline(case: Case, compartment: str) -> Labels:
    """Otsu's threshold, watershed of the distance transform; for whole cells a rim of 2.5 µm around each nucleus."""
    smooth = ndimage.gaussian_filter(case.image[..., 0], 1.0)
    mask = smooth > threshold_otsu(smooth)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    peaks = peak_local_max(distance, min_distance=max(int(2.0 / case.image_mpp), 2), labels=mask.astype(int))
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-distance, markers, mask=mask)
    if compartment == "whole_cell":
        labels = expand_labels(labels, CELL_RIM_UM / case.image_mpp)
    return np.asarray(labels, np.uint32)


def find_overlap(case: Case, archive: Path) -> float:
    """Search the training images for the middle of an image.

    Parameters
    ----------
    case : Case
        The image; its middle, 96 px or less, is looked for at its own size, half and double.
    archive : path
        NPZ of the training nuclei.

    Returns
    -------
    float
        Largest normalised cross-correlation over all places, -1..1; 1 is the same picture.
    """
    nuclear = case.image[..., 0]
    y, x = (max(n // 2 - 48, 0) for n in nuclear.shape)
    middle = nuclear[y : y + 96, x : x + 96]
    sizes = [[max(int(n * scale), 8) for n in middle.shape] for scale in (0.5, 1.0, 2.0)]
    templates = [resize(middle, size, anti_aliasing=True) for size in sizes]
    best = -1.0
    with np.load(archive) as stored:
        for name in (name for name in stored.files if name.endswith("_image")):
            image = stored[name].astype(np.float32)
            for whole in templates:
                template = whole[: image.shape[0], : image.shape[1]]
                if np.ptp(template) > 0 and np.ptp(image) > 0:
                    best = max(best, _correlate(image, template))
    return best


def _correlate(image: NDArray[np.float32], template: NDArray[np.float32]) -> float:
    """Largest normalised cross-correlation of a template over all places where it fits."""
    zero_mean = template - template.mean()
    ones = np.ones_like(template)
    # lengths of small prime factors, for which a transform takes a fraction of the time
    shape = [fft.next_fast_len(a + b - 1, real=True) for a, b in zip(image.shape, template.shape, strict=True)]
    spectrum, squared = (fft.rfft2(a.astype(float), shape) for a in (image, image**2))

    def slide(values: NDArray[np.float32], other: NDArray[np.complex128]) -> NDArray[np.float64]:
        full = fft.irfft2(other * fft.rfft2(values[::-1, ::-1].astype(float), shape), shape)
        return np.asarray(full[template.shape[0] - 1 : image.shape[0], template.shape[1] - 1 : image.shape[1]])

    spread = slide(ones, squared) - slide(ones, spectrum) ** 2 / template.size
    scale = np.sqrt(np.maximum(spread, 1e-3 * image.size) * np.sum(zero_mean**2))
    return float(np.max(slide(zero_mean, spectrum) / scale))


def draw_card(case: Case, labels: Labels) -> Image.Image:
    """Image with the outlines of mask (blue) and labels (orange), where they agree white."""
    picture = np.zeros((*case.truth.shape, 3))
    low, high = np.percentile(case.image[..., 0], [1, 99.7])
    picture += np.clip((case.image[..., :1] - low) / max(high - low, 1e-9), 0, 1) * 0.7
    factor = max(2 * CARD_PX // max(case.truth.shape), 1)
    picture = picture.repeat(factor, 0).repeat(factor, 1)
    truth, found = (_outlines(a.repeat(factor, 0).repeat(factor, 1)) for a in (case.truth, labels))
    picture[truth] = (0.2, 0.6, 1.0)
    picture[found] = (1.0, 0.6, 0.0)
    picture[truth & found] = 1.0
    card = Image.fromarray((picture * 255).astype(np.uint8))
    card.thumbnail((2 * CARD_PX, 2 * CARD_PX))
    return card


def _outlines(labels: Labels) -> NDArray[np.bool_]:
    """Pixels of objects next to another value."""
    return np.asarray((ndimage.minimum_filter(labels, 3) != ndimage.maximum_filter(labels, 3)) & (labels > 0))


def _two_channels(path: Path, *names: str) -> NDArray[np.float32]:
    """Nuclear and membrane channel, (Y, X, 2); by name where given, zeros where there is no membrane."""
    with tifffile.TiffFile(path) as file:
        planes = np.asarray(file.series[0].asarray(), np.float32)
        if names:
            known = [channel["Name"] for channel in _channels(file)]
            planes = planes[[next(i for i, one in enumerate(known) if name in one) for name in names]]
    planes = planes[None] if planes.ndim == 2 else planes[:2]
    if len(planes) == 1:
        planes = np.concatenate([planes, np.zeros_like(planes)])
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def _channels(file: tifffile.TiffFile) -> list[dict[str, str]]:
    """Channels of an OME-TIFF's header."""
    pixels = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]
    return list(pixels["Channel"])


def _mask(path: Path) -> Labels:
    return np.asarray(tifffile.imread(path)).squeeze().astype(np.uint32)


def _report(group: str, method: str, pairs: list[tuple[Labels, Labels]]) -> str:
    """One line of the table: objects and scores of a group of images."""
    counts = [[count_matches(truth, labels, iou) for truth, labels in pairs] for iou in IOUS]
    pooled = [Matches(*np.sum(one, axis=0).tolist()) for one in counts]
    splits, merges = np.sum([count_splits_and_merges(truth, labels) for truth, labels in pairs], axis=0)
    objects = pooled[0].true_positive + pooled[0].false_negative
    found = pooled[0].true_positive + pooled[0].false_positive
    precision = np.mean([m.true_positive / max(sum(m), 1) for m in pooled])
    scores = " | ".join(f"{m.f1:.3f}" for m in pooled)
    return f"| {group} | {method} | {objects} | {found} | {scores} | {precision:.3f} | {splits} | {merges} |\n"


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description="Measure a model on real images with masks.")
    parser.add_argument("--images", type=Path, required=True, help="folder of images with masks")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER, help="model folder")
    parser.add_argument("--nuclei", type=Path, help="training archive, searched for the images")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write, PNG")
    args = parser.parse_args(argv)
    model = LoadedModel(args.model, InferenceOptions(device="cpu", threads=2))
    results: dict[str, list[Scored]] = {}
    cases = list(read_cases(args.images))
    for case in cases:
        found = segment_loaded(case.image, case.image_mpp, model)
        for compartment in case.compartments:
            name = f"{case.group}, {compartment.replace('_', ' ')}"
            scored = Scored(case, found[compartment], segment_baseline(case, compartment))
            results.setdefault(name, []).append(scored)
    names = " | ".join(f"F1 at {iou}" for iou in IOUS)
    sys.stdout.write(f"| images | method | in mask | found | {names} | AP | splits | merges |\n")
    sys.stdout.write("|---" * (7 + len(IOUS)) + "|\n")
    for name, entries in results.items():
        sys.stdout.write(_report(name, model.manifest.name, [(one.case.truth, one.labels) for one in entries]))
        sys.stdout.write(_report(name, "baseline", [(one.case.truth, one.baseline) for one in entries]))
    if args.nuclei:
        for group in dict.fromkeys(case.group for case in cases):
            overlaps = [find_overlap(case, args.nuclei) for case in cases if case.group == group]
            told = f"{group}: largest correlation of its {len(overlaps)} with a training image {max(overlaps):.2f}\n"
            sys.stdout.write(told)
    if args.sheet:
        cards = [draw_card(one.case, one.labels) for entries in results.values() for one in entries[:3]]
        sheet = Image.new("RGB", (3 * 2 * CARD_PX, -(-len(cards) // 3) * 2 * CARD_PX))
        for index, card in enumerate(cards):
            sheet.paste(card, (index % 3 * 2 * CARD_PX, index // 3 * 2 * CARD_PX))
        sheet.save(args.sheet)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
