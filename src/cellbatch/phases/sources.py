"""The staged files of one sample, seen as one image with numbered channels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np

from cellbatch.errors import InputError
from cellbatch.io.folders import ImageCollection
from cellbatch.io.images import open_image
from cellbatch.io.reader import ImageReader
from cellbatch.preprocessing.channels import combine
from cellbatch.spec import ImageSource, SampleSpec


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

    def read(self, channel: int) -> np.ndarray:
        """Read the stored pixels (Y, X) of one channel, counted over all files."""
        for reader in self._readers:
            if channel < reader.header.shape[0]:
                return reader.read(channel)
            channel -= reader.header.shape[0]
        raise InputError(f"sample {self.sample.sample}: the image has no channel {channel}")

    def model_input(self, roles: tuple[str, ...]) -> np.ndarray:
        """Read what the network wants, float32 (Y, X, C); an absent membrane is zeros."""
        recipes = {"nuclear": self.sample.nuclear, "membrane": self.sample.membrane}
        planes = [self._combine(role, recipes[role]) for role in roles]
        return np.stack(planes, axis=-1)

    def _combine(self, role: str, recipe: str) -> np.ndarray:
        if not recipe:
            return np.zeros(self.sample.shape, np.float32)
        reader = self._role.get(role) or self._role["image"]
        read: Callable[[int], np.ndarray] = reader.read
        return combine(recipe, read)
