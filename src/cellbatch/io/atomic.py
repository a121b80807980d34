"""Files that are either complete or absent."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellbatch.errors import InputError


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
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    temporary = path.parent / f".{secrets.token_hex(6)}.partial.{path.name[-80:]}"
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is either complete or absent."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text into a file that is either complete or absent."""
    write_bytes(path, content.encode())


def _remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
