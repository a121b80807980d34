"""Names of files that can be staged: any alphabet and punctuation but braces and control characters."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from cellbatch.errors import InputError

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# as in subworkflows/local/launch, which tells the plan of no more
USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/@\s]*@")
QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^?]*)\?\S*")
BRACES = re.compile(r"[{}]")
ENDINGS = re.compile(r"(\.ome)?\.\w+$", re.IGNORECASE)
UNNAMEABLE = re.compile(r"[^A-Za-z0-9_.-]+")


def without_secrets(address: str) -> str:
    """Take user, password and query, which signs an address, out of every URL in a text; paths stay as they are.

    Examples
    --------
    >>> without_secrets("https://me:word@host/a b.tif?X-Amz-Signature=7f&X-Amz-Date=1")
    'https://host/a b.tif'
    >>> without_secrets("data/what?.tif")
    'data/what?.tif'
    """
    return QUERY.sub(r"\1", USER.sub(r"\1", address))


def check_file_name(name: str) -> None:
    """Refuse paths that cannot be staged safely: braces and control characters.

    Brackets, spaces, quotes, dollar signs, asterisks and any alphabet are fine.

    Raises
    ------
    InputError
        naming the character
    """
    fault = file_name_fault(name)
    if fault:
        raise InputError(f"{name!r} {fault}")


def file_name_fault(name: str) -> str:
    """Say what is wrong with a path; empty if nothing is."""
    control = CONTROL.search(name)
    if control:
        return f"holds the control character {control.group()!r}, which breaks staging; rename the file"
    brace = BRACES.search(name)
    if brace:
        return f"holds {brace.group()!r}, which Nextflow takes for a pattern; rename the file or folder"
    return ""


def file_stem(path: str) -> str:
    """File name without folders and without the endings that formats use.

    Examples
    --------
    >>> file_stem("plate 1/well A01.ome.tif"), file_stem("scan.zarr")
    ('well A01', 'scan')
    """
    return ENDINGS.sub("", PurePosixPath(path).name)


def to_sample_name(text: str) -> str:
    """Make a sample's name of a text: each run of what it may not hold becomes ``_``; empty where nothing is left.

    The length is left alone, so that it is refused and not cut.

    Examples
    --------
    >>> to_sample_name("well A01 (8 bit)")
    'well_A01_8_bit'
    """
    name = UNNAMEABLE.sub("_", text).lstrip("_.-")
    return name if text.endswith("_") else name.rstrip("_")
