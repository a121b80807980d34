"""Memory of the machine, or of the container, that this process runs on."""

import os
import re
from pathlib import Path

MIB = 2**20
CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
UNITS = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "TB": 4}


def host_memory_mb(limit: str = "") -> int:
    """Memory that a task can have here, in MiB.

    Parameters
    ----------
    limit : Nextflow's ``resourceLimits`` for memory, such as ``8 GB``; empty = none

    Examples
    --------
    >>> host_memory_mb("0.5 GB")
    512
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, CONTROL_GROUPS):
        text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
        found += [int(text)] if text.isdecimal() else []
    limit_mb = read_memory_mb(limit)
    return min(found) // MIB if limit_mb is None else min(min(found) // MIB, limit_mb)


def read_memory_mb(text: str) -> int | None:
    """MiB that a text such as ``8 GB`` states in Nextflow's units of 1,024; None where it states none.

    Examples
    --------
    >>> read_memory_mb("8 GB"), read_memory_mb("")
    (8192, None)
    """
    written = re.fullmatch(r"([0-9.]+)\s*([KMGT]?B)", text.strip())
    return int(float(written[1]) * 1024 ** UNITS[written[2]]) // MIB if written else None
