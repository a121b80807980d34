"""One image in memory, through the very functions that the pipeline runs."""

from pathlib import Path

import numpy as np

from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel, check_compartment
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.postprocess_labels import make_labels, resolve_watershed
from cellbatch.phases.preprocess_images import prepare_input
from cellbatch.phases.streamed_preprocessing import check_pixels
from cellbatch.postprocessing.resize import choose_sampling
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
    ConfigError
        If the model, the engine, the device or the compartment is not there.
    ValueError
        If the image has another shape than the model wants, or holds NaN or infinite pixels.
    """
    loaded = LoadedModel(find_model(model), InferenceOptions(engine, device))
    return segment_loaded(image, image_mpp, loaded, compartment)


def segment_loaded(
    image: np.ndarray, image_mpp: float, loaded: LoadedModel, compartment: str = "both"
) -> dict[str, np.ndarray]:
    """Segment one image with a model that is already in memory; see ``segment``."""
    manifest = loaded.manifest
    check_compartment(manifest, compartment)
    if image.ndim != 3 or image.shape[2] != len(manifest.channels):
        raise ValueError(f"an image (Y, X, {len(manifest.channels)}) was expected, found shape {image.shape}")
    if not (np.isfinite(image_mpp) and image_mpp > 0):
        raise ValueError(f"image_mpp must be a positive number of um per px, found {image_mpp}")
    pixels = check_pixels(np.asarray(image, np.float32))
    bins, statistics = prepare_input(pixels, image_mpp, manifest, manifest.preprocessing)
    heads = loaded.infer(equalize(bins, statistics, Window(0, bins.shape[0], 0, bins.shape[1])), compartment)
    options = resolve_watershed(manifest.selected(compartment), {})
    sampling = choose_sampling(len(heads))
    return {name: make_labels(maps, options[name], image.shape[:2], sampling=sampling) for name, maps in heads.items()}
