"""Training fields: drawn tissue, and real nuclei with membranes drawn around them; computed once, kept on disk.

The real nuclei are BBBC038 (2018 Data Science Bowl, stage 1), Caicedo et al. (2019), Nature Methods 16, 1247-1253,
doi:10.1038/s41592-019-0612-7, CC0.
"""

from __future__ import annotations

import ast
import hashlib
import multiprocessing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import crowding
import draw_tissue
import numpy as np
import targets
import tissue_options
import tissue_shapes
import tissue_signal
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import relabel_sequential
from skimage.transform import resize

from cellbatch.preprocessing import preprocess

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Field:
    """One preprocessed image with its answers.

    Attributes
    ----------
    image : (Y, X, 2) float32, as inference sees it
    whole_cell, nuclear : (Y, X) uint32 labels
    distance : (Y, X, 2) float16, whole-cell and nuclear inner distance
    classes : (Y, X, 2) uint8, whole-cell and nuclear pixel classes
    touching : (Y, X, 2) bool, where two cells or two nuclei meet
    """

    image: NDArray[np.float32]
    whole_cell: NDArray[np.uint32]
    nuclear: NDArray[np.uint32]
    distance: NDArray[np.float16]
    classes: NDArray[np.uint8]
    touching: NDArray[np.bool_]


@dataclass(frozen=True)
class Recipe:
    """Which field to make: ``drawn`` or ``real``, of which split, the how-manieth.

    A real one may have nuclei laid against others, a drawn one may be as a widefield microscope sees thick sections.
    """

    kind: str
    split: str
    index: int
    seed: int
    nuclei: str = ""
    is_crowded: bool = False
    is_widefield: bool = False

    @property
    def rng(self) -> np.random.Generator:
        """A stream of random numbers of its own."""
        kind = ("drawn", "real").index(self.kind)
        return np.random.default_rng([self.seed, kind, SPLITS.index(self.split), self.index])


def load_fields(recipes: Iterable[Recipe], cache: Path, workers: int = 2) -> Iterator[Field]:
    """Make or read fields.

    Parameters
    ----------
    recipes : iterable of Recipe
        What to make.
    cache : path
        Folder for finished fields; a change of the generator's source starts a new subfolder.
    workers : int
        Processes.

    Yields
    ------
    Field
        In the order of the recipes.
    """
    folder = cache / _fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for path in pool.imap(_make_cached, [(recipe, folder) for recipe in recipes]):
            with np.load(path) as stored:
                yield Field(**stored)


def make_field(recipe: Recipe) -> Field:
    """Make one field.

    Parameters
    ----------
    recipe : Recipe
        What to make.

    Returns
    -------
    Field
        The field; the same recipe gives the same one.
    """
    rng = recipe.rng
    if recipe.kind == "drawn":
        is_small = rng.random() < 0.15
        shape = tuple(int(n) for n in rng.integers(90, 260, 2)) if is_small else (512, 512)
        options = tissue_options.random_options(rng)
        options = tissue_options.make_widefield(options, rng) if recipe.is_widefield else options
        tissue = draw_tissue.draw_tissue((shape[0], shape[1]), rng, options)
    else:
        nuclei = _read_nuclei(recipe, rng)
        tissue = _grow_tissue(*(crowding.crowd(*nuclei, rng) if recipe.is_crowded else nuclei), rng)
    pair = (tissue.whole_cell, tissue.nuclear)
    return Field(
        image=preprocess(tissue.image.astype(np.float32), percentile=99.9, clahe_kernel_size=128),
        whole_cell=tissue.whole_cell,
        nuclear=tissue.nuclear,
        distance=np.stack([targets.inner_distance(labels) for labels in pair], axis=-1).astype(np.float16),
        classes=np.stack([targets.pixel_classes(labels) for labels in pair], axis=-1),
        touching=np.stack([targets.touching_pixels(labels) for labels in pair], axis=-1),
    )


def nuclei_names(archive: Path, split: str) -> list[str]:
    """Images of the archive that belong to a split: a tenth validates, a tenth tests, by the hash of their name.

    Parameters
    ----------
    archive : path
        NPZ with arrays ``<id>_image`` and ``<id>_labels``.
    split : str
        One of ``SPLITS``.

    Returns
    -------
    list of str
        Ids, sorted.
    """
    with np.load(archive) as stored:
        names = sorted(name.removesuffix("_image") for name in stored.files if name.endswith("_image"))
    part = {name: int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 10 for name in names}
    wanted = {"train": range(2, 10), "validation": (0,), "test": (1,)}[split]
    return [name for name in names if part[name] in wanted]


