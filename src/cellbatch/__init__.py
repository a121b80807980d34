"""DeepCell segmentation at scale: exact labels, one picture or a million."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {"segment": "cellbatch.phases.segment_image"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'cellbatch' has no attribute '{name}'")
