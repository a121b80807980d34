"""PREVIEW_IMAGES: crops of a few images under a small grid of parameters, as contact sheets, before a run is paid."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from cellbatch.io.atomic import write_bytes, write_text
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel, check_compartment
from cellbatch.phases.method_options import PREPROCESSING, WATERSHED, adapt_manifest
from cellbatch.phases.postprocess_labels import make_labels, resolve_watershed
from cellbatch.phases.preprocess_images import prepare_input
from cellbatch.phases.preview_grid import MPP_FACTORS, PreviewCell, PreviewRecipe, lay_grid, parse_recipes
from cellbatch.phases.settle_samples import resolve_channel
from cellbatch.phases.sources import SampleImage
from cellbatch.phases.streamed_preprocessing import check_pixels
from cellbatch.postprocessing.resize import choose_sampling
from cellbatch.preprocessing.statistics import equalize
from cellbatch.reporting.overlays import draw_overlay
from cellbatch.spec import Batch, SampleSpec, Window, override

logger = logging.getLogger(__name__)

CROP_PX = 384
# places of the image that are looked at to choose the crops
PROBES = 64
SHOWN_PX = 256
CAPTION_PX = 30


def preview_images(
    batch: Batch, images: Path, model: Path, parameters: Mapping[str, Any], how: InferenceOptions, outdir: Path
) -> list[Path]:
    """Draw the contact sheets of a few samples, and write a file of parameters per cell.

    Two crops of each are shown, one of the brightest nuclear signal and one of the middle. Each is preprocessed by
    itself, so labels may differ a little from those of the whole image.

    Parameters
    ----------
    batch : the samples
    images : folder with the staged inputs
    model : folder of the prepared model
    parameters : of the run, checked; ``preview_recipes`` names channels to try besides the samples' own
    how : runtime of the network
    outdir : gets, per sample, ``<sample>.preview.png`` and the folder ``<sample>.preview`` with a file for
        ``-params-file`` per cell, ``r<row>c<column>.json``

    Returns
    -------
    list of Path
        Of the sheets.

    Raises
    ------
    ConfigError, InputError
        If the model, a parameter or a channel is not there.
    """
    recipes = parse_recipes(parameters.get("preview_recipes") or "")
    loaded = LoadedModel(model, how)
    check_compartment(loaded.manifest, parameters.get("compartment") or "both")
    cells = list(lay_grid(loaded.manifest, parameters, recipes))
    outdir.mkdir(parents=True, exist_ok=True)
    sheets = []
    for sample in batch.samples:
        logger.info("previewing %s", sample.sample)
        sheet = outdir / f"{sample.sample}.preview.png"
        picture = _draw_sheet(_read_crops(sample, images, loaded.manifest.channels, recipes), sample, cells, loaded)
        files = sheet.with_suffix("")
        files.mkdir(exist_ok=True)
        for cell in cells:
            write_text(files / cell.name, json.dumps(cell.parameters, indent=1) + "\n")
        write_bytes(sheet, picture)
        sheets.append(sheet)
    return sheets


def choose_crops(sample: SampleSpec, image: SampleImage) -> list[Window]:
    """Find the crop with most nuclear signal, and the one in the middle of all; one where the image is small."""
    height, width = sample.shape
    side_y, side_x = min(CROP_PX, height), min(CROP_PX, width)
    steps = max(1, int(PROBES**0.5))
    places = {
        (int(y), int(x))
        for y in np.linspace(0, height - side_y, min(steps, -(-height // side_y)))
        for x in np.linspace(0, width - side_x, min(steps, -(-width // side_x)))
    }
    windows = [Window(y, y + side_y, x, x + side_x) for y, x in sorted(places)]
    signal = [float(image.model_input(("nuclear",), window).mean()) for window in windows]
    order = np.argsort(signal, kind="stable")
    return [windows[order[-1]]] if len(order) == 1 else [windows[order[-1]], windows[order[(len(order) - 1) // 2]]]


def _read_crops(
    sample: SampleSpec, images: Path, channels: tuple[str, ...], recipes: Sequence[PreviewRecipe]
) -> list[list[np.ndarray]]:
    """Pixels of the same crops under each recipe."""
    crops = []
    with SampleImage(sample, images) as image:
        windows = choose_crops(sample, image)
        for recipe in recipes:
            resolved = {
                role: resolve_channel(text, image.header(role), f"{role}_channel")
                for role, text in (("nuclear", recipe.nuclear), ("membrane", recipe.membrane))
                if text
            }
            with SampleImage(override(sample, **resolved), images) as seen:
                crops.append([check_pixels(seen.model_input(channels, window)) for window in windows])
    return crops


def _draw_sheet(
    crops: Sequence[Sequence[np.ndarray]], sample: SampleSpec, cells: Sequence[PreviewCell], loaded: LoadedModel
) -> bytes:
    """Segment every crop under every cell's parameters; the network runs once per crop, recipe and pixel size."""
    rows = 1 + max(cell.row for cell in cells)
    wide, high = SHOWN_PX * len(crops[0]) + 4, SHOWN_PX + CAPTION_PX
    sheet = Image.new("RGB", (wide * len(MPP_FACTORS), high * rows), "white")
    pen = ImageDraw.Draw(sheet)
    per_recipe = rows // len(crops)
    for recipe, pictures in enumerate(crops):
        for column in range(len(MPP_FACTORS)):
            shown = [cell for cell in cells if cell.column == column and cell.row // per_recipe == recipe]
            for place, crop in enumerate(pictures):
                for cell, picture in zip(shown, _segment_crop(crop, sample, shown, loaded), strict=True):
                    corner = (column * wide + place * SHOWN_PX, cell.row * high)
                    sheet.paste(picture, (corner[0], corner[1] + CAPTION_PX))
                    if place == 0:
                        pen.text((corner[0] + 2, corner[1] + 2), cell.caption, fill="black")
    target = io.BytesIO()
    sheet.save(target, "PNG")
    return target.getvalue()


def _segment_crop(
    crop: np.ndarray, sample: SampleSpec, cells: Sequence[PreviewCell], loaded: LoadedModel
) -> list[Image.Image]:
    """Outlines of one crop under cells that differ in their thresholds only."""
    first = cells[0].parameters
    compartment = first.get("compartment") or "both"
    manifest = adapt_manifest(loaded.manifest, {name: first.get(name) for name in PREPROCESSING})
    bins, statistics = prepare_input(crop, sample.image_mpp, manifest, manifest.preprocessing)
    whole = Window(0, bins.shape[0], 0, bins.shape[1])
    heads = loaded.infer(equalize(bins, statistics, whole), compartment)
    pictures = []
    for cell in cells:
        watershed = resolve_watershed(
            manifest.selected(compartment), {name: cell.parameters.get(name) for name in WATERSHED}
        )
        how = partial(make_labels, shape=crop.shape[:2], sampling=choose_sampling(len(heads)))
        labels = {name: how(maps, watershed[name]) for name, maps in heads.items()}
        picture = Image.fromarray(draw_overlay(crop, labels.get("whole_cell"), labels.get("nuclear")))
        picture.thumbnail((SHOWN_PX, SHOWN_PX), Image.Resampling.LANCZOS)
        pictures.append(picture)
    return pictures