def _fingerprint() -> str:
    """Hash of the sources that decide how a field looks, and of what preprocessing makes of one image."""
    modules = (crowding, draw_tissue, targets, tissue_options, tissue_shapes, tissue_signal)
    sources = [Path(str(module.__file__)) for module in modules] + [Path(__file__)]
    example = np.random.default_rng(0).poisson(20, (150, 140, 2)).astype(np.float32)
    code = "".join(ast.dump(ast.parse(path.read_text(encoding="utf-8"))) for path in sources)
    return hashlib.sha256(code.encode() + preprocess(example).tobytes()).hexdigest()[:12]


def _make_cached(job: tuple[Recipe, Path]) -> Path:
    """Make a field unless its file is there."""
    recipe, folder = job
    name = recipe.nuclei.rsplit("#", 1)[-1][:16]
    kind = f"{recipe.kind}{'_crowded' * recipe.is_crowded}{'_widefield' * recipe.is_widefield}"
    path = folder / f"{kind}_{recipe.split}_{recipe.seed}_{recipe.index:05d}_{name}.npz"
    if not path.exists():
        unfinished = path.with_name(f".{path.name}.unfinished.npz")
        np.savez(unfinished, **vars(make_field(recipe)))
        unfinished.replace(path)
    return path


def _read_nuclei(recipe: Recipe, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """One real image, scaled to a random nuclear size that tissue at 0.5 µm/px shows."""
    archive, name = recipe.nuclei.rsplit("#", 1)
    with np.load(archive) as stored:
        image, labels = stored[f"{name}_image"].astype(np.float32), stored[f"{name}_labels"].astype(np.uint32)
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    diameter = 2 * np.sqrt(np.median(areas) / np.pi) if len(areas) else 20.0
    scale = float(np.clip(np.exp(rng.uniform(np.log(8), np.log(36))) / diameter, 0.4, 2.0))
    if rng.random() < 0.25:
        scale = 1.0
    shape = tuple(max(int(n * scale), 48) for n in image.shape)
    image = resize(image, shape, order=1, anti_aliasing=scale < 1, preserve_range=True).astype(np.float32)
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(int), old - 1)
        for n, old in zip(shape, labels.shape, strict=True)
    )
    return image, tissue_shapes.keep_largest_pieces(labels[np.ix_(rows, columns)], 10)


def _grow_tissue(
    image: NDArray[np.float32], nuclei: NDArray[np.uint32], rng: np.random.Generator
) -> draw_tissue.Tissue:
    """Cells around real nuclei, a drawn marker on them, and a detector that adds its noise to both or to one."""
    areas = np.bincount(nuclei.ravel())[1:]
    areas = areas[areas > 0]
    nucleus_px = 2 * float(np.sqrt(np.median(areas) / np.pi)) if len(areas) else 15.0
    options = tissue_options.random_options(rng)
    options = replace(
        options,
        cell_diameter_px=max(nucleus_px / options.nucleus_ratio, 8.0),
        marker="absent" if rng.random() < 0.33 else options.marker,
        saturated=0.0,
        bleed=0.3 * options.bleed,
        binning=1,
        illumination=0.3 * options.illumination,
    )
    cells = nuclei
    if len(areas):
        distance, where = ndimage.distance_transform_edt(nuclei == 0, return_indices=True)
        owner = nuclei[tuple(where)]
        reach = 0.5 * (options.cell_diameter_px - nucleus_px) * np.exp(rng.normal(0, 0.3, int(nuclei.max()) + 1))
        wobble = 1 + 0.25 * tissue_shapes.smooth_noise(nuclei.shape, rng, 0.5 * options.cell_diameter_px)
        grown = np.where(distance <= np.maximum(reach, 1.0)[owner] * wobble, owner, 0)
        cells = tissue_shapes.keep_largest_pieces(np.maximum(grown, nuclei).astype(np.uint32), 15)
    cells, brightness = tissue_signal.hide_bare_cells(cells, nuclei, rng, options)
    marker = tissue_signal.draw_marker_signal(cells, nuclei, brightness, rng, options)
    bright = max(float(np.quantile(image, 0.995)), 1.0)
    recorded = tissue_signal.record(np.stack([image / bright, marker], axis=-1), rng, options)
    if rng.random() < 0.6:
        recorded[..., 0] = np.rint(image)
    if options.marker == "absent" and rng.random() < 0.7:
        recorded[..., 1] = 0
    whole_cell, nuclear = (np.asarray(relabel_sequential(labels)[0], np.uint32) for labels in (cells, nuclei))
    return draw_tissue.Tissue(recorded, whole_cell, nuclear)
