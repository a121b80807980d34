"""Folders and zip archives of images: their members, and each member opened like a file."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from cellbatch.errors import InputError, let_pass
from cellbatch.io.closing import Closing
from cellbatch.io.images import is_supported, open_image
from cellbatch.io.ome_zarr import ROOT_FILES, is_ome_zarr
from cellbatch.io.reader import ImageReader, ReadOptions
from cellbatch.spec import ImageHeader, Window

IGNORED_FOLDERS = ("__MACOSX",)
DRIVE = re.compile(r"^[A-Za-z]:")


class MemberReader(Closing):
    """An open member of an archive; its unpacked copy goes when it is closed."""

    def __init__(self, reader: ImageReader, copy: Path) -> None:
        """Keep the reader and the place of its copy."""
        self._reader = reader
        self._copy = copy

    @property
    def header(self) -> ImageHeader:
        """Shape, dtype, channel names and pixel size."""
        return self._reader.header

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every stored resolution, the full one first."""
        return self._reader.levels

    def block_shape(self, channel: int) -> tuple[int, int]:
        """Rows and columns that the file decodes together."""
        return self._reader.block_shape(channel)

    def missing_chunks(self, channel: int) -> int:
        """Count the parts of a channel that the file leaves out."""
        return self._reader.missing_chunks(channel)

    def read(self, channel: int, window: Window | None = None, level: int = 0) -> NDArray[Any]:
        """Pixels ``(Y, X)`` of one channel, whole or within ``window``."""
        return self._reader.read(channel, window, level)

    def close(self) -> None:
        """Close the image and delete its copy."""
        self._reader.close()
        _remove(self._copy)


class ImageCollection(Closing):
    """A folder or zip archive of images, opened once for all of its members.

    Parameters
    ----------
    path : folder or ``.zip`` file

    Attributes
    ----------
    members : sorted relative paths of the images; an OME-Zarr inside counts as one, hidden files do not count

    Raises
    ------
    InputError
        if it holds no image, cannot be read, or names files outside of itself
    """

    def __init__(self, path: Path) -> None:
        """List the members."""
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        self._files: dict[str, zipfile.ZipInfo] = {}
        if self.path.is_dir():
            self.members = _folder_members(self.path)
        else:
            self._zip = _open_zip(self.path)
            self._files = _zip_files(self._zip, self.path)
            self.members = _zip_members(self._files)
        if not self.members:
            self.close()
            raise InputError(f"{self.path}: holds no image of a type that is read; give a folder or zip with images")

    def open(self, member: str, options: ReadOptions | None = None) -> ImageReader:
        """Open a member like an image file.

        Raises
        ------
        InputError
            if there is no such member, or it cannot be read
        """
        label = f"{self.path}/{member}"
        if member not in self.members:
            raise InputError(f"{label}: no such image in it; it holds {', '.join(self.members[:5])} ...")
        if self._zip is None:
            return open_image(self.path / member, options, label)
        copy = _make_place(member in self._files, PurePosixPath(member).suffix)
        try:
            _unpack(self._zip, _parts(self._files, member), copy, label)
            return MemberReader(open_image(copy, options, label), copy)
        except BaseException:
            _remove(copy)
            raise

    def close(self) -> None:
        """Close the archive."""
        if self._zip is not None:
            self._zip.close()


def is_collection(path: Path) -> bool:
    """Whether a path is a folder of images or a zip archive, rather than one image."""
    path = Path(path)
    return (path.is_dir() and not is_ome_zarr(path)) or (path.is_file() and path.suffix.lower() == ".zip")


def list_members(path: Path) -> list[str]:
    """Sorted relative paths of the images in a folder or zip archive.

    Raises
    ------
    InputError
        if there is none, or the archive cannot be read
    """
    with ImageCollection(path) as collection:
        return list(collection.members)


def open_member(path: Path, member: str, options: ReadOptions | None = None) -> ImageReader:
    """Open one image of a folder or zip archive; an empty ``member`` means ``path`` itself.

    For many members of one archive, ``ImageCollection`` reads its directory only once.

    Raises
    ------
    InputError
        if it is absent or cannot be read
    """
    if not member:
        return open_image(path, options)
    with ImageCollection(path) as collection:
        return collection.open(member, options)


