"""One door to every image format: headers without pixels, and readers of rectangles."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from cellbatch.errors import InputError
from cellbatch.io.arrays import open_npy, open_npz
from cellbatch.io.ome_zarr import is_ome_zarr, open_ome_zarr
from cellbatch.io.pictures import open_picture
from cellbatch.io.reader import ImageReader, ReadOptions
from cellbatch.io.tiff import open_tiff
from cellbatch.io.vendor_files import PLUGINS, open_vendor_file
from cellbatch.spec import ImageHeader

__all__ = ["SUFFIXES", "ImageReader", "ReadOptions", "is_ome_zarr", "is_supported", "open_image", "read_header"]

logger = logging.getLogger(__name__)

# a picture that needs no more than this is worth no word
REMARKED_BYTES = 32 << 20
Opener = Callable[[Path, str, ReadOptions], ImageReader]
SUFFIXES: dict[str, Opener] = {
    ".tif": open_tiff,
    ".tiff": open_tiff,
    ".btf": open_tiff,
    ".tf8": open_tiff,
    ".tf2": open_tiff,
    ".qptiff": open_tiff,
    ".npy": open_npy,
    ".npz": open_npz,
    ".png": open_picture,
    ".jpg": open_picture,
    ".jpeg": open_picture,
    **dict.fromkeys(PLUGINS, open_vendor_file),
}


def is_supported(name: str) -> bool:
    """Whether a file of this name can be an image, judged by its suffix."""
    return Path(name).suffix.lower() in SUFFIXES


def opens_in_threads(name: str) -> bool:
    """Whether files of this name may be opened by several threads at once, judged by their suffix.

    Libraries for other formats change settings of the whole process while they open a file, or say nothing of threads.
    """
    return SUFFIXES.get(Path(name).suffix.lower()) in (open_tiff, open_npy, open_npz)


def read_header(path: Path, options: ReadOptions | None = None, name: str | None = None) -> ImageHeader:
    """Read what is known of an image before its pixels are read.

    Parameters
    ----------
    path : file, or folder of an OME-Zarr
    options : choices that the file leaves open
    name : what messages call it; the path by default

    Returns
    -------
    ImageHeader
        shape ``(C, Y, X)``, dtype, channel names, µm per px where the file states it, format

    Raises
    ------
    InputError
        if the file is absent, damaged, cut short, or of a kind that is not read; the message says what to do
    """
    with open_image(path, options, name) as reader:
        return reader.header


def open_image(path: Path, options: ReadOptions | None = None, name: str | None = None) -> ImageReader:
    """Open an image for reading rectangles of single channels.

    Parameters
    ----------
    path : file, or folder of an OME-Zarr
    options : choices that the file leaves open
    name : what messages call it; the path by default

    Returns
    -------
    ImageReader
        to be used as a context manager

    Raises
    ------
    InputError
        if the file is absent, damaged, cut short, or of a kind that is not read; the message says what to do
    OSError
        if the system does not let it be read
    """
    path = Path(path)
    label = name or str(path)
    chosen = options or ReadOptions()
    _check_there(path, label)
    if path.is_dir():
        if not is_ome_zarr(path):
            raise InputError(f"{label}: is a folder that is no OME-Zarr; give an image file, or a folder of images")
        return open_ome_zarr(path, label, chosen)
    opener = SUFFIXES.get(path.suffix.lower())
    if opener is None:
        raise InputError(
            f"{label}: files of type {path.suffix or 'unknown'!r} are not read; expected OME-Zarr or one of "
            f"{', '.join(sorted(SUFFIXES))}: convert it to OME-TIFF"
        )
    if path.stat().st_size == 0:
        raise InputError(f"{label}: the file is empty; copy it again")
    try:
        path.open("rb").close()
    except OSError as error:
        error.filename = label
        raise
    reader = opener(path, label, chosen)
    if reader.header.forced_bytes > REMARKED_BYTES:
        logger.warning(
            "%s: its pixels come in pieces so large that reading any of them takes %.0f MB; "
            "write it tiled, as OME-TIFF, to need less",
            label,
            reader.header.forced_bytes / 1e6,
        )
    return reader


def _check_there(path: Path, label: str) -> None:
    """Refuse a path without a file; a staged one whose target went away since is named by its target."""
    if path.exists():
        return
    if path.is_symlink():
        raise InputError(
            f"{label}: the file {path.readlink()} is not there any more; bring it back and run again with -resume"
        )
    raise InputError(f"{label}: no such file; correct the path in the samplesheet")
