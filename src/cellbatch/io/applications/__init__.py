"""Manifests of DeepCell's applications, whose weights come from their makers; ``assets/models`` links to them."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def read_applications() -> dict[str, Any]:
    """Parse the manifests of this folder.

    Returns
    -------
    dict of application name to manifest
    """
    files = sorted(file.name for file in resources.files(__name__).iterdir() if file.name.endswith(".json"))
    records = [json.loads((resources.files(__name__) / name).read_text(encoding="utf-8")) for name in files]
    return {record["name"]: record for record in records}
