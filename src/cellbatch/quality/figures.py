"""The figures that a sample is judged by, gathered block by block and from a few windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from cellbatch.quality.appearance import AppearanceProbe
from cellbatch.quality.seams import Seam, SeamCounter
from cellbatch.quality.tally import LabelTally
from cellbatch.spec import Window

Labels = NDArray[np.integer]

# columns of the summary, in the order in which the page on results explains them
FIGURES = (
    "signal_to_noise",
    "contrast",
    "focus",
    "grain_um",
    "arrangement",
    "cell_diameter_um",
    "large_share",
    "small_share",
    "border_share",
    "anucleate_share",
    "orphan_share",
    "bare_share",
    "median_nc_ratio",
    "seam_score",
    "cut_cells",
    "nuclear_blank",
    "membrane_blank",
    "nuclear_saturated",
    "membrane_saturated",
    "uncertified_blocks",
    "missing_chunks",
)
LARGE_AREA = 4.0
SMALL_AREA = 0.2
BARE_NC_RATIO = 0.9
# how the channels are arranged says too little of fewer cells
CELLS_TO_COMPARE_CHANNELS = 30
INPUTS = ("nuclear", "membrane")


class FigureGatherer:
    """Figures of one sample.

    Parameters
    ----------
    shape : (Y, X) of the image
    image_mpp : µm per px
    compartments : those that were segmented
    has_membrane : whether a membrane channel was named
    """

    def __init__(
        self, shape: tuple[int, int], image_mpp: float, compartments: tuple[str, ...], *, has_membrane: bool = True
    ) -> None:
        self.image_mpp = image_mpp
        self.compartments = compartments
        # cells, or nuclei where only these were segmented
        self.measured = "whole_cell" if "whole_cell" in compartments else "nuclear"
        self.tallies = {name: LabelTally(shape) for name in compartments}
        self._seams = SeamCounter(shape)
        self._extremes = [_Extremes() for _ in INPUTS]
        self._has = dict(zip(INPUTS, (True, has_membrane), strict=True))
        self._probe = AppearanceProbe(image_mpp)

    def add_block(self, window: Window, inputs: NDArray[np.float32], labels: Mapping[str, Labels]) -> None:
        """Gather one block; blocks come in raster order, see ``SeamCounter``.

        Parameters
        ----------
        window : where it lies
        inputs : (Y, X, 2) nuclear and membrane channel
        labels : compartment → (Y, X)
        """
        for channel, extremes in enumerate(self._extremes):
            extremes.add(inputs[..., channel])
        for name, tally in self.tallies.items():
            others = [values for other, values in labels.items() if other != name and other in self.tallies]
            tally.add(window, labels[name], others[0] if others else None, inputs if name == self.measured else None)
        self._seams.add(window, labels[self.measured])

    def add_probe(self, inputs: NDArray[np.float32], labels: Mapping[str, Labels]) -> None:
        """Look closely at one window; its arguments are as of ``add_block``."""
        nuclei = labels["nuclear" if "nuclear" in labels else self.measured]
        self._probe.add(inputs, nuclei, compare_channels=len(self.cells.area) >= CELLS_TO_COMPARE_CHANNELS)

    @property
    def pooling(self) -> int:
        """How many px per axis are averaged to one where windows are looked at closely."""
        return self._probe.pooling

    @property
    def counts(self) -> dict[str, int]:
        """Number of labels by compartment."""
        return {name: len(tally.area) for name, tally in self.tallies.items()}

    @property
    def seam(self) -> Seam | None:
        """The most suspicious line."""
        return self._seams.worst(self._diameter_px) if len(self.cells.area) else None

    @property
    def _diameter_px(self) -> float:
        """Of a usual cell."""
        return _diameter(float(np.median(self.cells.area)))

    @property
    def cells(self) -> LabelTally:
        """Sums over the cells, or over the nuclei where only these were segmented."""
        return self.tallies[self.measured]

    def doubtful(self) -> NDArray[np.bool_]:
        """Which labels of the measured compartment look wrong, in the order of its tally."""
        tally = self.cells
        if not len(tally.area):
            return np.zeros(0, np.bool_)
        usual = np.median(tally.area)
        wrong = (tally.area > LARGE_AREA * usual) | (tally.area < SMALL_AREA * usual)
        if len(self.tallies) > 1:
            wrong |= tally.inside == 0
            if self._has["membrane"]:
                wrong |= tally.inside > BARE_NC_RATIO * tally.area
        return wrong

    def finish(self, given: Mapping[str, float]) -> dict[str, float]:
        """Work out all figures.

        Parameters
        ----------
        given : figures that were counted elsewhere, such as ``uncertified_blocks``

        Returns
        -------
        dict
            Every name of ``FIGURES``, NaN where it cannot be told.
        """
        figures = dict.fromkeys(FIGURES, float("nan"))
        figures |= asdict(self._probe.finish()) | self._sizes() | self._nuclei()
        seam = self.seam
        figures["seam_score"] = seam.score if seam else float("nan")
        if len(self.cells.area):
            figures["cut_cells"] = float(self._seams.most_cut(self._diameter_px))
        for name, extremes in zip(INPUTS, self._extremes, strict=True):
            if self._has[name]:
                figures[f"{name}_blank"] = float(extremes.is_blank)
                figures[f"{name}_saturated"] = extremes.share_at_highest
        return figures | {name: float(value) for name, value in given.items() if name in figures}

    def _sizes(self) -> dict[str, float]:
        tally = self.cells
        if not len(tally.area):
            return {}
        usual = float(np.median(tally.area))
        return {
            "cell_diameter_um": _diameter(usual) * self.image_mpp,
            "large_share": float(np.mean(tally.area > LARGE_AREA * usual)),
            "small_share": float(np.mean(tally.area < SMALL_AREA * usual)),
            "border_share": float(np.mean(tally.is_at_border)),
        }

    def _nuclei(self) -> dict[str, float]:
        if len(self.tallies) < 2:
            return {}
        cells, nuclei = self.tallies["whole_cell"], self.tallies["nuclear"]
        found: dict[str, float] = {}
        if len(cells.area):
            ratio = cells.inside / cells.area
            found["anucleate_share"] = float(np.mean(ratio == 0))
            if self._has["membrane"]:
                # without one, cells are nuclei with a thin rim, which says nothing against them
                found["bare_share"] = float(np.mean(ratio > BARE_NC_RATIO))
            if (ratio > 0).any():
                found["median_nc_ratio"] = float(np.median(ratio[ratio > 0]))
        if len(nuclei.area):
            found["orphan_share"] = float(np.mean(2 * nuclei.inside < nuclei.area))
        return found


class _Extremes:
    """Lowest and highest value of a channel, and how many pixels hold the highest."""

    def __init__(self) -> None:
        self._low, self._high = np.inf, -np.inf
        self._at_high = self._pixels = 0

    def add(self, plane: NDArray[np.float32]) -> None:
        high = float(plane.max())
        if high > self._high:
            self._high, self._at_high = high, 0
        if high == self._high:
            self._at_high += int(np.count_nonzero(plane == plane.dtype.type(high)))
        self._low = min(self._low, float(plane.min()))
        self._pixels += plane.size

    @property
    def is_blank(self) -> bool:
        return not self._high > self._low

    @property
    def share_at_highest(self) -> float:
        return 0.0 if self.is_blank else self._at_high / self._pixels


def _diameter(area: float) -> float:
    """Diameter of the circle of an area."""
    return 2 * float(np.sqrt(area / np.pi))
