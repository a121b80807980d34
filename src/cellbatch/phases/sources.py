"""The staged files of one sample, seen as one image with numbered channels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np

from cellbatch.errors import InputError
from cellbatch.geometry.blocks import cover
from cellbatch.io.folders import ImageCollection
from cellbatch.io.images import open_image
from cellbatch.io.prefetch import read_ahead
from cellbatch.io.reader import ImageReader
from cellbatch.io.scratch import ScratchPlanes
from cellbatch.io.stains import StainReader
from cellbatch.preprocessing.channels import (
    NORM_PERCENTILE,
    channels_of,
    combine,
    normalised_channels,
    parse_recipe,
)
from cellbatch.preprocessing.clip import PercentileSearch
from cellbatch.spec import ImageHeader, ImageSource, ReadOptions, SampleSpec, Window

# rows of a samplesheet that are looked at at once, each with its own folder
ROWS_AHEAD = 8


def staged_path(images: Path, position: int) -> Path:
    """Find the input that was staged as number ``position`` (from 1) of a task."""
    folder = images / str(position)
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    if len(entries) != 1:
        raise InputError(f"{folder}: one staged input was expected here, found {len(entries)}; run the task again")
    return entries[0]


def open_source(images: Path, source: ImageSource, reading: ReadOptions) -> ImageReader:
    """Open a plain file, or a member of a folder or zip; a colour image as its colours and stains."""
    path = staged_path(images, source.position)
    reader = open_collection(path).open(source.member, reading) if source.member else open_image(path, reading)
    if not reader.header.is_colour:
        return reader
    with ExitStack() as stack:
        stack.callback(reader.close)
        stains = StainReader(f"{path}/{source.member}" if source.member else str(path), reader)
        stack.pop_all()
    return stains


def is_empty(images: Path, source: ImageSource) -> bool:
    """Whether a source is a plain file without a byte, or such a member of a folder."""
    path = staged_path(images, source.position) / source.member
    return path.is_file() and path.stat().st_size == 0


@lru_cache(maxsize=2 * ROWS_AHEAD)
def open_collection(path: Path) -> ImageCollection:
    """Open a folder or zip of images; its listing is read once per process."""
    return ImageCollection(path)


# px of a block that is copied at once, and rows of it: long blocks are few reads where pieces lie side by side
COPY_PX = 1 << 22
COPY_ROWS = 512
# blocks on their way at once: enough that a mount on which every read waits does not starve the decoding
COPIES_AHEAD = 4
# what is cheap to read again needs no copy: it lies unpacked on the disk, or in memory, after the first look
UNPACKED_FORMATS = ("npz", "png", "jpeg")


class SampleImage:
    """All channels of one sample, over all its files; threads may read at once.

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
        self._copies: dict[tuple[str, int], tuple[ScratchPlanes, int]] = {}
        for source in sample.sources:
            reader = self._stack.enter_context(open_source(images, source, sample.reading))
            self._readers.append(reader)
            self._role[source.role] = reader
        self._check_unchanged()

    def __enter__(self) -> SampleImage:
        """Return the image itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all files."""
        self._stack.close()

    def header(self, role: str) -> ImageHeader:
        """Header of the file that holds the channels of a role, ``nuclear`` or ``membrane``."""
        if self._source(role) not in self._role:
            raise InputError(f"sample {self.sample.sample}: has no {role} image; name its file in the samplesheet")
        return self._reader(role).header

    def _check_unchanged(self) -> None:
        """Refuse files that are not those of the plan: windows of a larger image would be taken for the whole."""
        headers = [reader.header for reader in self._readers]
        shapes = {header.shape[1:] for header in headers}
        count = sum(header.shape[0] for header in headers)
        if shapes != {self.sample.shape} or count != len(self.sample.channel_names):
            self._stack.close()
            found = ", ".join(f"{header.shape[0]} channels of {header.shape[1:]} px" for header in headers)
            raise InputError(
                f"sample {self.sample.sample}: the image has {found}, the plan saw {len(self.sample.channel_names)} of "
                f"{self.sample.shape}; it was changed while the run went on: run again with -resume"
            )

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
        result = np.empty((*box.shape, len(roles)), np.float32)
        for index, role in enumerate(roles):
            result[..., index] = self._combine(role, box)
        return result

    def missing_chunks(self, roles: tuple[str, ...]) -> int:
        """Parts of the used channels that the file leaves out and that read as fill value.

        Raises
        ------
        InputError
            If they cannot have been left out on purpose.
        """
        return sum(self._role[source].missing_chunks(channel) for source, channel in self._used(roles))

    def copy_channels(self, roles: tuple[str, ...], count_px: Callable[[int], None]) -> None:
        """Copy the used channels to scratch, so that the file is read once, however often the pixels are.

        Blocks are read ahead, whole pieces of the file at a time, and decoded by several threads.

        Parameters
        ----------
        roles : as in ``model_input``
        count_px : is told the pixels of each block that has been copied
        """
        used: dict[str, list[int]] = {}
        for source, channel in self._used(roles):
            header = self._role[source].header
            if header.format not in UNPACKED_FORMATS and not header.forced_bytes:
                used.setdefault(source, []).append(channel)
        for source, channels in used.items():
            reader = self._role[source]
            _, height, width = reader.header.shape
            planes = self._stack.enter_context(ScratchPlanes((len(channels), height, width), reader.header.dtype))

            def copy(
                block: Window, reader: ImageReader = reader, planes: ScratchPlanes = planes, used: list[int] = channels
            ) -> Window:
                for index, channel in enumerate(used):
                    planes.write(index, block, reader.read(channel, block))
                return block

            rows, columns = _copied_blocks(reader.block_shape(channels[0]), (height, width))
            for block in read_ahead(cover((height, width), (rows, columns)), copy, COPIES_AHEAD):
                count_px(block.shape[0] * block.shape[1])
            self._copies.update({(source, channel): (planes, index) for index, channel in enumerate(channels)})

    def _recipe(self, role: str) -> str:
        return {"nuclear": self.sample.nuclear, "membrane": self.sample.membrane}[role]

    def _source(self, role: str) -> str:
        return role if role in self._role else "image"

    def _reader(self, role: str) -> ImageReader:
        return self._role[self._source(role)]

    def _used(self, roles: tuple[str, ...]) -> list[tuple[str, int]]:
        """Channels that the recipes of some roles read, each once."""
        recipes = {role: self._recipe(role) for role in roles}
        found = {
            (self._source(role), channel)
            for role, text in recipes.items()
            if text
            for channel in channels_of(parse_recipe(text))
        }
        return sorted(found)

    def _combine(self, role: str, window: Window) -> np.ndarray:
        text = self._recipe(role)
        if not text:
            return np.zeros(window.shape, np.float32)
        recipe, source = parse_recipe(text), self._source(role)
        percentiles = {channel: self._percentile(source, channel) for channel in normalised_channels(recipe)}
        return combine(recipe, lambda channel: self._read(source, channel, window), percentiles)

    def _read(self, source: str, channel: int, window: Window) -> np.ndarray:
        """Pixels of a channel counted within its file, from its copy if there is one."""
        if (source, channel) in self._copies:
            planes, index = self._copies[source, channel]
            return planes.read(index, window)
        return self._role[source].read(channel, window)

    def _percentile(self, source: str, channel: int) -> float:
        """Percentile by which ``norm`` divides a channel; 0 for a blank one."""
        if (source, channel) not in self._percentiles:
            _, height, width = self._role[source].header.shape
            rows, columns = _copied_blocks(self._role[source].block_shape(channel), (height, width))
            search = PercentileSearch(NORM_PERCENTILE)
            for use in (search.count, search.refine):
                for block in cover((height, width), (rows, columns)):
                    use(self._read(source, channel, block).astype(np.float32))
            self._percentiles[source, channel] = float(search.value() or 0)
        return self._percentiles[source, channel]


def _copied_blocks(piece: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns to copy at once: whole pieces of the file, about ``COPY_PX`` together."""
    rows = min(piece[0] * max(COPY_ROWS // piece[0], 1), shape[0])
    columns = piece[1] * max(COPY_PX // (rows * piece[1]), 1)
    return rows, min(columns, shape[1])
