"""Cells as GeoJSON that QuPath imports, written feature by feature."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from cellbatch.io.atomic import atomic_path

# outer ring, then holes; (corners, 2) of x, y each, closed
Polygon = Sequence[NDArray[np.integer]]
# digits of a measurement that are written
DIGITS = 6


def cell_id(sample: str, label: int) -> UUID:
    """Give a cell an identifier that is the same in every run.

    Examples
    --------
    >>> cell_id("s1", 1)
    UUID('99468d2e-664d-5c15-9ab0-6832b2c0b593')
    """
    return uuid5(uuid5(NAMESPACE_URL, sample), str(label))


class ShapeWriter:
    """Write the cells of a sample as a GeoJSON FeatureCollection, one at a time.

    Parameters
    ----------
    path : file to write, which appears only when complete; compressed where its name ends with ``.gz``
    sample : of which the identifiers are made
    object_type : ``cell``, or ``detection`` for objects without a nucleus of their own

    References
    ----------
    QuPath's GeoJSON: https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html; RFC 7946.
    """

    def __init__(self, path: Path, sample: str, object_type: str = "cell") -> None:
        self._path, self._sample, self._object_type = Path(path), sample, object_type
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None
        self._count = 0

    def write(
        self,
        label: int,
        outline: Sequence[Polygon],
        nucleus: Sequence[Polygon],
        measurements: Mapping[str, float],
    ) -> None:
        """Write one object.

        Parameters
        ----------
        label : its number in the label image
        outline : its polygons, in px of the full-resolution image
        nucleus : polygons of its nuclei, may be empty
        measurements : by name; what is not finite is left out, the others are written with six digits
        """
        assert self._file is not None
        feature: dict[str, Any] = {
            "type": "Feature",
            "id": str(cell_id(self._sample, label)),
            "geometry": to_geometry(outline),
        }
        if nucleus:
            feature["nucleusGeometry"] = to_geometry(nucleus)
        shown = {name: _rounded(value) for name, value in measurements.items() if math.isfinite(value)}
        feature["properties"] = {"objectType": self._object_type, "name": str(label), "measurements": shown}
        text = json.dumps(feature, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self._file.write((",\n" if self._count else "\n").encode() + text.encode())
        self._count += 1

    def __enter__(self) -> Self:
        """Open the file."""
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self._path))
            raw = stack.enter_context(temporary.open("wb"))
            file: IO[bytes] = raw
            if self._path.suffix == ".gz":
                # neither name nor date, so that equal shapes give equal files
                file = cast(IO[bytes], stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0)))
            file.write(b'{"type":"FeatureCollection","features":[')
            stack.push(self._finish)
            self._file, self._stack = file, stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, or remove it after an error."""
        self._stack.__exit__(kind, error, trace)

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the end, as a part of the stack: where that fails, what stands below removes the file."""
        if kind is None:
            assert self._file is not None
            self._file.write(b"\n]}\n")


def to_geometry(polygons: Sequence[Polygon]) -> dict[str, Any]:
    """Give a Polygon, or a MultiPolygon where there are several parts."""
    coordinates = [[ring.tolist() for ring in polygon] for polygon in polygons]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _rounded(value: float) -> float | int:
    """Round to the digits that are written; whole numbers without a point."""
    if float(value).is_integer():
        return int(value)
    return float(f"{value:.{DIGITS}g}")
