"""Cells tables as AnnData, written piece by piece, as a file of HDF5 or into a group of Zarr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cellbatch.io.atomic import atomic_path

CHUNK_ROWS = 4096
# both offer groups, arrays and attributes in the same words, but for how an array is made
Group = Any


@dataclass(frozen=True)
class AnnDataLayout:
    """Which columns of a table go where.

    Attributes
    ----------
    x : columns of the matrix ``X``, one per variable
    variables : names of the variables
    intensities : columns of ``obsm['intensities']``
    spatial : columns of ``obsm['spatial']``
    uns : plain values kept with the table
    region : name of the labels that the cells are annotated in, a column of ``obs``; empty = none
    """

    x: Sequence[str]
    variables: Sequence[str]
    intensities: Sequence[str]
    spatial: Sequence[str]
    uns: Mapping[str, Any] = field(default_factory=dict)
    region: str = ""


def write_anndata(pieces: Iterable[pd.DataFrame], rows: int, path: Path, layout: AnnDataLayout) -> None:
    """Write a cells table as an ``.h5ad`` file.

    Parameters
    ----------
    pieces : of the table, with the columns ``sample`` and ``label``, from which the names of the cells are made
    rows : of all pieces together
    path : file to write; it appears only when complete
    layout : columns that go elsewhere than into ``obs``

    Notes
    -----
    ``X`` and ``obsm['intensities']`` are float32, ``obsm['spatial']`` float64. All is written piece by piece, so that
    memory does not grow with the table.

    References
    ----------
    AnnData's on-disk format, https://anndata.readthedocs.io/en/stable/fileformat-prose.html
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        write_elements(file, pieces, rows, layout)


def write_elements(file: Group, pieces: Iterable[pd.DataFrame], rows: int, layout: AnnDataLayout) -> None:
    """Fill an empty group with the elements of an AnnData; see ``write_anndata``."""
    elsewhere = {*layout.x, *layout.intensities}
    _mark(file, "anndata", "0.1.0")
    variables = _frame(file, "var", ["channel"])
    for name in ("_index", "channel"):
        _strings(variables, name, len(layout.variables))[:] = np.array(layout.variables, object)
    for name in ("obsm", "varm", "obsp", "varp", "layers"):
        _mark(file.create_group(name), "dict", "0.1.0")
    _write_value(file, "uns", dict(layout.uns))
    x = _array(file, "X", (rows, len(layout.x)), np.float32)
    spatial = _array(file, "obsm/spatial", (rows, len(layout.spatial)), np.float64)
    intensities = _frame(file, "obsm/intensities", layout.intensities)
    start = 0
    for piece in pieces:
        stop = start + len(piece)
        observed = piece.drop(columns=list(elsewhere))
        if "obs" not in file:
            _start_observations(file, list(observed), rows, layout.region)
        names = [f"{sample}_{label}" for sample, label in zip(piece["sample"], piece["label"], strict=True)]
        for group in (file["obs"], intensities):
            _column(group, "_index", np.array(names, object), rows)[start:stop] = np.array(names, object)
        for name in observed:
            values = observed[name].to_numpy()
            _column(file["obs"], str(name), values, rows)[start:stop] = values
        for name in layout.intensities:
            values = piece[name].to_numpy(np.float32)
            _column(intensities, name, values, rows)[start:stop] = values
        x[start:stop] = piece[list(layout.x)].to_numpy(np.float32)
        spatial[start:stop] = piece[list(layout.spatial)].to_numpy(np.float64)
        start = stop


def _start_observations(file: Group, columns: list[str], rows: int, region: str) -> None:
    """Start ``obs``; its region, if any, is one category."""
    obs = _frame(file, "obs", [*columns, *(["region"] if region else [])])
    if region:
        group = obs.create_group("region")
        _mark(group, "categorical", "0.2.0")
        group.attrs["ordered"] = False
        _strings(group, "categories", 1)[:] = np.array([region], object)
        _array(group, "codes", (rows,), np.int8)[:] = np.zeros(rows, np.int8)


def _mark(item: Group, kind: str, version: str) -> None:
    item.attrs.update({"encoding-type": kind, "encoding-version": version})


def _frame(file: Group, name: str, columns: Sequence[str]) -> Group:
    """Start a table."""
    group = file.create_group(name)
    _mark(group, "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    order = [_item_name(column) for column in columns]
    if not isinstance(file, h5py.Group):
        group.attrs["column-order"] = order
    else:
        group.attrs.create("column-order", order, (len(columns),), h5py.string_dtype())
    return group


def _array(group: Group, name: str, shape: tuple[int, ...], kind: Any) -> Any:
    """Start an array of numbers, compressed."""
    chunks = (max(1, min(CHUNK_ROWS, shape[0])), *(max(1, size) for size in shape[1:])) if shape else ()
    if not isinstance(group, h5py.Group):
        array = group.create_array(name, shape=shape, dtype=kind, chunks=chunks)
    else:
        array = group.create_dataset(
            name, shape, kind, **({} if 0 in shape else {"chunks": chunks, "compression": "gzip"})
        )
    _mark(array, "array", "0.2.0")
    return array


def _strings(group: Group, name: str, rows: int) -> Any:
    """Start an array of texts."""
    if not isinstance(group, h5py.Group):
        array = group.create_array(name, shape=(rows,), dtype="string", chunks=(max(1, min(CHUNK_ROWS, rows)),))
    else:
        array = group.create_dataset(name, (rows,), h5py.string_dtype())
    _mark(array, "string-array", "0.2.0")
    return array


def _column(group: Group, name: str, values: NDArray[Any], rows: int) -> Any:
    """Find a column, or start it with the kind of its values."""
    name = _item_name(name)
    if name in group:
        return group[name]
    return _strings(group, name, rows) if values.dtype.kind in "OUT" else _array(group, name, (rows,), values.dtype)


def _item_name(column: str) -> str:
    """Replace the slash, which cannot stand in the name of an item."""
    return str(column).replace("/", "|")


def _write_value(group: Group, name: str, value: Any) -> None:
    """Write a plain value: a mapping, a text or a number."""
    if isinstance(value, Mapping):
        _mark(group.create_group(name), "dict", "0.1.0")
        for key, inner in value.items():
            _write_value(group[name], str(key), inner)
        return
    kind, dtype = ("string", "string") if isinstance(value, str) else ("numeric-scalar", "float64")
    if not isinstance(group, h5py.Group):
        item = group.create_array(name, shape=(), dtype=dtype)
        item[...] = np.array(value, object if kind == "string" else dtype)
    else:
        item = group.create_dataset(name, data=value, dtype=h5py.string_dtype() if kind == "string" else dtype)
    _mark(item, kind, "0.2.0")
