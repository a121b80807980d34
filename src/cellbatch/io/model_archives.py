"""Unpacking an archive from elsewhere without trusting it."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from cellbatch.errors import InputError, let_pass
from cellbatch.io.atomic import atomic_path

LARGEST_BYTES = 4 * 2**30
MOST_ENTRIES = 10_000
READ_BYTES = 1 << 20


def unpack_archive(archive: Path, target: Path, *, largest_bytes: int = LARGEST_BYTES) -> Path:
    """Unpack a ``.tar.gz`` into a folder that is complete or absent.

    Plain files and folders only: an entry that leaves the folder, a link, a device, more entries than ``MOST_ENTRIES``
    or more bytes than allowed stop it. Owners, times and permissions are not taken over.

    Parameters
    ----------
    archive : the file
    target : folder to make
    largest_bytes : unpacked size at most

    Returns
    -------
    Path
        ``target``

    Raises
    ------
    InputError
        If the archive is damaged or holds what is not allowed.
    """
    with atomic_path(target) as temporary:
        temporary.mkdir()
        try:
            with tarfile.open(archive, "r:gz") as entries:
                total_bytes = 0
                for count, entry in enumerate(entries, start=1):
                    total_bytes += entry.size
                    if count > MOST_ENTRIES or total_bytes > largest_bytes:
                        raise InputError(
                            f"{archive}: more than {MOST_ENTRIES} entries or {largest_bytes} bytes once unpacked; "
                            "a model was expected: unpack it yourself and give the SavedModel folder if it is one"
                        )
                    _unpack_entry(archive, entries, entry, temporary)
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            let_pass(f"{target} (to unpack {archive})", error)
            raise InputError(f"{archive}: is no .tar.gz archive or is damaged ({error}); fetch it again") from error
    return target


def hash_md5(path: Path) -> str:
    """MD5 of a file, as DeepCell's site names its archives; proves that it is the one meant, not who made it."""
    total = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while part := stream.read(READ_BYTES):
            total.update(part)
    return total.hexdigest()


def _unpack_entry(archive: Path, entries: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """Write one entry."""
    place = PurePosixPath(entry.name)
    if place.is_absolute() or ".." in place.parts or "\\" in entry.name:
        raise InputError(f"{archive}: the entry {entry.name!r} lies outside of the archive; do not use this file")
    path = folder / place
    if entry.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif entry.isfile():
        path.parent.mkdir(parents=True, exist_ok=True)
        source = entries.extractfile(entry)
        if source is None:
            raise InputError(f"{archive}: the entry {entry.name!r} has no content; fetch the archive again")
        with source, path.open("xb") as sink:
            shutil.copyfileobj(source, sink, READ_BYTES)
    else:
        raise InputError(f"{archive}: the entry {entry.name!r} is a link or a device; files and folders were expected")
