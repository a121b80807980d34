"""Tables, shapes and pictures of a batch in one file of each kind instead of one per sample."""

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
from pyarrow import parquet

from cellbatch.io.atomic import atomic_path
from cellbatch.io.tables import read_table, write_table
from cellbatch.phases.cell_tables import SAMPLE
from cellbatch.phases.results_layout import remove_files
from cellbatch.reporting.summary import THUMBNAIL
from cellbatch.spec import TABLE_SUFFIXES

TABLE = ".cells"
PICTURES = ("overlay.png", "thumbnail.jpg", "crop1.png", "crop2.png", "crop3.png")
_PROPERTIES = b'"properties":{'


def join_tables(folder: Path, batch: str) -> None:
    """Join the cells tables of a folder to ``<batch>.parquet`` or ``<batch>.csv``, sample after sample.

    Columns that only some samples have are empty in the others; a column ``sample`` stands first where there was none.
    """
    for suffix in TABLE_SUFFIXES.values():
        files = sorted(folder.glob(f"*{TABLE}{suffix}"))
        if files and suffix == TABLE_SUFFIXES["csv"]:
            _join_csv(files, folder / f"{batch}{suffix}")
        elif files:
            _join_parquet(files, folder / f"{batch}{suffix}")
        remove_files(files)


def join_shapes(folder: Path, batch: str) -> None:
    """Join the GeoJSON files of a folder to ``<batch>.geojson.gz``; every object has the property ``sample``.

    Of a sample that was written both plain and compressed, one file is joined and none is left.
    """
    files = sorted([*folder.glob("*.geojson"), *folder.glob("*.geojson.gz")])
    if not files:
        return
    # a plain file stands before the compressed one of its sample and needs no unpacking
    joined = sorted({_shapes_sample(file): file for file in reversed(files)}.values())
    with atomic_path(folder / f"{batch}.geojson.gz") as temporary, temporary.open("wb") as raw:
        # neither name nor date, so that equal shapes give equal files
        with cast(IO[bytes], gzip.GzipFile("", "wb", 6, raw, mtime=0)) as target:
            target.write(b'{"type":"FeatureCollection","features":[')
            for count, feature in enumerate(feature for file in joined for feature in _features(file)):
                target.write((b",\n" if count else b"\n") + feature)
            target.write(b"\n]}\n")
    remove_files(files)


def join_pictures(folder: Path, summary: Path, batch: str) -> None:
    """Keep the pictures of samples that are warned of or failed, and write the summary of all as ``<batch>.csv``."""
    rows = read_table(summary)
    for sample in rows.loc[rows["verdict"] == "pass", "sample"]:
        remove_files([file for name in PICTURES if (file := folder / f"{sample}.{name}").exists()])
    write_table(rows.drop(columns=THUMBNAIL), folder / f"{batch}.csv", "csv")


def _join_csv(files: Sequence[Path], path: Path) -> None:
    """Join CSV files cell by cell, as the text that they hold."""
    columns: dict[str, None] = {}
    for file in files:
        with file.open(encoding="utf-8", newline="") as stream:
            columns |= dict.fromkeys(next(csv.reader(stream)))
    names = _with_sample(list(columns))
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, names, restval="", lineterminator="\n")
        writer.writeheader()
        for file in files:
            with file.open(encoding="utf-8", newline="") as stream:
                for row in csv.DictReader(stream):
                    writer.writerow(row if len(names) == len(columns) else row | {SAMPLE: _sample_of(file)})


def _join_parquet(files: Sequence[Path], path: Path) -> None:
    """Join Parquet files, one table in memory at a time."""
    schemas = [parquet.read_schema(file).remove_metadata() for file in files]
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    if len(_with_sample(schema.names)) > len(schema.names):
        schema = schema.insert(0, pa.field(SAMPLE, pa.string()))
    with (
        atomic_path(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for file in files:
            table = parquet.read_table(file)
            columns = [
                table[field.name].cast(field.type)
                if field.name in table.schema.names
                else pa.array([_sample_of(file) if field.name == SAMPLE else None] * len(table), field.type)
                for field in schema
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _with_sample(names: list[str]) -> list[str]:
    """Put ``sample`` in front of columns that lack it, as those in the words of other tools do."""
    return names if SAMPLE in names else [SAMPLE, *names]


def _sample_of(file: Path) -> str:
    """Sample of a result, from its name."""
    return file.name.rpartition(TABLE)[0]


def _shapes_sample(file: Path) -> str:
    """Sample of a GeoJSON file, from its name."""
    return file.name.removesuffix(".gz").removesuffix(".geojson")


def _features(file: Path) -> Iterator[bytes]:
    """Objects of a file of ``ShapeWriter``, which writes each on a line of its own."""
    name = json.dumps(_shapes_sample(file), ensure_ascii=False)
    marked = _PROPERTIES + f'"sample":{name},'.encode()
    opened = gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")
    with cast(IO[bytes], opened) as lines:
        for line in lines:
            if line.startswith(b'{"type":"Feature",'):
                yield line.rstrip(b",\n").replace(_PROPERTIES, marked, 1)
