"""Outlines of cells as GeoParquet, written some thousands at a time."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

# outer ring, then holes; (corners, 2) of x, y each, closed
Polygon = Sequence[NDArray[np.integer]]
GROUP_ROWS = 8192
LITTLE_ENDIAN, POLYGON, MULTI_POLYGON = 1, 3, 6
GEOMETRY, INDEX = "geometry", "label"


class OutlineWriter:
    """Write outlines with the numbers of their labels as index.

    Parameters
    ----------
    path : file to write; complete when the context is left

    References
    ----------
    GeoParquet 1.0.0, https://geoparquet.org/releases/v1.0.0; OGC simple features, well-known binary.
    """

    def __init__(self, path: Path) -> None:
        self._writer = parquet.ParquetWriter(path, _schema(), compression="zstd")
        self._labels: list[int] = []
        self._shapes: list[bytes] = []

    def write(
        self,
        label: int,
        outline: Sequence[Polygon],
        _nucleus: Sequence[Polygon] = (),
        _measurements: Mapping[str, float] | None = None,
    ) -> None:
        """Write one outline; what else ``ShapeWriter`` takes is left out.

        Parameters
        ----------
        label : its number in the label image
        outline : its polygons, in px of the image
        """
        self._labels.append(label)
        self._shapes.append(to_wkb(outline))
        if len(self._labels) == GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        schema = self._writer.schema
        columns = {GEOMETRY: pa.array(self._shapes, pa.binary()), INDEX: pa.array(self._labels, pa.int64())}
        self._writer.write_table(pa.Table.from_pydict(columns, schema=schema))
        self._labels, self._shapes = [], []

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left."""
        if kind is None and self._labels:
            self._flush()
        self._writer.close()


def to_wkb(polygons: Sequence[Polygon]) -> bytes:
    """Give a polygon, or a multipolygon where there are several parts, as well-known binary.

    Examples
    --------
    >>> ring = np.array([[0, 0], [1, 0], [1, 1], [0, 0]])
    >>> len(to_wkb([[ring]])), len(to_wkb([[ring], [ring]]))
    (77, 163)
    """
    parts = []
    for polygon in polygons:
        rings = [struct.pack("<I", len(ring)) + np.asarray(ring, "<f8").tobytes() for ring in polygon]
        parts.append(struct.pack("<BII", LITTLE_ENDIAN, POLYGON, len(rings)) + b"".join(rings))
    if len(parts) == 1:
        return parts[0]
    return struct.pack("<BII", LITTLE_ENDIAN, MULTI_POLYGON, len(parts)) + b"".join(parts)


def _schema() -> pa.Schema:
    """Column of shapes with the labels as index, as GeoPandas reads it."""
    empty = pd.DataFrame({GEOMETRY: pd.Series([], dtype=object)}, index=pd.Index([], dtype=np.int64, name=INDEX))
    about = pa.Schema.from_pandas(empty).metadata
    column = {"encoding": "WKB", "geometry_types": ["Polygon", "MultiPolygon"], "crs": None}
    geo = {"version": "1.0.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
    fields = [pa.field(GEOMETRY, pa.binary()), pa.field(INDEX, pa.int64())]
    return pa.schema(fields, metadata={**about, b"geo": json.dumps(geo).encode()})
