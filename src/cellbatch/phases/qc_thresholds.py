"""The thresholds that samples are judged by: those that ship, and what the user replaces of them."""

from __future__ import annotations

import json
from pathlib import Path

from cellbatch.errors import ConfigError
from cellbatch.quality.verdict import Threshold, default_thresholds, parse_thresholds


def read_thresholds(path: Path | None) -> dict[str, Threshold]:
    """Read the user's thresholds; what the file does not name, and no file, stands for those that ship here.

    Raises
    ------
    ConfigError
        See ``check_thresholds``.
    """
    return default_thresholds() if path is None else check_thresholds(path.read_text(encoding="utf-8"), path.name)


def check_thresholds(text: str | None, name: str = "") -> dict[str, Threshold]:
    """Parse a file's text over the thresholds that ship here.

    Raises
    ------
    ConfigError
        It is no JSON, or holds what no threshold is called.
    """
    defaults = default_thresholds()
    try:
        return parse_thresholds(json.loads(text), defaults) if text else defaults
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"--qc_thresholds {name}: {error}; see assets/qc_thresholds.json") from error
