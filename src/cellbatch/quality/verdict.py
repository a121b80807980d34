"""Thresholds turn the figures of a sample into pass, warn or fail, with reasons."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

VERDICTS = ("pass", "warn", "fail")
# nuclei of a usual tissue; how far the pixel size is off is told from this
USUAL_GRAIN_UM = 7.5
USUAL_CELL_UM = 12.0
_LIMITS = ("warn_below", "fail_below", "warn_above", "fail_above")
_FILE = "qc_thresholds.json"

# figure → what to say; {value} is the figure, {percent} the same as a percentage, {factor} how far a size is off
_REASONS = {
    "cells": "no cells",
    "nuclei": "no nuclei",
    "nuclear_blank": "the nuclear channel is blank: look at nuclear_channel",
    "membrane_blank": "the membrane channel is blank: look at membrane_channel, or say none",
    "nuclear_saturated": "the nuclear channel is saturated ({percent} of pixels at its highest value)",
    "membrane_saturated": "the membrane channel is saturated ({percent} of pixels at its highest value)",
    "signal_to_noise": "nuclei hardly rise above the noise (signal to noise {value:.1f}): they may be invented",
    "contrast": "nuclei are hardly brighter than what surrounds them (by {percent}): they may be invented",
    "focus": "the nuclear channel is out of focus (detail {value:.2f})",
    "grain_um": "pixel size implausible: nuclear blobs are {value:.1f} µm wide; image_mpp may be {factor}",
    "cell_diameter_um": "pixel size implausible: the median cell is {value:.1f} µm wide; image_mpp may be {factor}",
    "arrangement": "nuclear and membrane channel may be swapped ({value:.2f})",
    "large_share": "cells may be merged, or the pixel size be wrong: {percent} have over 4 times the median area",
    "small_share": "cells may be split: {percent} have under a fifth of the median area",
    "border_share": "the image's border cuts {percent} of the cells",
    "anucleate_share": "{percent} of the cells have no nucleus",
    "orphan_share": "{percent} of the nuclei lie outside cells",
    "bare_share": "{percent} of the cells are hardly larger than their nucleus",
    "seam_score": "cells end along a straight line ({percent} of it): a seam",
    "cut_cells": "a straight line cuts {value:.0f} cells in two: a seam",
    "uncertified_blocks": "{value:,.0f} blocks are not certified: cells at their borders may differ",
    "missing_chunks": "{value:,.0f} chunks of the image are missing: read as zeros",
}
_USUAL_UM = {"grain_um": USUAL_GRAIN_UM, "cell_diameter_um": USUAL_CELL_UM}


@dataclass(frozen=True)
class Threshold:
    """Limits of one figure; None is no limit.

    Attributes
    ----------
    needs_cells : with fewer cells the figure says too little
    """

    warn_below: float | None = None
    fail_below: float | None = None
    warn_above: float | None = None
    fail_above: float | None = None
    needs_cells: int = 0

    def verdict(self, value: float) -> str:
        """Judge one figure; what cannot be told passes."""
        if self._is_beyond(value, self.fail_below, self.fail_above):
            return "fail"
        return "warn" if self._is_beyond(value, self.warn_below, self.warn_above) else "pass"

    @staticmethod
    def _is_beyond(value: float, below: float | None, above: float | None) -> bool:
        return (below is not None and value < below) or (above is not None and value > above)


def default_thresholds() -> dict[str, Threshold]:
    """Thresholds that ship with the project."""
    return parse_thresholds(json.loads((resources.files(__package__) / _FILE).read_text(encoding="utf-8")), {})


def parse_thresholds(values: Mapping[str, Any], defaults: Mapping[str, Threshold]) -> dict[str, Threshold]:
    """Read thresholds from JSON; figures that are not named keep their defaults.

    Parameters
    ----------
    values : figure → ``warn_below``, ``fail_below``, ``warn_above``, ``fail_above`` (numbers, null for none),
        ``needs_cells`` and, free to choose, ``meaning``
    defaults : the thresholds that are replaced

    Raises
    ------
    ValueError
        An unknown figure or limit, with the nearest known name, or a value that is not a number.
    """
    thresholds = dict(defaults)
    for figure, limits in values.items():
        _check_name(figure, _REASONS, "figure")
        if not isinstance(limits, Mapping):
            raise ValueError(f'{figure}: found {limits!r}, expected limits such as {{"warn_above": 0.5}}')
        known = {name: value for name, value in limits.items() if name != "meaning"}
        for name, value in known.items():
            _check_name(name, (*_LIMITS, "needs_cells"), f"limit of {figure}")
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not (is_number or (value is None and name in _LIMITS)):
                raise ValueError(f"{figure}, {name}: found {value!r}, expected a number")
        thresholds[figure] = Threshold(**known)
    return thresholds


def judge(figures: Mapping[str, float | None], thresholds: Mapping[str, Threshold]) -> tuple[str, list[str]]:
    """Judge a sample.

    Parameters
    ----------
    figures : by name, None or NaN where unknown; ``cells`` (or else ``nuclei``) says how many there are
    thresholds : by name of the figure

    Returns
    -------
    verdict : ``pass``, ``warn`` or ``fail``: the worst of all figures
    reasons : one text per figure that did not pass, those that fail first
    """
    cells = figures.get("cells")
    cells = figures.get("nuclei") if cells is None else cells
    found: list[tuple[int, str]] = []
    for figure, threshold in thresholds.items():
        value = figures.get(figure)
        if value is None or math.isnan(value) or (cells or 0) < threshold.needs_cells:
            continue
        rank = VERDICTS.index(threshold.verdict(value))
        if rank:
            found.append((rank, _reason(figure, value)))
    found.sort(key=lambda item: -item[0])
    return VERDICTS[max((rank for rank, _ in found), default=0)], [text for _, text in found]


def _reason(figure: str, value: float) -> str:
    usual = _USUAL_UM.get(figure, value) or 1.0
    factor = value / usual
    told = f"{factor:.1f} times too large" if factor >= 1 else f"{1 / max(factor, 1e-3):.1f} times too small"
    return _REASONS[figure].format(value=value, percent=f"{100 * value:.0f} %", factor=told)


def _check_name(name: str, known: Any, what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
        raise ValueError(f"unknown {what} {name!r}{hint}")