def _is_hidden(parts: tuple[str, ...]) -> bool:
    """Whether any part of a relative path is hidden or the system's own."""
    return any(part.startswith(".") or part in IGNORED_FOLDERS for part in parts)


def _folder_members(root: Path) -> list[str]:
    """Images below a folder; links to files are followed, links to folders are not."""
    members: list[Path] = []
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        inner = {name for name in folders if is_ome_zarr(here / name)}
        members.extend(here / name for name in inner)
        folders[:] = sorted(set(folders) - inner)
        members.extend(here / name for name in files if is_supported(name))
    relative = [member.relative_to(root) for member in members]
    return sorted(member.as_posix() for member in relative if not _is_hidden(member.parts))


def _open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive and prove that no entry leaves it."""
    if not path.exists():
        raise InputError(f"{path}: no such file; correct the path in the samplesheet")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        let_pass(str(path), error)
        raise InputError(f"{path}: cannot be read as zip archive ({error}); copy or pack it again") from error
    for entry in archive.infolist():
        if entry.header_offset < 0 or not entry.filename:
            archive.close()
            raise InputError(f"{path}: its directory is damaged at {entry.filename!r}; copy or pack it again")
        parts = PurePosixPath(entry.filename).parts
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        outside = ".." in parts or entry.filename.startswith("/") or DRIVE.match(entry.filename)
        if is_link or outside or "\\" in entry.filename:
            archive.close()
            raise InputError(
                f"{path}: entry {entry.filename!r} is a link or leads out of the archive; pack plain files only"
            )
        if entry.flag_bits & 0x1:
            archive.close()
            raise InputError(f"{path}: entry {entry.filename!r} is encrypted; pack it without a password")
    return archive


def _zip_files(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Files of an archive by their plain relative path."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    files = {PurePosixPath(entry.filename).as_posix(): entry for entry in entries}
    if len(files) != len(entries):
        raise InputError(f"{path}: holds two entries of one name; pack it again")
    return files


def _zip_members(files: Iterable[str]) -> list[str]:
    """Images among the files of an archive; an OME-Zarr folder counts as one."""
    names = [PurePosixPath(name) for name in files]
    roots = {name.parent for name in names if name.name in ROOT_FILES and name.parent != PurePosixPath(".")}
    roots = {root for root in roots if not any(parent in roots for parent in root.parents)}
    plain = {name for name in names if is_supported(name.name) and not any(parent in roots for parent in name.parents)}
    return sorted(member.as_posix() for member in roots | plain if not _is_hidden(member.parts))


def _parts(files: Mapping[str, zipfile.ZipInfo], member: str) -> dict[str, zipfile.ZipInfo]:
    """Entries of a member by their path inside it; the path of a plain file is empty."""
    if member in files:
        return {"": files[member]}
    prefix = member + "/"
    return {name.removeprefix(prefix): entry for name, entry in files.items() if name.startswith(prefix)}


def _make_place(is_file: bool, suffix: str) -> Path:
    """Make an empty temporary file or folder; a member's own name may be too long or odd for the file system."""
    if not is_file:
        return Path(tempfile.mkdtemp(suffix, "cellbatch-"))
    descriptor, name = tempfile.mkstemp(suffix, "cellbatch-")
    os.close(descriptor)
    return Path(name)


def _unpack(archive: zipfile.ZipFile, parts: Mapping[str, zipfile.ZipInfo], target: Path, label: str) -> None:
    """Copy the entries of a member to ``target``."""
    needed, free = sum(entry.file_size for entry in parts.values()), shutil.disk_usage(target.parent).free
    if needed > free:
        raise InputError(
            f"{label}: unpacks to {needed} bytes, {target.parent} has {free} left; unpack the archive to a folder first"
        )
    for name, entry in parts.items():
        place = target / name if name else target
        if name:
            place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with archive.open(entry) as source, place.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, lzma.LZMAError, zlib.error) as error:
            # without a number it is not the system's: bzip2 says so of a damaged stream
            if isinstance(error, OSError) and error.errno is not None:
                error.filename = f"{target.parent} (to unpack {label})"
                raise
            raise InputError(f"{label}: cannot be unpacked ({error}); pack the archive again") from error


def _remove(copy: Path) -> None:
    """Delete a temporary copy."""
    if copy.is_dir():
        shutil.rmtree(copy)
    else:
        copy.unlink(missing_ok=True)
