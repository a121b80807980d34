"""The labels hand-off, read by rectangles, and the OME-Zarr of a sample that is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellbatch.errors import InputError
from cellbatch.io.handoffs import HandoffReader
from cellbatch.io.label_zarr import ZarrImage, write_label_zarr
from cellbatch.phases.handoff_files import open_handoff
from cellbatch.phases.results_layout import BATCH, SAMPLE, join_labels
from cellbatch.phases.sources import SampleImage
from cellbatch.spec import SampleSpec, Window

LABEL_NAMES = ("whole_cell", "nuclear", "nuclear_matched")
# whole numbers that a recipe of one channel passes on unchanged as float32
EXACT_DTYPES = ("uint8", "int8", "uint16", "int16")


@dataclass(frozen=True)
class LabelFiles:
    """Where labels go: ``folder`` gets ``<sample>.<compartment>.ome.tif`` if wanted, ``handoff`` is always written.

    With ``layout`` ``batch`` the former end in ``<batch>.zip``.
    """

    folder: Path
    handoff: Path
    is_tiff_wanted: bool = True
    layout: str = SAMPLE

    def join(self, batch: str) -> None:
        """Give the label images of a batch one file, where that layout is asked for."""
        if self.layout == BATCH:
            join_labels(self.folder, batch)


class HandoffLabels:
    """Labels of one sample, uint32 (Y, X) at image resolution, read by rectangles.

    Parameters
    ----------
    handoff : of POSTPROCESS_LABELS
    sample, name : as written

    Raises
    ------
    InputError
        If the hand-off does not hold them.
    """

    dtype = np.dtype(np.uint32)

    def __init__(self, handoff: HandoffReader, sample: str, name: str) -> None:
        height, width = handoff.shape(sample, name)
        self.shape = (height, width)
        self._handoff, self._sample, self._name = handoff, sample, name

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Labels of a rectangle; slices without steps."""
        (y0, y1, _), (x0, x1, _) = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        return self._handoff.read(self._sample, self._name, Window(y0, max(y0, y1), x0, max(x0, x1)))


def open_labels(path: Path, sample: SampleSpec) -> dict[str, HandoffLabels]:
    """Open all labels of a sample: ``whole_cell``, ``nuclear``, ``nuclear_matched``, as far as they were made.

    Raises
    ------
    InputError
        If there are none, or their size is not the image's.
    """
    source = open_handoff(path)
    held = source.names(sample.sample)
    labels = {name: HandoffLabels(source, sample.sample, name) for name in LABEL_NAMES if name in held}
    shapes = {name: one.shape for name, one in labels.items()}
    if not labels or set(shapes.values()) != {sample.shape}:
        raise InputError(f"{path.name} holds labels {shapes} for an image of {sample.shape} px; run its phase again")
    return labels


def write_sample_zarr(folder: Path, sample: SampleSpec, image: SampleImage, labels: Path) -> Path:
    """Write ``<sample>.ome.zarr``: the segmented channels with all labels inside.

    Parameters
    ----------
    folder : where to write
    image : the opened image of the sample
    labels : hand-off of POSTPROCESS_LABELS
    """
    path = folder / f"{sample.sample}.ome.zarr"
    write_label_zarr(path, segmented_channels(sample, image), open_labels(labels, sample))
    return path


def segmented_channels(sample: SampleSpec, image: SampleImage) -> ZarrImage:
    """See the channels that were segmented as an image; as they are stored where whole numbers pass unchanged."""
    recipes = {"nuclear": sample.nuclear, "membrane": sample.membrane}
    used = {role: recipe for role, recipe in recipes.items() if recipe}
    is_stored = sample.dtype in EXACT_DTYPES and all(recipe.isdecimal() for recipe in used.values())
    dtype: np.dtype[Any] = np.dtype(sample.dtype if is_stored else np.float32)
    return ZarrImage(
        shape=sample.shape,
        dtype=dtype,
        image_mpp=sample.image_mpp,
        channels={role: _channel_name(sample, role, recipe) for role, recipe in used.items()},
        read=lambda role, window: image.model_input((role,), window)[..., 0].astype(dtype, copy=False),
    )


def _channel_name(sample: SampleSpec, role: str, recipe: str) -> str:
    """Name of the channel, or the recipe, or the role where the image is one of a file per channel."""
    if not recipe.isdecimal():
        return recipe
    names = sample.channel_names if any(source.role == "image" for source in sample.sources) else ()
    return (names[int(recipe)] if int(recipe) < len(names) else "") or role
