"""TIFF and its dialects: OME-TIFF, BigTIFF, QPTIFF, ImageJ hyperstacks and plain multi-page files."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellbatch.errors import InputError, let_pass
from cellbatch.io.piece_cache import PieceCache
from cellbatch.io.reader import BaseReader, ReadOptions, checked_header
from cellbatch.io.stacks import Stack, project
from cellbatch.io.tiff_metadata import OmeImage, imagej_channel_names, page_channel_name, resolution_mpp
from cellbatch.io.tiff_pages import PageReader, RawPlane, check_page, check_page_chain, check_stack
from cellbatch.io.tiff_segments import CACHE_BYTES, compression_name, forced_bytes
from cellbatch.io.tiff_series import first_series, lay_out, missing_planes
from cellbatch.spec import ImageHeader, Window

MULTI_SAMPLE_NAMES = ("R", "G", "B")
COLOUR = (
    tifffile.PHOTOMETRIC.RGB,
    tifffile.PHOTOMETRIC.YCBCR,
)
Planes = list[tuple[PageReader | RawPlane, int]]
Channels = list[Planes]
GREY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)


class TiffReader(BaseReader):
    """Open TIFF image.

    MinIsWhite files keep their stored values: writers of this field set the flag without inverting.
    """

    def __init__(
        self, name: str, header: ImageHeader, tif: tifffile.TiffFile, levels: Sequence[Channels], stack: Stack
    ) -> None:
        """Keep the open file and, per resolution and channel, the page and sample of each of its planes."""
        super().__init__(name, header)
        self._tif = tif
        self._levels = levels
        self._stack = stack

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every stored resolution, the full one first."""
        return tuple(channels[0][0][0].shape for channels in self._levels)

    def block_shape(self, channel: int) -> tuple[int, int]:
        """Rows and columns of a strip or tile; one row where the file is not compressed."""
        return self._levels[0][channel][0][0].block_shape

    def _read(self, channel: int, window: Window, level: int) -> NDArray[Any]:
        """Pixels of a window that has been checked."""
        planes = self._levels[level][channel]
        return project((plane.read(sample, window) for plane, sample in planes), self._stack)

    def close(self) -> None:
        """Close the file."""
        for plane, _ in (one for channels in self._levels for planes in channels for one in planes):
            plane.close()
        self._tif.close()


def open_tiff(path: Path, name: str, options: ReadOptions) -> TiffReader:
    """Open a TIFF after proving that it holds all bytes it names.

    Parameters
    ----------
    path : file
    name : what messages call it
    options : choices that the file leaves open

    Returns
    -------
    TiffReader
        channels are pages, or samples of a page; of z and t the named planes, other axes must have length 1

    Raises
    ------
    InputError
        if the file is damaged, cut short, or of a kind that is not read

    References
    ----------
    TIFF 6.0; OME-TIFF specification 6.x; parsing by tifffile (Gohlke).
    """
    with _quiet(), ExitStack() as stack:
        try:
            tif = tifffile.TiffFile(path)
            stack.callback(tif.close)
            reader = _open(tif, name, options)
        except (InputError, MemoryError):
            raise
        except (tifffile.TiffFileError, OSError) as error:
            let_pass(name, error)
            raise InputError(f"{name}: cannot be read as TIFF ({error}); write it again or convert it") from error
        except Exception as error:
            # Damaged tags surface anywhere in the parser, as errors of any kind.
            raise InputError(
                f"{name}: its structure is damaged ({type(error).__name__}: {error}); copy or write it again"
            ) from error
        stack.pop_all()
        return reader


