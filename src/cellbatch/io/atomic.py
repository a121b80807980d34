"""Files that are either complete or absent."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cellbatch.errors import InputError

# how a system refuses to write
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its name on success and is removed on failure.

    The temporary name starts with a dot and keeps the suffix of the final name, so that writers which choose a
    format by suffix work on it. What the body leaves there may be a file or a folder.

    Parameters
    ----------
    path : final name; its folder must exist

    Yields
    ------
    Path
        a name in the same folder that does not exist yet

    Raises
    ------
    InputError
        if the folder of ``path`` does not exist
    OSError
        if the system refuses to write; it names ``path``
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    temporary = path.parent / f".{secrets.token_hex(6)}.partial.{path.name[-80:]}"
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, Exception):
            _name_file(error, temporary, path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is either complete or absent."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text into a file that is either complete or absent."""
    write_bytes(path, content.encode())


def _name_file(error: Exception, temporary: Path, path: Path) -> None:
    """Put the final name into a refusal of the system to write: it mostly names no file, or the temporary one.

    Raises
    ------
    OSError
        in place of what a library made of a full disk
    """
    if isinstance(error, OSError):
        if error.filename is None and error.errno in REFUSALS:
            error.filename = str(path)
        elif str(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None
    elif any(os.strerror(number) in str(error) for number in REFUSALS):
        number = next(number for number in REFUSALS if os.strerror(number) in str(error))
        raise OSError(number, os.strerror(number), str(path)) from error


def _remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
