"""Other tools' columns, as a mapping from ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = NDArray[np.generic]
Table = Mapping[str, Values]

CELLBATCH = "cellbatch"
CHANNEL = "<channel>"
QUPATH_STATISTICS = {
    "mean": "Mean",
    "median": "Median",
    "min": "Min",
    "max": "Max",
    "std": "Std.Dev.",
}
QUPATH_COMPARTMENTS = {"Cell": "", "Nucleus": "nuclear_", "Cytoplasm": "cytoplasm_"}


@dataclass(frozen=True)
class DialectColumn:
    """A column of another tool.

    Attributes
    ----------
    name : may hold ``<channel>``; then there is one per channel
    source : our column, which may hold ``<channel>`` as well
    change : what is done to its values, given the table and µm per px; None leaves them
    """

    name: str
    source: str
    change: Callable[[Values, Table, float], Values] | None = None


def _um(values: Values, table: Table, image_mpp: float) -> Values:
    return values * image_mpp  # type: ignore[no-any-return, operator]


def _um_from_corner(values: Values, table: Table, image_mpp: float) -> Values:
    """Count from the corner of the first pixel, not from its middle."""
    return (values + 0.5) * image_mpp  # type: ignore[no-any-return, operator]


def _over(name: str, power: int = 1) -> Callable[[Values, Table, float], Values]:
    """Divide a power of the values by another column; NaN where that is 0."""

    def change(values: Values, table: Table, image_mpp: float) -> Values:
        divisor = np.asarray(table[name], np.float64)
        ratio = np.full(len(divisor), np.nan)
        return np.divide(np.asarray(values, np.float64) ** power, divisor, out=ratio, where=divisor != 0)

    return change


def _hull_rest(values: Values, table: Table, image_mpp: float) -> Values:
    return (table["area_convex"] - table["area"]) / table["area_convex"]  # type: ignore[no-any-return, operator]


def _qupath_intensities() -> tuple[DialectColumn, ...]:
    return tuple(
        DialectColumn(f"{compartment}: {CHANNEL}: {shown}", f"{prefix}{statistic}_{CHANNEL}")
        for compartment, prefix in QUPATH_COMPARTMENTS.items()
        for statistic, shown in QUPATH_STATISTICS.items()
    )


DIALECTS: dict[str, tuple[DialectColumn, ...]] = {
    # QuPath 0.6, measurement tables
    "qupath": (
        DialectColumn("Image", "sample"),
        DialectColumn("Label", "label"),
        DialectColumn("Centroid X µm", "centroid_x", _um_from_corner),
        DialectColumn("Centroid Y µm", "centroid_y", _um_from_corner),
        DialectColumn("Cell: Area µm^2", "area_um2"),
        DialectColumn("Cell: Length µm", "perimeter", _um),
        DialectColumn("Cell: Circularity", "circularity"),
        DialectColumn("Cell: Solidity", "solidity"),
        DialectColumn("Cell: Max diameter µm", "feret_diameter", _um),
        DialectColumn("Nucleus: Area µm^2", "nucleus_area_um2"),
        DialectColumn("Nucleus/Cell area ratio", "n_c_ratio"),
        DialectColumn("Nucleus count", "nucleus_count"),
        *_qupath_intensities(),
    ),
    # mcquant 1.6, one mask and no further properties
    "mcquant": (
        DialectColumn("CellID", "label"),
        DialectColumn(CHANNEL, f"mean_{CHANNEL}"),
        DialectColumn("X_centroid", "centroid_x"),
        DialectColumn("Y_centroid", "centroid_y"),
        DialectColumn("Area", "area"),
        DialectColumn("MajorAxisLength", "major_axis_length"),
        DialectColumn("MinorAxisLength", "minor_axis_length"),
        DialectColumn("Eccentricity", "eccentricity"),
        DialectColumn("Solidity", "solidity"),
        DialectColumn("Extent", "extent"),
        DialectColumn("Orientation", "orientation"),
    ),
    # ark-analysis, documentation of its cell table
    "ark": (
        DialectColumn("cell_size", "area"),
        DialectColumn(CHANNEL, f"mean_{CHANNEL}"),
        DialectColumn("label", "label"),
        DialectColumn("area", "area"),
        DialectColumn("eccentricity", "eccentricity"),
        DialectColumn("major_axis_length", "major_axis_length"),
        DialectColumn("minor_axis_length", "minor_axis_length"),
        DialectColumn("perimeter", "perimeter"),
        DialectColumn("convex_area", "area_convex"),
        DialectColumn("equivalent_diameter", "equivalent_diameter"),
        DialectColumn("centroid-0", "centroid_y"),
        DialectColumn("centroid-1", "centroid_x"),
        DialectColumn("major_minor_axis_ratio", "major_axis_length", _over("minor_axis_length")),
        DialectColumn("perim_square_over_area", "perimeter", _over("area", 2)),
        DialectColumn("major_axis_equiv_diam_ratio", "major_axis_length", _over("equivalent_diameter")),
        DialectColumn("convex_hull_resid", "area_convex", _hull_rest),
        DialectColumn("nc_ratio", "n_c_ratio"),
        DialectColumn("fov", "sample"),
    ),
}
COLUMN_CHOICES = (CELLBATCH, *DIALECTS)
# what travels with the outlines into QuPath: all but the name and, of the intensities, the means
QUPATH_MEASUREMENTS = tuple(
    column
    for column in DIALECTS["qupath"]
    if column.source not in ("sample", "label") and (CHANNEL not in column.source or "mean_" in column.source)
)


def translate(table: pd.DataFrame, dialect: str, channel_names: Sequence[str], image_mpp: float) -> pd.DataFrame:
    """Give a cells table the columns of another tool.

    Parameters
    ----------
    table : columns of ``table_columns``, with ``sample`` in front of them
    dialect : one of ``COLUMN_CHOICES``; ``cellbatch`` leaves the table as it is
    channel_names : of the measured channels
    image_mpp : µm per px

    Returns
    -------
    DataFrame
        The columns of the dialect in its order, but for those whose source the table does not have (nuclei that were
        not segmented).

    References
    ----------
    QuPath's measurement names, https://qupath.readthedocs.io; mcquant, https://github.com/labsyspharm/quantification;
    ark-analysis, https://ark-analysis.readthedocs.io (data types).
    """
    return table if dialect == CELLBATCH else take_columns(table, DIALECTS[dialect], channel_names, image_mpp)


def take_columns(
    table: pd.DataFrame, columns: Sequence[DialectColumn], channel_names: Sequence[str], image_mpp: float
) -> pd.DataFrame:
    """Make columns from ours, leaving out those whose source the table does not have; see ``translate``."""
    given = {str(name): table[name].to_numpy() for name in table}
    taken = {}
    for column in columns:
        for name in channel_names if CHANNEL in column.source else ("",):
            source = column.source.replace(CHANNEL, name)
            if source in given:
                change = column.change or (lambda values, *_: values)
                taken[column.name.replace(CHANNEL, name)] = change(given[source], given, image_mpp)
    return pd.DataFrame(taken)
