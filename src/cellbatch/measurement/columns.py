"""The columns of the cells table: names, types, units, meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cellbatch._native.measurement import INTENSITY_NAMES

# statistics per channel, in the order in which they are measured
STATISTICS = INTENSITY_NAMES
# where intensities are measured, and what stands in front of the statistic's name
COMPARTMENT_PREFIXES = {"cell": "", "nuclear": "nuclear_", "cytoplasm": "cytoplasm_"}


@dataclass(frozen=True)
class Column:
    """One column: name, NumPy type, unit (empty for a number without one) and what it says."""

    name: str
    dtype: str
    unit: str
    meaning: str


SHAPE_COLUMNS = (
    Column("label", "uint32", "", "the number in the label image"),
    Column("area", "int64", "px", "pixels of the cell"),
    Column("area_um2", "float64", "µm²", "the same in µm²"),
    Column("centroid_y", "float64", "px", "middle of the cell; the middle of the first pixel is 0"),
    Column("centroid_x", "float64", "px", "the same along x"),
    Column("centroid_y_um", "float64", "µm", "centroid_y times the pixel size"),
    Column("centroid_x_um", "float64", "µm", "centroid_x times the pixel size"),
    Column("bbox_y0", "int64", "px", "first row"),
    Column("bbox_x0", "int64", "px", "first column"),
    Column("bbox_y1", "int64", "px", "row after the last"),
    Column("bbox_x1", "int64", "px", "column after the last"),
    Column("major_axis_length", "float64", "px", "long axis of the ellipse with the same second moments"),
    Column("minor_axis_length", "float64", "px", "its short axis"),
    Column("eccentricity", "float64", "", "its eccentricity, 0 for a circle"),
    Column("orientation", "float64", "rad", "angle from the y axis to its long axis, −π/2 … π/2, counter-clockwise"),
    Column("solidity", "float64", "", "area over area_convex"),
    Column("area_convex", "int64", "px", "pixels of the convex hull"),
    Column("perimeter", "float64", "px", "length of the line through the middles of the border pixels"),
    Column("circularity", "float64", "", "4π area / perimeter²; NaN where the perimeter is 0"),
    Column("extent", "float64", "", "area over the area of the box"),
    Column("equivalent_diameter", "float64", "px", "diameter of the circle of the same area"),
    Column("feret_diameter", "float64", "px", "largest distance between two points of the hull's outline"),
)
NUCLEUS_COLUMNS = (
    Column("nucleus_count", "int64", "", "nuclei that belong to the cell"),
    Column("nucleus_area", "int64", "px", "pixels of its nuclei, also where they reach beyond the cell"),
    Column("nucleus_area_um2", "float64", "µm²", "the same in µm²"),
    Column("n_c_ratio", "float64", "", "nucleus_area over area; 0 without a nucleus"),
)
STATISTIC_MEANINGS = {
    "mean": "mean intensity",
    "median": "median intensity",
    "min": "lowest intensity",
    "max": "highest intensity",
    "std": "standard deviation of the intensity (divided by n)",
    "total": "sum of the intensities",
}


def table_columns(channel_names: Sequence[str], *, has_nuclei: bool) -> tuple[Column, ...]:
    """List the columns of a cells table in order.

    Parameters
    ----------
    channel_names : unique names of the measured channels
    has_nuclei : whether cells come with matched nuclei

    Examples
    --------
    >>> [column.name for column in table_columns(["DNA"], has_nuclei=False)][-6:]
    ['mean_DNA', 'median_DNA', 'min_DNA', 'max_DNA', 'std_DNA', 'total_DNA']
    """
    columns = [*SHAPE_COLUMNS, *(NUCLEUS_COLUMNS if has_nuclei else ())]
    for compartment, prefix in compartment_prefixes(has_nuclei=has_nuclei).items():
        for statistic in STATISTICS:
            columns += [
                Column(
                    f"{prefix}{statistic}_{name}",
                    "float64",
                    "as the image",
                    f"{STATISTIC_MEANINGS[statistic]} of {name} in the {compartment}",
                )
                for name in channel_names
            ]
    return tuple(columns)


def compartment_prefixes(*, has_nuclei: bool) -> dict[str, str]:
    """Compartments in which intensities are measured, with the prefix of their columns."""
    return dict(COMPARTMENT_PREFIXES) if has_nuclei else {"cell": ""}


def unique_names(channel_names: Sequence[str]) -> list[str]:
    """Channel names fit for columns: none empty, none twice.

    Examples
    --------
    >>> unique_names(["DNA", "", "DNA", "DNA_2"])
    ['DNA', 'channel_1', 'DNA_3', 'DNA_2']
    """
    wanted = [name.strip() or f"channel_{position}" for position, name in enumerate(channel_names)]
    taken, names = set(wanted), []
    for name in wanted:
        suffix, unique = 2, name
        while unique in names or (unique != name and unique in taken):
            unique, suffix = f"{name}_{suffix}", suffix + 1
        names.append(unique)
    return names
