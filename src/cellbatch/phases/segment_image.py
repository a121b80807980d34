"""One image in memory, through the very functions that the pipeline runs."""

from pathlib import Path

import numpy as np

from cellbatch.phases.infer_tiles import InferenceOptions, LoadedModel
from cellbatch.phases.postprocess_labels import make_labels, resolve_watershed
from cellbatch.phases.prepare_model import find_model
from cellbatch.phases.preprocess_images import prepare_input
from cellbatch.preprocessing.statistics import equalize
from cellbatch.spec import Window


def segment(
    image: np.ndarray,
    *,
    image_mpp: float,
    model: str | Path = "demo",
    compartment: str = "both",
    engine: str = "onnxruntime",
    device: str = "auto",
) -> dict[str, np.ndarray]:
    """Segment one image.

    Parameters
    ----------
    image : (Y, X, C) of numbers, channels in the model's order (nuclear, then membrane)
    image_mpp : µm per px
    model : ``demo`` or a model folder
    compartment : ``both``, ``whole-cell`` or ``nuclear``
    engine : ``onnxruntime`` or ``tensorflow``
    device : ``auto``, ``cpu`` or ``gpu``

    Returns
    -------
    dict of compartment (``whole_cell``, ``nuclear``) to uint32 (Y, X) labels

    Raises
    ------
    ValueError
        If the image has another shape than the model wants, or holds NaN or infinite pixels.
    """
    loaded = LoadedModel(find_model(model), InferenceOptions(engine, device))
    manifest = loaded.manifest
    if image.ndim != 3 or image.shape[2] != len(manifest.channels):
        raise ValueError(f"an image (Y, X, {len(manifest.channels)}) was expected, found shape {image.shape}")
    pixels = np.asarray(image, np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError("the image holds NaN or infinite pixels")
    bins, statistics = prepare_input(pixels, image_mpp, manifest, manifest.preprocessing)
    heads = loaded.infer(equalize(bins, statistics, Window(0, bins.shape[0], 0, bins.shape[1])), compartment)
    options = resolve_watershed(manifest.selected(compartment), {})
    return {name: make_labels(maps, options[name], image.shape[:2]) for name, maps in heads.items()}