def _open(tif: tifffile.TiffFile, name: str, options: ReadOptions) -> TiffReader:
    """Check an open file and lay out its channels."""
    descriptor, size = tif.filehandle.fileno(), int(tif.filehandle.size)
    check_page_chain(name, descriptor, size)
    ome = OmeImage(name, tif.ome_metadata) if tif.is_ome and tif.ome_metadata else None
    series = first_series(tif, name, ome)
    pages = _pages(tif, name, series)
    samples = _samples(name, pages[0], options)
    stack, order = lay_out(name, series, options)
    if pages[0].shaped[1] > 1:
        raise InputError(f"{name}: a page of it holds {pages[0].shaped[1]} planes; write it as OME-TIFF, a page each")
    _check_pages(name, pages, size)
    if series.kind == "imagej":
        check_stack(name, pages)
    for level in series.levels[1:]:
        _check_pages(name, level.pages, size)
    cache = PieceCache(CACHE_BYTES)
    planes = _planes(name, descriptor, series, pages, samples, cache)
    if len(planes) != order.size * len(samples):
        raise InputError(missing_planes(name, order.size, len(planes) // len(samples)))
    channels = _channels(planes, order[:, stack.planes], len(samples))
    height, width = pages[0].shaped[2:4]
    header = ImageHeader(
        shape=(len(channels), height, width),
        dtype=stack.dtype(pages[0].dtype).newbyteorder("=").name,
        channel_names=_channel_names(tif, ome, pages, samples, len(channels)),
        image_mpp=_image_mpp(name, tif, ome, pages[0]),
        format={"ome": "ome-tiff", "qpi": "qptiff"}.get(series.kind, "tiff"),
        forced_bytes=max(map(forced_bytes, pages)),
        is_colour=pages[0].photometric in COLOUR,
    )
    coarser = (
        _planes(name, descriptor, level, _pages(tif, name, level), samples, cache) for level in series.levels[1:]
    )
    alike = (level for level in coarser if len(level) == len(planes))
    levels = [channels, *(_channels(level, order[:, stack.planes], len(samples)) for level in alike)]
    return TiffReader(name, checked_header(name, header), tif, levels, stack)


def _channels(planes: Planes, order: NDArray[np.intp], samples: int) -> Channels:
    """Planes of each channel, in channel order."""
    return [[planes[plane * samples + sample] for plane in row] for row in order for sample in range(samples)]


def _pages(tif: tifffile.TiffFile, name: str, series: tifffile.TiffPageSeries) -> list[tifffile.TiffPage]:
    """All pages of a series, each parsed in full: a short parse would trust them to be alike."""
    pages = []
    for page in series.pages:
        if page is None:
            raise InputError(missing_planes(name, len(series.pages), len(tif.pages)))
        if page.parent is not tif:
            raise InputError(f"{name}: its planes lie in several files; join them into one OME-TIFF (bfconvert)")
        if isinstance(page, tifffile.TiffFrame):
            tif.filehandle.seek(page.offset)
            page = tifffile.TiffPage(tif, index=page.index)
        pages.append(page)
    first = pages[0]
    for page in pages:
        if _kind_of(page) != _kind_of(first):
            raise InputError(
                f"{name}: page {page.index} is {_describe(page)}, page {first.index} {_describe(first)}; "
                "expected equal pages: write it again"
            )
    return pages


def _kind_of(page: tifffile.TiffPage) -> tuple[Any, ...]:
    """List what all pages of one image share; readers that look at the first page only rely on it."""
    coding = (page.bitspersample, page.compression, page.predictor, page.fillorder)
    return (page.shaped, page.dtype, page.photometric, page.is_final, *coding)


def _describe(page: tifffile.TiffPage) -> str:
    """Size, type and coding of a page, for messages."""
    lies = "in one piece" if page.is_final else "in parts"
    return f"{lies}, {page.shaped[2:4]} px of {page.dtype} in {page.bitspersample} bits by {compression_name(page)}"


def _check_pages(name: str, pages: Sequence[Any], size: int) -> None:
    """Prove that the pages of one resolution are complete."""
    for page in pages:
        if page is None:
            raise InputError(f"{name}: a level of its pyramid lacks pages; the file is cut short: write it again")
        check_page(name, page, size)


def _samples(name: str, page: tifffile.TiffPage, options: ReadOptions) -> range:
    """Tell which samples of a page are channels."""
    if page.dtype is None:
        raise InputError(f"{name}: pixels of {page.bitspersample} bits are not read; convert it to 8 or 16 bits")
    separate, _, _, _, contiguous = page.shaped
    if page.photometric in GREY:
        return range(separate * contiguous)
    if page.photometric not in COLOUR:
        kind = getattr(page.photometric, "name", page.photometric)
        raise InputError(
            f"{name}: colour model {kind} is not read; expected grey values: convert it to one channel per stain"
        )
    if not options.allow_rgb:
        raise InputError(
            f"{name}: is an RGB colour image, expected fluorescence channels; "
            "write the stains or colours that you want as separate channels, or give --allow_rgb"
        )
    return range(3)


def _planes(
    name: str,
    descriptor: int,
    series: tifffile.TiffPageSeries,
    pages: list[tifffile.TiffPage],
    samples: range,
    cache: PieceCache,
) -> Planes:
    """Page and sample of each channel, in channel order."""
    stored = math.prod(series.shape) // math.prod(pages[0].shape)
    if len(pages) == stored:
        readers: list[PageReader | RawPlane] = [PageReader(name, descriptor, page, cache) for page in pages]
        return [(reader, sample) for reader in readers for sample in samples]
    offset = series.dataoffset
    if len(pages) != 1 or len(samples) != 1 or offset is None:
        raise InputError(
            f"{name}: {len(pages)} pages for an image of shape {series.shape}; the file is damaged: write it again"
        )
    planes: list[PageReader | RawPlane] = [RawPlane(name, descriptor, pages[0], plane) for plane in range(stored)]
    end = offset + stored * math.prod(pages[0].shape) * np.dtype(pages[0].dtype).itemsize
    size = int(series.parent.filehandle.size) if series.parent is not None else 0
    if end > size:
        raise InputError(f"{name}: the file is cut short: it needs {end} bytes and has {size}; copy it again")
    return [(plane, 0) for plane in planes]


def _channel_names(
    tif: tifffile.TiffFile, ome: OmeImage | None, pages: list[tifffile.TiffPage], samples: range, count: int
) -> tuple[str, ...]:
    """One name per channel from the richest source that has exactly as many."""
    if pages[0].photometric in COLOUR and len(pages) == 1:
        return MULTI_SAMPLE_NAMES
    if ome is not None and len(ome.channel_names) == count:
        return ome.channel_names
    if tif.is_imagej and tif.imagej_metadata is not None and ome is None:
        return imagej_channel_names(tif.imagej_metadata, count)
    if len(pages) == count and len(samples) == 1:
        return tuple(page_channel_name(page) for page in pages)
    return ("",) * count


def _image_mpp(name: str, tif: tifffile.TiffFile, ome: OmeImage | None, page: tifffile.TiffPage) -> float | None:
    """Pixel size from the OME header, else from the resolution tags."""
    if ome is not None and ome.states_size:
        return ome.image_mpp
    return resolution_mpp(name, page, tif.imagej_metadata if tif.is_imagej else None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep tifffile's remarks from this thread off the log: what matters in them is checked here."""
    thread = threading.get_ident()

    def is_foreign(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("tifffile")
    logger.addFilter(is_foreign)
    try:
        yield
    finally:
        logger.removeFilter(is_foreign)
