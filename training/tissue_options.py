"""What an image of drawn tissue depends on, besides the random numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

TISSUE_MPP = 0.5
MARKER_KINDS = ("membrane", "cytoplasm", "mixed", "absent", "unrelated")


@dataclass(frozen=True)
class TissueOptions:
    """Recipe of one image; lengths in px at 0.5 µm/px, fractions in 0..1.

    Attributes
    ----------
    cell_diameter_px, size_spread : typical cell diameter; standard deviation of its logarithm
    small_share, small_ratio : share of the field where cells are smaller, and their diameter as part of the others'
    packing : distance of neighbouring centres in cell diameters; below about 0.9 cells press on each other
    clustering : 0 fills the field evenly, 1 leaves islands
    elongation : standard deviation of the logarithm of the cells' aspect ratio
    spindle : fraction of cells that are drawn out to about 2.5 times their width
    roughness_px : amplitude of the wobble of outlines
    overlap : how much cells lie above each other instead of meeting half-way
    nucleus_ratio : nuclear diameter over cell diameter
    anucleate, binucleate : fraction of cells without a nucleus in the plane, and with two
    nuclear_contrast, chromatin : spread of brightness between nuclei; texture inside them
    condensation : how much denser small nuclei are; 1 spreads the same amount of DNA over any area
    marker : one of ``MARKER_KINDS``; ``unrelated`` shows fibres, spots and folds that follow no cell
    marker_absent, marker_broken : fraction of cells without marker; of the outline that is missing
    membrane_width_px : half width of the membrane signal
    fill : cytoplasmic signal beside the membrane's
    stroma, debris : brightness of fibres between cells; number of bright specks per 10,000 px
    blur_px : standard deviation of the optics' blur
    haze, haze_px : light from out of focus as part of that in focus, and how far it spreads
    photons : mean counts of a bright pixel; 3 is a sparse ion count, 1000 a clean fluorescence image
    background, bleed : offset, and share of each channel seen in the other, of the bright level
    illumination : relative drop of light across the field
    binning : pixels of ``0.5 µm · binning`` are recorded and interpolated back, as for imaging mass cytometry
    saturated, empty : size of an overexposed spot and of a field without tissue, as share of the image's side
    full_scale : recorded value of the bright level
    """

    cell_diameter_px: float = 22.0
    size_spread: float = 0.15
    small_share: float = 0.0
    small_ratio: float = 0.6
    packing: float = 0.85
    clustering: float = 0.2
    elongation: float = 0.15
    spindle: float = 0.03
    roughness_px: float = 1.5
    overlap: float = 0.05
    nucleus_ratio: float = 0.62
    anucleate: float = 0.04
    binucleate: float = 0.03
    nuclear_contrast: float = 0.25
    chromatin: float = 0.25
    condensation: float = 0.0
    marker: str = "membrane"
    marker_absent: float = 0.05
    marker_broken: float = 0.15
    membrane_width_px: float = 1.3
    fill: float = 0.15
    stroma: float = 0.05
    debris: float = 0.3
    blur_px: float = 0.8
    haze: float = 0.0
    haze_px: float = 15.0
    photons: float = 120.0
    background: float = 0.04
    bleed: float = 0.03
    illumination: float = 0.3
    binning: int = 1
    saturated: float = 0.0
    empty: float = 0.0
    full_scale: float = 8000.0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.marker not in MARKER_KINDS:
            raise ValueError(f"marker kind {self.marker!r} is unknown, expected one of {MARKER_KINDS}")
        if self.cell_diameter_px < 6 or self.binning < 1 or self.photons <= 0:
            raise ValueError("cell_diameter_px must be 6 or more, binning 1 or more, photons above 0")


def random_options(rng: np.random.Generator) -> TissueOptions:
    """Draw a recipe: any mixture of packed and sparse tissue, marker kinds, optics and detectors.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all choices.

    Returns
    -------
    TissueOptions
        One recipe.
    """
    diameter = float(np.exp(rng.uniform(np.log(11), np.log(42))))
    return TissueOptions(
        cell_diameter_px=diameter,
        size_spread=rng.uniform(0.08, 0.28),
        small_share=rng.choice([0.0, rng.uniform(0.15, 0.8)], p=[0.7, 0.3]),
        small_ratio=rng.uniform(0.4, 0.75),
        packing=rng.choice([rng.uniform(0.68, 0.88), rng.uniform(0.85, 1.3)], p=[0.6, 0.4]),
        clustering=rng.choice([0.0, rng.uniform(0.1, 0.8)]),
        elongation=abs(rng.normal(0.0, 0.22)),
        spindle=rng.choice([0.0, rng.uniform(0.0, 0.15), rng.uniform(0.1, 0.8)], p=[0.5, 0.35, 0.15]),
        roughness_px=rng.uniform(0.4, 0.1 * diameter),
        overlap=rng.choice([0.0, rng.uniform(0.0, 0.3)]),
        nucleus_ratio=rng.uniform(0.46, 0.9),
        anucleate=rng.choice([0.0, rng.uniform(0.0, 0.1)]),
        binucleate=rng.choice([0.0, rng.uniform(0.0, 0.08)]),
        nuclear_contrast=rng.uniform(0.05, 0.9),
        chromatin=rng.uniform(0.0, 0.5),
        condensation=rng.choice([0.0, rng.uniform(0.0, 1.0)], p=[0.4, 0.6]),
        marker=str(rng.choice(MARKER_KINDS, p=[0.56, 0.12, 0.18, 0.05, 0.09])),
        marker_absent=rng.choice([0.0, rng.uniform(0.0, 0.6)], p=[0.4, 0.6]),
        marker_broken=rng.choice([0.0, rng.uniform(0.0, 0.6)]),
        membrane_width_px=rng.uniform(0.7, 2.4),
        fill=rng.choice([rng.uniform(0.0, 0.15), rng.uniform(0.1, 0.6)]),
        stroma=rng.choice([0.0, rng.uniform(0.05, 0.6)]),
        debris=rng.choice([0.0, rng.uniform(0.0, 2.0)]),
        blur_px=rng.uniform(0.3, 2.2),
        photons=float(np.exp(rng.uniform(np.log(2), np.log(1000)))),
        background=rng.choice([0.0, rng.uniform(0.0, 0.15)]),
        bleed=rng.choice([0.0, rng.uniform(0.0, 0.2)]),
        illumination=rng.uniform(0.0, 0.7),
        binning=int(rng.choice([1, 2], p=[0.8, 0.2])),
        saturated=rng.choice([0.0, rng.uniform(0.1, 0.4)], p=[0.85, 0.15]),
        empty=rng.choice([0.0, rng.uniform(0.2, 0.6)], p=[0.75, 0.25]),
        full_scale=float(np.exp(rng.uniform(np.log(100), np.log(30000)))),
    )


def make_widefield(options: TissueOptions, rng: np.random.Generator) -> TissueOptions:
    """Make a recipe that of a widefield microscope and a thick section.

    Light from out of focus, no sparse counts, no overexposed spot; blur that may be stronger, though never above a
    tenth of a cell's diameter. Cells of more varied shape, their nuclei large more often than not, half of the recipes
    packed anew: nuclei lie close, touch and overlap.

    Parameters
    ----------
    options : TissueOptions
        The recipe to change.
    rng : numpy.random.Generator
        Source of all choices.

    Returns
    -------
    TissueOptions
        Another recipe.
    """
    return replace(
        options,
        packing=float(rng.choice([options.packing, rng.uniform(0.68, 0.9)])),
        elongation=abs(rng.normal(0.0, 0.35)),
        overlap=rng.uniform(0.0, 0.3),
        nucleus_ratio=float(rng.choice([options.nucleus_ratio, rng.uniform(0.75, 1.0)], p=[0.35, 0.65])),
        haze=rng.uniform(0.2, 1.6),
        haze_px=float(np.exp(rng.uniform(np.log(5), np.log(40)))),
        blur_px=min(options.blur_px + rng.uniform(0.0, 1.0), 0.1 * options.cell_diameter_px),
        photons=float(np.exp(rng.uniform(np.log(30), np.log(3000)))),
        binning=1,
        saturated=0.0,
    )
