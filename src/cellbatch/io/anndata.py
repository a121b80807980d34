"""Cells tables as AnnData, written piece by piece."""

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
    """

    x: Sequence[str]
    variables: Sequence[str]
    intensities: Sequence[str]
    spatial: Sequence[str]
    uns: Mapping[str, Any] = field(default_factory=dict)


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
    elsewhere = {*layout.x, *layout.intensities}
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        variables = _frame(file, "var", ["channel"])
        _strings(variables, "_index", len(layout.variables))[:] = list(layout.variables)
        _strings(variables, "channel", len(layout.variables))[:] = list(layout.variables)
        for name in ("obsm", "varm", "obsp", "varp", "layers"):
            _mark(file.create_group(name), "dict", "0.1.0")
        _write_value(file, "uns", dict(layout.uns))
        matrices = {
            name: _array(file, name, (rows, len(columns)), kind)
            for name, columns, kind in (
                ("X", layout.x, np.float32),
                ("obsm/spatial", layout.spatial, np.float64),
            )
        }
        intensities = _frame(file, "obsm/intensities", layout.intensities)
        start = 0
        for piece in pieces:
            stop = start + len(piece)
            names = [f"{sample}_{label}" for sample, label in zip(piece["sample"], piece["label"], strict=True)]
            observed = piece.drop(columns=list(elsewhere))
            obs = file["obs"] if "obs" in file else _frame(file, "obs", list(observed))
            for group in (obs, intensities):
                _column(group, "_index", np.array(names, object), rows)[start:stop] = names
            for name in observed:
                values = observed[name].to_numpy()
                _column(obs, str(name), values, rows)[start:stop] = values
            for name in layout.intensities:
                values = piece[name].to_numpy(np.float32)
                _column(intensities, name, values, rows)[start:stop] = values
            matrices["X"][start:stop] = piece[list(layout.x)].to_numpy(np.float32)
            matrices["obsm/spatial"][start:stop] = piece[list(layout.spatial)].to_numpy(np.float64)
            start = stop


def _mark(item: h5py.Group | h5py.Dataset, kind: str, version: str) -> None:
    item.attrs.update({"encoding-type": kind, "encoding-version": version})


def _frame(file: h5py.Group, name: str, columns: Sequence[str]) -> h5py.Group:
    """Start a table."""
    group = file.create_group(name)
    _mark(group, "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    order = [_item_name(column) for column in columns]
    group.attrs.create("column-order", order, (len(columns),), h5py.string_dtype())
    return group


def _array(group: h5py.Group, name: str, shape: tuple[int, ...], kind: Any) -> h5py.Dataset:
    """Start an array of numbers; compressed by rows where it is not empty."""
    options = {} if 0 in shape else {"chunks": (min(CHUNK_ROWS, shape[0]), *shape[1:]), "compression": "gzip"}
    dataset = group.create_dataset(name, shape, kind, **options)
    _mark(dataset, "array", "0.2.0")
    return dataset


def _strings(group: h5py.Group, name: str, rows: int) -> h5py.Dataset:
    """Start an array of texts."""
    dataset = group.create_dataset(name, (rows,), h5py.string_dtype())
    _mark(dataset, "string-array", "0.2.0")
    return dataset


def _column(group: h5py.Group, name: str, values: NDArray[Any], rows: int) -> h5py.Dataset:
    """Find a column, or start it with the kind of its values."""
    name = _item_name(name)
    if name in group:
        return group[name]
    return _strings(group, name, rows) if values.dtype.kind in "OUT" else _array(group, name, (rows,), values.dtype)


def _item_name(column: str) -> str:
    """Replace the slash, which cannot stand in the name of an item."""
    return str(column).replace("/", "|")


def _write_value(group: h5py.Group, name: str, value: Any) -> None:
    """Write a plain value: a mapping, a text, a list of texts or a number."""
    if isinstance(value, Mapping):
        _mark(group.create_group(name), "dict", "0.1.0")
        for key, inner in value.items():
            _write_value(group[name], str(key), inner)
    elif isinstance(value, str):
        _mark(group.create_dataset(name, data=value, dtype=h5py.string_dtype()), "string", "0.2.0")
    elif isinstance(value, list | tuple):
        _strings(group, name, len(value))[:] = list(map(str, value))
    else:
        _mark(group.create_dataset(name, data=value), "numeric-scalar", "0.2.0")
