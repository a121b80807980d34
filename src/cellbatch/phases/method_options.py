"""The options of the method by name, and what they change of a model's manifest."""

from collections.abc import Mapping
from typing import Any

from cellbatch.spec import Manifest, override

MODEL_MPP = "model_mpp"
PREPROCESSING = ("percentile", "clahe_kernel_size", MODEL_MPP)
WATERSHED = (
    "maxima_threshold_whole_cell",
    "maxima_threshold_nuclear",
    "interior_threshold",
    "interior_smooth",
    "small_objects_threshold",
    "fill_holes_threshold",
    "radius",
)


def adapt_manifest(manifest: Manifest, overrides: Mapping[str, Any]) -> Manifest:
    """Give a manifest with the user's options of the preprocessing in place of its own.

    Parameters
    ----------
    manifest : of the model
    overrides : of ``PREPROCESSING``, by name; ``None`` values change nothing
    """
    options = {name: value for name, value in overrides.items() if name != MODEL_MPP}
    preprocessing = override(manifest.preprocessing, **options)
    adapted: Manifest = override(manifest, model_mpp=overrides.get(MODEL_MPP), preprocessing=preprocessing)
    return adapted
