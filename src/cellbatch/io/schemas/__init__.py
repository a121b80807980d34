"""JSON schemas of the files that users write; ``assets/`` links to them for tools that look there."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def load_schema(name: str) -> Any:
    """Parse one of the schemas of this folder.

    Parameters
    ----------
    name : file name, for example ``schema_input.json``

    Returns
    -------
    dict
        the schema
    """
    return json.loads((resources.files(__name__) / name).read_text(encoding="utf-8"))
