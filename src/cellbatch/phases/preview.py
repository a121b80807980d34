"""A preview before paying: crops of one image under a small grid of parameters, as a contact sheet."""

from __future__ import annotations

import io
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from cellbatch.errors import ConfigError
from cellbatch.io.atomic import write_bytes, write_text
from cellbatch.phases.loaded_model import LoadedModel, check_compartment
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.postprocess_labels import make_labels, resolve_watershed
from cellbatch.phases.preprocess_images import prepare_input
from cellbatch.phases.segment_files import PREPROCESSING, WATERSHED, SegmentRequest, plan_request
from cellbatch.phases.sources import SampleImage
from cellbatch.phases.streamed_preprocessing import check_pixels
from cellbatch.preprocessing.statistics import equalize
from cellbatch.reporting.overlays import draw_overlay
from cellbatch.spec import CompartmentSpec, SampleSpec, Window, override

logger = logging.getLogger(__name__)

CROP_PX = 384
# places of the image that are looked at to choose the crops
PROBES = 64
SHOWN_PX = 256
CAPTION_PX = 16
# columns of the sheet: what the pixel size is multiplied by
MPP_FACTORS = (1.0, 0.75, 1.33)
# rows: what the model's thresholds are multiplied by
THRESHOLDS: dict[str, dict[str, float]] = {
    "thresholds as they are": {},
    "maxima thresholds halved": {"maxima_threshold": 0.5},
    "maxima thresholds doubled": {"maxima_threshold": 2.0},
    "interior threshold halved": {"interior_threshold": 0.5},
    "interior threshold doubled": {"interior_threshold": 2.0},
}


@dataclass(frozen=True)
class PreviewCell:
    """One cell of the sheet: its place, what it shows, and the parameters that give it."""

    row: int
    column: int
    caption: str
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of its file of parameters."""
        return f"r{self.row + 1}c{self.column + 1}.json"


def preview_image(request: SegmentRequest) -> Path:
    """Draw the contact sheet and write a file of parameters per cell.

    Two crops are shown, one of the brightest nuclear signal and one of the middle. Each is preprocessed by itself, so
    labels may differ a little from those of the whole image.

    Parameters
    ----------
    request : one image, and the parameters around which the grid is laid

    Returns
    -------
    Path
        Of ``<outdir>/<sample>.preview.png``; beside it lies the folder ``<sample>.preview`` with a file for
        ``-params-file`` per cell, ``r<row>c<column>.json``.

    Raises
    ------
    InputError, ConfigError
        As ``segment_files``; also if the request names a folder of images.
    """
    folder = find_model(request.model)
    loaded = LoadedModel(folder, request.how)
    compartment = request.parameters.get("compartment") or "both"
    check_compartment(loaded.manifest, compartment)
    request.outdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".preview.", dir=request.outdir) as staged:
        batches = plan_request(request, folder, Path(staged))
        if len(batches) != 1 or len(batches[0].samples) != 1:
            raise ConfigError("a preview shows one image; name a file instead of a folder")
        sample = batches[0].samples[0]
        with SampleImage(sample, Path(staged) / "images") as image:
            crops = [image.model_input(loaded.manifest.channels, window) for window in choose_crops(sample, image)]
    cells = list(lay_grid(request, sample, loaded.manifest.selected(compartment)))
    pictures = _draw(crops, cells, sample, loaded, compartment, request)
    sheet = request.outdir / f"{sample.sample}.preview.png"
    files = request.outdir / f"{sample.sample}.preview"
    files.mkdir(exist_ok=True)
    for cell in cells:
        write_text(files / cell.name, json.dumps(cell.parameters, indent=1) + "\n")
    write_bytes(sheet, pictures)
    return sheet


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


def lay_grid(
    request: SegmentRequest, sample: SampleSpec, compartments: Mapping[str, CompartmentSpec]
) -> Iterator[PreviewCell]:
    """Cells of the sheet, row by row.

    ``image_mpp`` of a cell holds for images that do not state theirs; else the samplesheet's column must.
    """
    names = (*PREPROCESSING, *WATERSHED, "compartment", "nuclear_channel", "membrane_channel")
    given = {name: request.parameters.get(name) for name in names}
    overrides = {name: given[name] for name in WATERSHED}
    options = resolve_watershed(compartments, overrides)
    for row, (caption, factors) in enumerate(THRESHOLDS.items()):
        changed: dict[str, Any] = {}
        for name, factor in factors.items():
            for compartment, watershed in options.items():
                key = f"{name}_{compartment}" if name == "maxima_threshold" else name
                changed[key] = round(getattr(watershed, name) * factor, 6)
        for column, factor in enumerate(MPP_FACTORS):
            mpp = round(sample.image_mpp * factor, 6)
            parameters = {**given, **changed, "image_mpp": mpp, "model": request.model}
            shown = {name: value for name, value in parameters.items() if value is not None}
            yield PreviewCell(row, column, f"r{row + 1}c{column + 1}: {caption}, {mpp:g} um/px", shown)


def _draw(
    crops: list[np.ndarray],
    cells: list[PreviewCell],
    sample: SampleSpec,
    loaded: LoadedModel,
    compartment: str,
    request: SegmentRequest,
) -> bytes:
    """Segment every crop under every cell's parameters; the network runs once per crop and pixel size."""
    manifest = loaded.manifest
    options = override(manifest.preprocessing, **{name: request.parameters.get(name) for name in PREPROCESSING})
    wide, high = SHOWN_PX * len(crops) + 4, SHOWN_PX + CAPTION_PX
    sheet = Image.new("RGB", (wide * len(MPP_FACTORS), high * len(THRESHOLDS)), "white")
    pen = ImageDraw.Draw(sheet)
    for column in range(len(MPP_FACTORS)):
        of_column = [cell for cell in cells if cell.column == column]
        mpp = of_column[0].parameters["image_mpp"]
        for place, crop in enumerate(crops):
            bins, statistics = prepare_input(check_pixels(crop), mpp, manifest, options)
            whole = Window(0, bins.shape[0], 0, bins.shape[1])
            heads = loaded.infer(equalize(bins, statistics, whole), compartment)
            for cell in of_column:
                overrides = {name: cell.parameters.get(name) for name in WATERSHED}
                watershed = resolve_watershed(manifest.selected(compartment), overrides)
                labels = {name: make_labels(maps, watershed[name], crop.shape[:2]) for name, maps in heads.items()}
                picture = Image.fromarray(draw_overlay(crop, labels.get("whole_cell"), labels.get("nuclear")))
                picture.thumbnail((SHOWN_PX, SHOWN_PX), Image.Resampling.LANCZOS)
                corner = (column * wide + place * SHOWN_PX, cell.row * high)
                sheet.paste(picture, (corner[0], corner[1] + CAPTION_PX))
                if place == 0:
                    pen.text((corner[0] + 2, corner[1] + 2), cell.caption, fill="black")
    target = io.BytesIO()
    sheet.save(target, "PNG")
    return target.getvalue()
