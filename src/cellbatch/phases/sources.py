"""The staged files of one sample, seen as one image with numbered channels."""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np

from cellbatch.errors import InputError
from cellbatch.io.folders import ImageCollection
from cellbatch.io.images import open_image
from cellbatch.io.reader import ImageReader
from cellbatch.preprocessing.channels import NORM_PERCENTILE, combine, normalised_channels, parse_recipe
from cellbatch.preprocessing.clip import nonzero_percentile
from cellbatch.spec import ImageSource, SampleSpec, Window


def staged_path(images: Path, position: int) -> Path:
    """Find the input that was staged as number ``position`` (from 1) of a task."""
    folder = images / str(position)
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    if len(entries) != 1:
        raise InputError(f"{folder}: one staged input was expected here, found {len(entries)}; run the task again")
    return entries[0]


def open_source(images: Path, source: ImageSource) -> ImageReader:
    """Open a plain file, or a member of a folder or zip."""
    path = staged_path(images, source.position)
    return open_collection(path).open(source.member) if source.member else open_image(path)


@lru_cache(maxsize=4)
def open_collection(path: Path) -> ImageCollection:
    """Open a folder or zip of images; its listing is read once per process."""
    return ImageCollection(path)


class SampleImage:
    """All channels of one sample, over all its files.

    Channels are numbered through its files in order; a recipe counts within the file of its role.

    Parameters
    ----------
    sample : what to open
    images : folder with the staged inputs
    """

    def __init__(self, sample: SampleSpec, images: Path) -> None:
        self.sample = sample
        self._stack = ExitStack()
        self._readers: list[ImageReader] = []
        self._role: dict[str, ImageReader] = {}
        self._percentiles: dict[tuple[str, int], float] = {}
        for source in sample.sources:
            reader = self._stack.enter_context(open_source(images, source))
            self._readers.append(reader)
            self._role[source.role] = reader

    def __enter__(self) -> SampleImage:
        """Return the image itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all files."""
        self._stack.close()

    def read(self, channel: int, window: Window | None = None) -> np.ndarray:
        """Read the stored pixels (Y, X) of one channel, counted over all files, whole or within ``window``."""
        for reader in self._readers:
            if channel < reader.header.shape[0]:
                return reader.read(channel, window)
            channel -= reader.header.shape[0]
        raise InputError(f"sample {self.sample.sample}: the image has no channel {channel}")

    def model_input(self, roles: tuple[str, ...], window: Window | None = None) -> np.ndarray:
        """Read what the network wants, at image resolution.

        Parameters
        ----------
        roles : ``nuclear``, ``membrane``; an absent membrane is zeros
        window : half-open rectangle in px; ``None`` = the whole image

        Returns
        -------
        float32 (y, x, C)
            A window equals the same rectangle of the whole, also where a recipe normalises: its percentile is the
            whole channel's, read once.
        """
        box = window or Window(0, self.sample.shape[0], 0, self.sample.shape[1])
        return np.stack([self._combine(role, box) for role in roles], axis=-1)

    def _combine(self, role: str, window: Window) -> np.ndarray:
        text = {"nuclear": self.sample.nuclear, "membrane": self.sample.membrane}[role]
        if not text:
            return np.zeros(window.shape, np.float32)
        recipe = parse_recipe(text)
        source = role if role in self._role else "image"
        reader = self._role[source]
        percentiles = {channel: self._percentile(source, channel) for channel in normalised_channels(recipe)}
        return combine(recipe, lambda channel: reader.read(channel, window), percentiles)

    def _percentile(self, source: str, channel: int) -> float:
        """Percentile by which ``norm`` divides a channel; 0 for a blank one."""
        if (source, channel) not in self._percentiles:
            pixels = self._role[source].read(channel)
            self._percentiles[source, channel] = float(nonzero_percentile(pixels, NORM_PERCENTILE) or 0)
        return self._percentiles[source, channel]
