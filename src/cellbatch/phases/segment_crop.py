"""Labels of a rectangle of an image as the whole image has them, without segmenting the whole."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cellbatch.io.handoffs import HandoffReader
from cellbatch.phases.loaded_model import HEAD_NAMES, InferenceOptions, LoadedModel, check_compartment
from cellbatch.phases.pixels import PixelReader
from cellbatch.phases.postprocess_labels import resolve_watershed
from cellbatch.postprocessing.crop import label_crop
from cellbatch.spec import Window


def segment_crop(
    pixels: Path,
    sample: str,
    window: Window,
    model: Path,
    options: InferenceOptions | None = None,
    *,
    compartment: str = "both",
    overrides: Mapping[str, float | None] | None = None,
) -> dict[str, np.ndarray]:
    """Segment a rectangle with the context that it needs and with the whole image's statistics.

    The statistics come with the hand-off, so contrast is that of the whole image; the network sees the tiles that the
    whole image has there; and the context is widened until the labels are proven to be the whole image's.

    Parameters
    ----------
    pixels : hand-off of PREPROCESS_IMAGES for the whole image
    sample : its name
    window : rectangle in px at ``model_mpp``
    model : folder of the prepared model
    options : runtime of the network
    compartment : ``both``, ``whole-cell`` or ``nuclear``
    overrides : see ``resolve_watershed``

    Returns
    -------
    dict of compartment to uint32 (y, x) at ``model_mpp``
        The whole image's labels, renumbered 1 … n in their order.

    Raises
    ------
    ValueError
        If the window is empty or lies outside, or no context of reasonable width proves the labels.
    """
    with HandoffReader(pixels) as source:
        image = PixelReader(source, sample)
        loaded = LoadedModel(model, options or InferenceOptions())
        check_compartment(loaded.manifest, compartment)
        loaded.warm_up()
        heads = _Heads(loaded, image, compartment)
        chosen = resolve_watershed(loaded.manifest.selected(compartment), overrides or {})
        return {
            name: label_crop(*(_Head(heads, (name, head)) for head in HEAD_NAMES), window, watershed)
            for name, watershed in chosen.items()
        }


class _Heads:
    """All heads of an image, predicted where they are read; the last rectangles are kept."""

    KEPT = 4

    def __init__(self, model: LoadedModel, image: PixelReader, compartment: str) -> None:
        self.shape = image.shape
        self.names = model.head_names(compartment)
        self._model, self._image, self._compartment = model, image, compartment
        self._kept: dict[Window, np.ndarray] = {}

    def read(self, window: Window) -> np.ndarray:
        """Heads (y, x, K) of a rectangle."""
        if window not in self._kept:
            if len(self._kept) == self.KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[window] = self._model.infer_window(self._image.read, self.shape, window, self._compartment)
        return self._kept[window]


class _Head:
    """One of the heads as an array that is read by rectangles."""

    def __init__(self, heads: _Heads, name: tuple[str, str]) -> None:
        self.shape = heads.shape
        self._heads, self._place = heads, heads.names.index(name)

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Pixels of a rectangle; slices without steps."""
        (y0, y1, _), (x0, x1, _) = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        return np.ascontiguousarray(self._heads.read(Window(y0, y1, x0, x1))[..., self._place])
